//! What the server says that it can do: Swift at /info, RGW at /swift/info (Swift's API guide, "Discoverability"). It is
//! read leniently: what is not said is taken to be as in Swift's own defaults, or not to be there.

use longshore_driver_sdk::{DriverError, Reason, Result};
use serde_json::Value;

use crate::client::Client;
use crate::config::TempUrlDigest;

const MAX_FILE_SIZE: u64 = 5 * 1024 * 1024 * 1024;
const MAX_SEGMENTS: u64 = 1000;
const MAX_MANIFEST: u64 = 8 * 1024 * 1024;
const MIN_SEGMENT: u64 = 1;
const MAX_DELETES: u64 = 1000;
const LISTING: u64 = 10_000;

/// Whose Swift it is, where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Swift,
    /// Ceph's. Its manifests do not nest (a manifest as a segment is read as the empty object that it is stored as), can't
    /// be read back, and show in listings by the size of their text; the keys of signed URLs are the account's.
    Rgw,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) flavour: Flavour,
    pub(crate) max_file_size: u64,
    /// `None`: no large objects.
    pub(crate) slo: Option<Slo>,
    /// Names in one request; `None`: there is no such request.
    pub(crate) bulk_delete: Option<usize>,
    pub(crate) listing_limit: usize,
    /// `None`: no signed URLs.
    pub(crate) temp_url: Option<TempUrl>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slo {
    pub(crate) max_segments: u64,
    pub(crate) max_manifest_size: u64,
    pub(crate) min_segment_size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TempUrl {
    pub(crate) digest: Digest,
    /// Both for GET and HEAD.
    pub(crate) reads: bool,
}

/// Of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha1,
    Sha256,
    Sha512,
}

impl Info {
    pub(crate) async fn read(client: &Client, wanted: TempUrlDigest) -> Result<Self> {
        let storage_url = client.storage_url().await?;
        let url = address(&storage_url);
        let Some(text) = client.public(&url).await? else {
            tracing::warn!(url, "the server does not say what it can do; the usual limits are taken");
            return Ok(Self::parse(&Value::Null, &storage_url, wanted));
        };
        let value = serde_json::from_slice(&text).map_err(|error| {
            DriverError::new(
                Reason::BackendUnavailable,
                format!("GET {url}: the server does not answer as Swift does: {error}"),
            )
        })?;
        Ok(Self::parse(&value, &storage_url, wanted))
    }

    /// A server that says nothing is taken to have what every Swift has.
    fn parse(value: &Value, storage_url: &str, wanted: TempUrlDigest) -> Self {
        let number = |pointer: &str, usual| value.pointer(pointer).and_then(Value::as_u64).unwrap_or(usual);
        let count = |pointer: &str, usual| usize::try_from(number(pointer, usual)).unwrap_or(1).max(1);
        let has = |name: &str| value.is_null() || value.get(name).is_some();
        Self {
            flavour: flavour(value, storage_url),
            max_file_size: number("/swift/max_file_size", MAX_FILE_SIZE),
            slo: has("slo").then(|| Slo {
                max_segments: number("/slo/max_manifest_segments", MAX_SEGMENTS),
                max_manifest_size: number("/slo/max_manifest_size", MAX_MANIFEST),
                min_segment_size: number("/slo/min_segment_size", MIN_SEGMENT),
            }),
            bulk_delete: has("bulk_delete")
                .then(|| count("/bulk_delete/max_deletes_per_request", MAX_DELETES)),
            listing_limit: count("/swift/container_listing_limit", LISTING),
            temp_url: value
                .get("tempurl")
                .map(|temp_url| TempUrl { digest: digest(temp_url, wanted), reads: reads(temp_url) }),
        }
    }

    /// Whether a manifest may name manifests.
    pub(crate) fn nests(&self) -> bool {
        self.flavour == Flavour::Swift
    }
}

/// Beside the `/v1` of the account: with nothing before it in Swift, with `/swift` in RGW.
fn address(storage_url: &str) -> String {
    let base = storage_url.rfind("/v1").map_or(storage_url, |at| &storage_url[..at]);
    format!("{base}/info")
}

/// They have another word for the same limit.
fn flavour(value: &Value, storage_url: &str) -> Flavour {
    let says = |word: &str| value.pointer("/swift").is_some_and(|swift| swift.get(word).is_some());
    let is_rgw = says("max_object_name_size")
        || (!says("max_object_name_length") && storage_url.contains("/swift/v1"));
    if is_rgw { Flavour::Rgw } else { Flavour::Swift }
}

