//! The driver's settings. Credentials are none of them: they come from where the AWS SDK looks for them (environment,
//! profile, web identity, container, instance).

use std::path::PathBuf;

use longshore_driver_sdk::{DriverError, Reason, Result};
use serde::Deserialize;

/// What `--help` says of them.
pub const HELP: &str = "\
  bucket=NAME             where the objects lie; required; it must be there
  prefix=PATH             keep everything below this path of the bucket
  endpoint=URL            an S3 server that is not Amazon's, such as http://127.0.0.1:7070
  public_endpoint=URL     what clients reach the server by, when that differs: for signed URLs
  region=NAME             else from the environment or the profile; us-east-1 where an endpoint is named
  profile=NAME            of the AWS configuration files
  path_style=BOOL         the bucket in the path, not in the host's name; true where an endpoint is named
  ca_file=FILE            trust these certificates (PEM) instead of the system's
  storage_class=CLASS     of new objects, such as STANDARD_IA
  sse=aes256|aws:kms      how the server is to encrypt new objects
  sse_kms_key=ID          with which key
  checksums=auto          CRC32C with what is written, where the server checks it (default)
  checksums=none          none
  listing=current         a key that was written shows in listings at once (default)
  listing=lagging         it may show later; uploads then go on at the driver where they began
  max_parts=N             of one multipart upload, 10000; Swift's S3 API takes 1000
  signing=BOOL            let the core redirect reads to signed URLs; true
  init=never              the store was made by `longshore storage init ENDPOINT` (default)
  init=if-empty           make it at the start where the bucket, or the path in it, is empty
  spool=DIR               for what was received and not sent yet; a temporary directory; needs 128 MiB per upload

Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), the profile,
a web identity, the container or the instance, in this order.";

/// Amazon takes no more parts.
const MOST_PARTS: u32 = 10_000;
const FEWEST_PARTS: u32 = 100;
/// S3's keys have 1024 bytes, the core's far fewer than 768.
const LONGEST_PREFIX: usize = 256;

/// The settings, as they stand in a file or on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub bucket: String,
    #[serde(default)]
    pub prefix: String,
    pub endpoint: Option<String>,
    pub public_endpoint: Option<String>,
    pub region: Option<String>,
    pub profile: Option<String>,
    pub path_style: Option<bool>,
    pub ca_file: Option<PathBuf>,
    pub storage_class: Option<String>,
    pub sse: Option<Encryption>,
    pub sse_kms_key: Option<String>,
    #[serde(default)]
    pub checksums: Checksums,
    #[serde(default)]
    pub listing: Listing,
    #[serde(default = "most_parts")]
    pub max_parts: u32,
    #[serde(default = "yes")]
    pub signing: bool,
    #[serde(default)]
    pub init: Init,
    pub spool: Option<PathBuf>,
}

/// How objects are encrypted where they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Encryption {
    #[serde(rename = "aes256", alias = "AES256")]
    Aes256,
    #[serde(rename = "aws:kms")]
    Kms,
}

/// What goes along with bytes that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksums {
    #[default]
    Auto,
    None,
}

/// When a store may be made where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    #[default]
    Never,
    IfEmpty,
}

/// Whether listings can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listing {
    #[default]
    Current,
    Lagging,
}

fn most_parts() -> u32 {
    MOST_PARTS
}

fn yes() -> bool {
    true
}

impl Config {
    /// Refuses what can't work, by the setting's name.
    ///
    /// # Errors
    /// [`Reason::RequestNotUnderstood`], with what to write instead.
    pub fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(DriverError::new(Reason::RequestNotUnderstood, message));
        if self.bucket.is_empty() {
            return refuse("bucket= is empty; name a bucket".to_owned());
        }
        let component = longshore_driver_sdk::key::is_component;
        if !self.prefix.is_empty() && !self.prefix.trim_end_matches('/').split('/').all(component) {
            return refuse(format!(
                "prefix={:?} is no path of [A-Za-z0-9._+=,@~-] without a leading slash",
                self.prefix
            ));
        }
        if self.prefix.len() > LONGEST_PREFIX {
            return refuse(format!(
                "prefix= has {} bytes; at most {LONGEST_PREFIX} leave room for keys",
                self.prefix.len()
            ));
        }
        if !(FEWEST_PARTS..=MOST_PARTS).contains(&self.max_parts) {
            return refuse(format!("max_parts={} is outside {FEWEST_PARTS} to {MOST_PARTS}", self.max_parts));
        }
        if self.sse_kms_key.is_some() && self.sse != Some(Encryption::Kms) {
            return refuse("sse_kms_key is for sse=aws:kms".to_owned());
        }
        Ok(())
    }

    /// Empty, or ends with a slash.
    pub(crate) fn prefix(&self) -> String {
        match self.prefix.trim_end_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn only_the_bucket_is_required_and_nothing_unknown_is_taken() {
        let least = config("bucket = 'b'");
        assert_eq!((least.max_parts, least.signing, least.prefix()), (10_000, true, String::new()));
        assert!(least.check().is_ok());
        assert!(toml::from_str::<Config>("bucket = 'b'\nbuket = 'c'").is_err());
        assert!(toml::from_str::<Config>("prefix = 'x'").is_err());
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (text, named) in [
            ("bucket = ''", "bucket"),
            ("bucket = 'b'\nprefix = '/a'", "prefix"),
            ("bucket = 'b'\nprefix = 'a b'", "prefix"),
            ("bucket = 'b'\nmax_parts = 5", "max_parts"),
            ("bucket = 'b'\nsse_kms_key = 'k'", "sse_kms_key"),
        ] {
            let error = config(text).check().unwrap_err();
            assert!(error.message().contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn a_prefix_ends_with_one_slash() {
        assert_eq!(config("bucket = 'b'\nprefix = 'a/b'").prefix(), "a/b/");
        assert_eq!(config("bucket = 'b'\nprefix = 'a/b/'").prefix(), "a/b/");
    }
}
