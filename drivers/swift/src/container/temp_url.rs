//! URLs that need no token ("TempURL" in Swift's API guide): signed with a key that the server knows. Owns how drivers that
//! share a container come by one key.
//!
//! Swift keeps the key with the container; RGW 16 keeps one there too, and looks only at the account's. Where nobody set one,
//! a driver makes it. Two may do so at the same moment, and the last one counts: so a key is used when it was seen twice,
//! longer apart than setting it may take, and looked at again from time to time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit as _, Mac as _};
use longshore_driver_sdk::{DriverError, Reason, Result, SignRequest, SignedUrl};
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use tokio::time::Instant;

use super::{Container, header, hex};
use crate::client::Request;
use crate::failure::Failure;
use crate::info::{Digest, Flavour};
use crate::names;

/// Longer than a request to set one may be under way.
const SETTLES: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_secs(60);

/// Who keeps it.
#[derive(Clone, Copy)]
struct Keeper {
    header: &'static str,
    /// Of the account; otherwise of the container.
    is_account: bool,
}

const CONTAINER: Keeper = Keeper { header: "x-container-meta-temp-url-key", is_account: false };
const ACCOUNT: Keeper = Keeper { header: "x-account-meta-temp-url-key", is_account: true };

/// The key, as it was last seen.
#[derive(Default)]
pub(crate) struct Key(Mutex<Known>);

#[derive(Default)]
struct Known {
    key: Option<String>,
    /// First seen, and last.
    since: Option<Instant>,
    looked: Option<Instant>,
    looking: bool,
}

impl Known {
    fn settled(&self) -> Option<&String> {
        let is_settled = self.since.zip(self.looked).is_some_and(|(since, looked)| looked - since >= SETTLES);
        self.key.as_ref().filter(|_| is_settled)
    }

    fn is_due(&self, now: Instant) -> bool {
        let pause = if self.settled().is_some() { LOOK } else { SETTLES };
        !self.looking && self.looked.is_none_or(|looked| now - looked >= pause)
    }

    fn saw(&mut self, key: Option<String>, now: Instant) {
        if self.key != key {
            self.key = key;
            self.since = Some(now);
        }
        self.looked = Some(now);
    }
}

/// One look at a time, also where a request gives up in between.
struct Look<'a>(&'a Key);

impl Key {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Option<Look<'_>> {
        let mut known = self.known();
        let is_due = known.is_due(Instant::now());
        known.looking |= is_due;
        is_due.then(|| Look(self))
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.known().looking = false;
    }
}

impl Container {
    /// A URL that needs no token. `None`: not yet, as the key is new, or this server signs none. The type of the content is
    /// the object's own: no parameter of the URL changes it.
    pub(crate) async fn sign(&self, name: &str, request: &SignRequest) -> Result<Option<SignedUrl>> {
        let info = self.info().await?;
        let Some(temp_url) = info.temp_url.as_ref().filter(|temp_url| temp_url.reads) else {
            return Ok(None);
        };
        let Some(key) = self.key(info.flavour).await? else { return Ok(None) };
        let expires = SystemTime::now() + request.ttl;
        let seconds = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let account = self.client.storage_url().await?;
        let path = self.path(name);
        let signed = signed_path(&account, &path).ok_or_else(|| {
            DriverError::new(Reason::DriverBug, format!("sign {name}: {account} is no URL"))
        })?;
        let method = if request.head { "HEAD" } else { "GET" };
        let signature = signature(temp_url.digest, &key, &format!("{method}\n{seconds}\n{signed}"))?;
        let origin = self.origin(&account);
        let url = format!(
            "{origin}{}?temp_url_sig={signature}&temp_url_expires={seconds}&inline",
            names::path(&signed)
        );
        Ok(Some(SignedUrl { url, expires: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) }))
    }

    /// What clients put before the path.
    fn origin(&self, account: &str) -> String {
        let of_account =
            || Url::parse(account).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        self.config
            .public_endpoint
            .as_deref()
            .map_or_else(of_account, |endpoint| endpoint.trim_end_matches('/').to_owned())
    }

    async fn key(&self, flavour: Flavour) -> Result<Option<String>> {
        if let Some(key) = &self.config.temp_url_key {
            return Ok(Some(key.reveal().to_owned()));
        }
        if let Some(_look) = self.key.begin() {
            let keeper = if flavour == Flavour::Rgw { ACCOUNT } else { CONTAINER };
            let key = self.key_of(keeper).await?;
            self.key.known().saw(key, Instant::now());
        }
        Ok(self.key.known().settled().cloned())
    }

    /// The key that is set; a new one where there is none.
    async fn key_of(&self, keeper: Keeper) -> Result<Option<String>> {
        if let Some(key) = self.read_key(keeper).await? {
            return Ok(Some(key));
        }
        let new = random_key()?;
        let what = "set a key for signed URLs";
        let path = if keeper.is_account { String::new() } else { self.path_of_container() };
        let request = Request::new(Method::POST, path).header(keeper.header, new);
        match self.send(what, request).await {
            Ok(_) => tracing::info!(container = self.name, "made a key for signed URLs"),
            Err(failure) => return Err(failure.into_error(what)),
        }
        self.read_key(keeper).await
    }

    async fn read_key(&self, keeper: Keeper) -> Result<Option<String>> {
        let what = "look for the key of signed URLs";
        let headers = if keeper.is_account {
            match self.send(what, Request::new(Method::HEAD, String::new())).await {
                Ok(answer) => answer.headers().clone(),
                Err(Failure::Absent) => return Ok(None),
                Err(other) => return Err(other.into_error(what)),
            }
        } else {
            self.headers(what).await?
        };
        Ok(header(&headers, keeper.header).filter(|key| !key.is_empty()).map(str::to_owned))
    }
}