/// RGW 16 and old Swifts do not name theirs, and take SHA-1 alone.
fn digest(temp_url: &Value, wanted: TempUrlDigest) -> Digest {
    let takes = |name: &str| {
        let named = temp_url.get("allowed_digests").and_then(Value::as_array);
        named.is_some_and(|digests| digests.iter().any(|digest| digest.as_str() == Some(name)))
    };
    match wanted {
        TempUrlDigest::Sha1 => Digest::Sha1,
        TempUrlDigest::Sha256 => Digest::Sha256,
        TempUrlDigest::Sha512 => Digest::Sha512,
        TempUrlDigest::Auto if takes("sha256") => Digest::Sha256,
        TempUrlDigest::Auto if takes("sha512") => Digest::Sha512,
        TempUrlDigest::Auto => Digest::Sha1,
    }
}

fn reads(temp_url: &Value) -> bool {
    let Some(methods) = temp_url.get("methods").and_then(Value::as_array) else { return true };
    ["GET", "HEAD"].iter().all(|method| methods.iter().any(|named| named.as_str() == Some(method)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWIFT: &str = r#"{"swift": {"version": "2.38.3", "max_file_size": 5368709122, "max_object_name_length": 1024,
        "container_listing_limit": 10000}, "slo": {"max_manifest_segments": 1000, "max_manifest_size": 8388608,
        "yield_frequency": 10, "min_segment_size": 1, "allow_async_delete": true}, "tempurl": {"methods": ["GET", "HEAD",
        "PUT", "POST", "DELETE"], "allowed_digests": ["sha1", "sha256", "sha512"], "deprecated_digests": ["sha1"]},
        "bulk_delete": {"max_deletes_per_request": 10000, "max_failed_deletes": 1000}}"#;
    const RGW: &str = r#"{"bulk_delete":{},"container_quotas":{},"swift":{"max_file_size":5368709120,
        "container_listing_limit":10000,"version":"16.2.15","policies":[{"default":true,"name":"default-placement"}],
        "max_object_name_size":1024,"strict_cors_mode":true,"max_container_name_length":255},"tempurl":{"methods":["GET",
        "HEAD","PUT","POST","DELETE"]},"slo":{"max_manifest_segments":500},"account_quotas":{},"staticweb":{},
        "tempauth":{"account_acls":true}}"#;

    fn info(text: &str, url: &str) -> Info {
        Info::parse(&serde_json::from_str(text).unwrap(), url, TempUrlDigest::Auto)
    }

    #[test]
    fn both_servers_are_understood() {
        let swift = info(SWIFT, "http://h/v1/AUTH_a");
        assert_eq!((swift.flavour, swift.nests()), (Flavour::Swift, true));
        assert_eq!((swift.max_file_size, swift.bulk_delete), (5_368_709_122, Some(10_000)));
        assert_eq!(swift.temp_url, Some(TempUrl { digest: Digest::Sha256, reads: true }));
        let rgw = info(RGW, "http://h/swift/v1");
        assert_eq!((rgw.flavour, rgw.nests()), (Flavour::Rgw, false));
        assert_eq!(rgw.bulk_delete, Some(1000));
        assert_eq!(rgw.temp_url, Some(TempUrl { digest: Digest::Sha1, reads: true }));
        let slo = Slo { max_segments: 500, max_manifest_size: MAX_MANIFEST, min_segment_size: MIN_SEGMENT };
        assert_eq!(rgw.slo, Some(slo));
    }

    #[test]
    fn what_is_not_said_is_not_there_unless_nothing_is_said() {
        let bare = info(r#"{"swift": {}}"#, "http://h/v1/AUTH_a");
        assert_eq!((bare.slo, bare.bulk_delete, bare.temp_url.clone()), (None, None, None));
        assert_eq!(bare.listing_limit, 10_000);
        let silent = info("null", "http://h/swift/v1/AUTH_a");
        assert_eq!(silent.flavour, Flavour::Rgw);
        assert!(silent.slo.is_some() && silent.temp_url.is_none());
        let odd = info(
            r#"{"swift": {"container_listing_limit": 0, "max_file_size": "large"}, "slo": 7}"#,
            "http://h/v1/a",
        );
        assert_eq!((odd.listing_limit, odd.max_file_size), (1, MAX_FILE_SIZE));
        let no_reads = info(r#"{"tempurl": {"methods": ["PUT"]}}"#, "http://h/v1/a");
        assert!(!no_reads.temp_url.unwrap().reads);
    }

    #[test]
    fn the_address_is_beside_that_of_the_account() {
        assert_eq!(address("http://h:8080/v1/AUTH_a"), "http://h:8080/info");
        assert_eq!(address("http://h/swift/v1"), "http://h/swift/info");
        assert_eq!(address("http://h/swift/v1/AUTH_a"), "http://h/swift/info");
    }
}
