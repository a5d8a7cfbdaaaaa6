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
use longshore_driver_sdk::{DriverError, Reason, Result};

use crate::config::Config;
use crate::credentials::{Current, Source};

/// One attempt at a request that carries no large body: a core waits 3 s for the whole call.
const ATTEMPT: Duration = Duration::from_millis(2500);
const CONNECT: Duration = Duration::from_secs(1);
/// Larger bodies take their time.
const SMALL: u64 = 1024 * 1024;
/// Bytes in a second: a server that takes fewer is as good as gone.
const SLOWEST: u64 = 1024 * 1024;
/// What a server may take besides, before it answers.
const THOUGHT: Duration = Duration::from_secs(10);
/// To assemble thousands of parts, as bytes that would take as long.
pub(crate) const ASSEMBLY: u64 = 45 * SLOWEST;
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

/// What a request may take that carries so many bytes, or that the server may think over; and how often it is sent.
///
/// A small one is sent once: the core tries again where that helps, and waits no longer than this for it. A part is sent
/// again from here: the core could not do so without the client.
pub(crate) fn patience(bytes: u64) -> aws_sdk_s3::config::Builder {
    let builder = aws_sdk_s3::config::Builder::new();
    if bytes <= SMALL {
        return builder;
    }
    let attempt = THOUGHT + Duration::from_secs(bytes / SLOWEST);
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(attempt).build();
    builder
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