/// 128 bits.
fn random_key() -> Result<HeaderValue> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| DriverError::new(Reason::IoError, format!("no random numbers: {error}")))?;
    let mut key = HeaderValue::from_str(&hex(&bytes))
        .map_err(|error| DriverError::new(Reason::DriverBug, error.to_string()))?;
    key.set_sensitive(true);
    Ok(key)
}

/// The path that the server sees, and signs as it is before it was escaped.
fn signed_path(account: &str, path: &str) -> Option<String> {
    names::decode(&format!("{}{path}", Url::parse(account).ok()?.path().trim_end_matches('/')))
}

fn signature(digest: Digest, key: &str, text: &str) -> Result<String> {
    // HMAC takes keys of any length.
    let failed = |_| DriverError::new(Reason::DriverBug, "sign: this key can't be used");
    let (key, text) = (key.as_bytes(), text.as_bytes());
    Ok(match digest {
        Digest::Sha1 => hex(&Hmac::<Sha1>::new_from_slice(key)
            .map_err(failed)?
            .chain_update(text)
            .finalize()
            .into_bytes()),
        Digest::Sha256 => hex(&Hmac::<Sha256>::new_from_slice(key)
            .map_err(failed)?
            .chain_update(text)
            .finalize()
            .into_bytes()),
        Digest::Sha512 => hex(&Hmac::<Sha512>::new_from_slice(key)
            .map_err(failed)?
            .chain_update(text)
            .finalize()
            .into_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `openssl dgst -DIGEST -hmac mykey` of this text.
    const TEXT: &str = "GET\n1323479485\n/v1/AUTH_account/container/object";

    #[test]
    fn signatures_are_those_of_openssl() {
        for (digest, expected) in [
            (Digest::Sha1, "d9fc2067e52b06598421664cf6610bfc8fc431f6"),
            (Digest::Sha256, "05cb4ea08a08f2fdaef35d0f344975370077835c23bdc9342099ecbf03bc0378"),
            (
                Digest::Sha512,
                "cd90f5bb657464b0f1861ad13c5ad8cc67f51f4c881dce90bfc90086931ccb89a0b8d23c6cff7d4afe02d873b0035385d3025497bbd7f0ca35d61bf9936db77d",
            ),
        ] {
            assert_eq!(signature(digest, "mykey", TEXT).unwrap(), expected);
        }
    }

    #[test]
    fn the_path_is_signed_as_it_is_before_it_is_escaped() {
        let signed = |account, path| signed_path(account, path).unwrap();
        assert_eq!(signed("http://h:1/v1/AUTH_a%20b", "/c%20d/x%2By"), "/v1/AUTH_a b/c d/x+y");
        assert_eq!(signed("http://h/swift/v1", "/c/k"), "/swift/v1/c/k");
    }

    #[tokio::test]
    async fn clients_are_sent_to_the_public_address_where_there_is_one() {
        let container = |more: &str| {
            let text = format!("container = 'c'\nstorage_url = 'http://in:1/v1/a'\ntoken = 't'\n{more}");
            Container::open(&toml::from_str(&text).unwrap()).unwrap()
        };
        assert_eq!(container("").origin("http://in:1/v1/a"), "http://in:1");
        let public = container("public_endpoint = 'https://out/'");
        assert_eq!(public.origin("http://in:1/v1/a"), "https://out");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_used_when_it_was_seen_twice_some_time_apart() {
        let key = Key::default();
        let look = |text: &str| {
            let begun = key.begin();
            let is_due = begun.is_some();
            if is_due {
                key.known().saw(Some(text.to_owned()), Instant::now());
            }
            is_due
        };
        assert!(look("mine"));
        assert_eq!(key.known().settled(), None);
        assert!(!look("mine"), "not again at once");
        tokio::time::sleep(SETTLES).await;
        assert!(look("rivals"));
        assert_eq!(key.known().settled(), None, "somebody set another");
        tokio::time::sleep(SETTLES).await;
        assert!(look("rivals"));
        assert_eq!(key.known().settled().map(String::as_str), Some("rivals"));
        tokio::time::sleep(SETTLES).await;
        assert!(!look("rivals"));
        tokio::time::sleep(LOOK).await;
        assert!(look("third"), "it is looked at again from time to time");
        assert_eq!(key.known().settled(), None);
    }

    #[tokio::test]
    async fn a_look_that_was_given_up_does_not_stop_the_next() {
        let key = Key::default();
        let look = key.begin();
        assert!(look.is_some() && key.begin().is_none());
        drop(look);
        assert!(key.begin().is_some());
    }
}
