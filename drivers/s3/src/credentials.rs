//! Who the driver is to the server. The SDK reads the environment and a profile once, and believes for good what has no
//! end. Owns when it is asked anew: so new credentials need no restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_s3::config::{Credentials, SharedHttpClient};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Those that end are renewed so long before.
const EARLY: Duration = Duration::from_secs(10);
/// Those without an end are looked for anew so often: somebody may have put others there.
const LOOK: Duration = Duration::from_secs(300);
/// No more often than this, also when each request is refused.
const AGAIN: Duration = Duration::from_secs(2);
/// Less than an attempt at a request takes: else it would be the server that seems not to answer.
const WAIT: Duration = Duration::from_secs(2);

/// Where the SDK is to look.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) http: SharedHttpClient,
    pub(crate) profile: Option<String>,
    pub(crate) region: Option<Region>,
}

impl Source {
    pub(crate) fn loader(&self) -> ConfigLoader {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(self.http.clone());
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        match &self.region {
            Some(region) => loader.region(region.clone()),
            None => loader,
        }
    }
}

/// The credentials that requests are signed with, as they are now.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    source: Arc<Source>,
    held: Arc<Mutex<Held>>,
    refused: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Held {
    /// What the SDK found; it renews what ends by itself.
    chain: Option<SharedCredentialsProvider>,
    credentials: Option<Credentials>,
    loaded: Option<Instant>,
}

impl Current {
    pub(crate) fn new(source: Source) -> Self {
        Self { source: Arc::new(source), held: Arc::default(), refused: Arc::default() }
    }

    /// The server does not take them: the next request looks for others.
    pub(crate) fn refused(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    async fn provide(&self) -> Result<Credentials, CredentialsError> {
        let provided = async {
            let held = Arc::clone(&self.held).lock_owned().await;
            match held.usable(self.refused.load(Ordering::Relaxed)) {
                Some(credentials) => Ok(credentials),
                // A request may give up sooner than a slow source answers: the next one then finds what came.
                None => match tokio::spawn(self.clone().load(held)).await {
                    Ok(outcome) => outcome,
                    Err(failed) => Err(CredentialsError::unhandled(failed)),
                },
            }
        };
        let late = |_| Err(CredentialsError::provider_timed_out(WAIT));
        tokio::time::timeout(WAIT, provided).await.unwrap_or_else(late)
    }

    async fn load(self, mut held: OwnedMutexGuard<Held>) -> Result<Credentials, CredentialsError> {
        let refused = self.refused.swap(false, Ordering::Relaxed);
        let before = held.credentials.take();
        let ends = before.as_ref().is_some_and(|credentials| credentials.expiry().is_some());
        // A provider does not read again what it has read.
        let chain = match held.chain.take().filter(|_| ends && !refused) {
            Some(chain) => Some(chain),
            None => self.source.loader().load().await.credentials_provider(),
        };
        let chain = chain.ok_or_else(CredentialsError::not_loaded_no_source)?;
        let credentials = match chain.provide_credentials().await {
            Ok(credentials) => credentials,
            Err(error) => before.clone().filter(|old| !refused && !has_ended(old)).ok_or(error)?,
        };
        if let Some(before) = before.filter(|before| is_another(before, &credentials)) {
            tracing::info!(
                access_key = credentials.access_key_id(),
                before = before.access_key_id(),
                "there are new credentials"
            );
        }
        *held =
            Held { chain: Some(chain), credentials: Some(credentials.clone()), loaded: Some(Instant::now()) };
        Ok(credentials)
    }
}

impl Held {
    fn usable(&self, refused: bool) -> Option<Credentials> {
        let (credentials, age) = (self.credentials.as_ref()?, self.loaded?.elapsed());
        let is_good = !refused
            && match credentials.expiry() {
                Some(end) => SystemTime::now() + EARLY < end,
                None => age < LOOK,
            };
        (is_good || age < AGAIN).then(|| credentials.clone())
    }
}

/// And not only the same for longer.
fn is_another(one: &Credentials, other: &Credentials) -> bool {
    one.access_key_id() != other.access_key_id() || one.secret_access_key() != other.secret_access_key()
}

fn has_ended(credentials: &Credentials) -> bool {
    credentials.expiry().is_some_and(|end| end <= SystemTime::now())
}

impl ProvideCredentials for Current {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}
