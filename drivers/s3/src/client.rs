//! The SDK's client, from the settings: who asks, where, and for how long.

use std::time::Duration;

use aws_config::Region;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    IdentityCache, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
};
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use longshore_driver_sdk::sessions::parted::Content;
use longshore_driver_sdk::{DriverError, Reason, Result};

use crate::config::Config;
use crate::credentials::{Current, Source};

/// One attempt at a request that carries no large body: a core waits 3 s for the whole call.
const ATTEMPT: Duration = Duration::from_millis(2500);
const CONNECT: Duration = Duration::from_secs(1);
/// Larger bodies take their time, as long as they go on.
const SMALL: u64 = 1024 * 1024;
/// Shorter than a core waits for a backend (contract clause D2); some of it is what a server thinks over at the end.
pub(crate) const STILL: Duration = Duration::from_secs(30);
/// The SDK has to be told some end of what goes on.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// To assemble thousands of parts.
const ASSEMBLY: Duration = Duration::from_secs(55);
/// How often a part is sent.
const ATTEMPTS: u32 = 3;
const BACKOFF: Duration = Duration::from_millis(100);
/// Where an endpoint is named, the region is a word that both sides have to agree on, and this is the usual one.
const USUAL_REGION: &str = "us-east-1";

/// What the driver asks with, and what it signs URLs for clients with.
pub(crate) struct Clients {
    pub(crate) inner: Client,
    pub(crate) public: Client,
    /// Both sign with these.
    pub(crate) credentials: Current,
}

pub(crate) async fn open(config: &Config) -> Result<Clients> {
    let source = Source { http: http(config)?, profile: config.profile.clone(), region: region(config) };
    let (base, credentials) = base(source).await?;
    let inner = Client::from_conf(endpoint(base.clone(), config.endpoint.as_deref(), config).build());
    let outside = config.public_endpoint.as_deref().or(config.endpoint.as_deref());
    let public = Client::from_conf(endpoint(base, outside, config).build());
    Ok(Clients { inner, public, credentials })
}

/// What a request may take that carries this, and how often it is sent.
///
/// A small one is sent once: the core tries again where that helps, and waits no longer than this for it. What is of a
/// stream is sent again from here: the core could not do so without the client. It ends when it does not go on ([`STILL`]).
pub(crate) fn patience(content: &Content) -> aws_sdk_s3::config::Builder {
    let is_brief = !content.of_stream && content.len() <= SMALL;
    if is_brief { aws_sdk_s3::config::Builder::new() } else { lasting(LONGEST) }
}

/// What the server may think over.
pub(crate) fn patience_for_assembly() -> aws_sdk_s3::config::Builder {
    lasting(ASSEMBLY)
}

fn lasting(attempt: Duration) -> aws_sdk_s3::config::Builder {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(attempt).build();
    aws_sdk_s3::config::Builder::new()
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(BACKOFF))
}

fn endpoint(
    base: aws_sdk_s3::config::Builder,
    url: Option<&str>,
    config: &Config,
) -> aws_sdk_s3::config::Builder {
    let path_style = config.path_style.unwrap_or(url.is_some());
    let base = base.force_path_style(path_style);
    match url {
        Some(url) => base.endpoint_url(url),
        None => base,
    }
}

async fn base(mut source: Source) -> Result<(aws_sdk_s3::config::Builder, Current)> {
    let found = source.loader().load().await;
    source.region = found.region().cloned();
    if source.region.is_none() {
        return Err(DriverError::new(
            Reason::RequestNotUnderstood,
            "no region is known; set region=NAME, AWS_REGION, or the profile's region",
        ));
    }
    let credentials = Current::new(source);
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
    let builder = aws_sdk_s3::config::Builder::from(&found)
        .credentials_provider(credentials.clone())
        // They are kept there.
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        // What is worth a checksum gets one here, by its content: many servers refuse the SDK's trailers.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    Ok((builder, credentials))
}

/// `None`: where the SDK looks for it. It would ask the instance last, which takes a second where there is none, and a
/// server that is not Amazon's is nothing that an instance knows of.
fn region(config: &Config) -> Option<Region> {
    let from_environment =
        || ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok());
    match (&config.region, &config.endpoint, &config.profile) {
        (Some(region), _, _) => Some(Region::new(region.clone())),
        (None, Some(_), None) => {
            Some(Region::new(from_environment().unwrap_or_else(|| USUAL_REGION.to_owned())))
        }
        _ => None,
    }
}

fn http(config: &Config) -> Result<SharedHttpClient> {
    let provider = tls::Provider::rustls(CryptoMode::AwsLc);
    let builder = aws_smithy_http_client::Builder::new().tls_provider(provider);
    let Some(path) = &config.ca_file else { return Ok(builder.build_https()) };
    let refuse = |problem: String| {
        DriverError::new(Reason::RequestNotUnderstood, format!("ca_file={}: {problem}", path.display()))
    };
    let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Err(refuse("there is no certificate in it; it must be PEM".to_owned()));
    }
    let store = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(store).build();
    let context = context.map_err(|error| refuse(error.to_string()))?;
    Ok(builder.tls_context(context).build_https())
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
