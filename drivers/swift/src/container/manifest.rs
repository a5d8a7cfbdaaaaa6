//! Large objects: static ones (SLO), which name each of their segments with its size and etag. Nothing else is used:
//! dynamic ones (DLO) take what a listing shows at the moment.

use bytes::Bytes;
use longshore_driver_sdk::sessions::parted::Content;
use longshore_driver_sdk::{DriverError, Reason};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Container, Extra, Found, etag, header};
use crate::client::{Patience, Request};
use crate::failure::{Failure, Outcome};
use crate::info::Flavour;

/// Swift's own limit is 8 MiB as it is written, and it is read with more about each segment.
const MOST: usize = 64 * 1024 * 1024;

/// A segment that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) etag: String,
    /// It is a manifest itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_manifest: bool,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    bytes: u64,
    hash: String,
    #[serde(default)]
    sub_slo: bool,
}

impl Container {
    /// Makes an object of exactly these segments, and gives its etag. A segment may be a manifest where
    /// [`crate::info::Info::nests`]: its size is then that of the whole, and its etag the manifest's.
    ///
    /// Swift looks at each segment's etag and size before it says yes; RGW at the size alone. Neither writes anything where
    /// one is not as named.
    pub(crate) async fn put_manifest(
        &self,
        name: &str,
        segments: &[Segment],
        extra: Extra<'_>,
    ) -> Outcome<Found> {
        let what = format!("PUT the manifest {name}");
        let manifest: Vec<_> = segments
            .iter()
            .map(|segment| {
                let path = format!("/{}/{}{}", self.name, self.prefix, segment.name);
                json!({ "path": path, "etag": segment.etag, "size_bytes": segment.size })
            })
            .collect();
        let text = serde_json::to_vec(&manifest)
            .map_err(|error| DriverError::new(Reason::DriverBug, format!("{what}: {error}")))?;
        let request = Request::new(Method::PUT, self.path(name))
            .query("multipart-manifest=put")
            .content(Content::from(Bytes::from(text)))
            .patience(Patience::for_assembly());
        let request = self.described(&what, request, extra)?;
        let answer = match self.send(&what, request).await {
            Ok(answer) => answer,
            Err(failure) => return Err(self.explained_manifest(&what, failure).await),
        };
        self.saw();
        Ok(Found {
            size: segments.iter().map(|segment| segment.size).sum(),
            etag: header(answer.headers(), "etag").and_then(etag),
            modified: None,
            made_by: extra.made_by.map(str::to_owned),
            bookmark: extra.bookmark.cloned(),
            is_manifest: true,
        })
    }

    /// RGW says 404 where a segment is missing, as of a missing container.
    async fn explained_manifest(&self, what: &str, failure: Failure) -> Failure {
        match failure {
            Failure::Malformed(text) if is_about_segments(&text) => Failure::Segments(text),
            Failure::Absent => match self.must_be_there(what).await {
                Ok(()) => Failure::Segments("404 of one of them".to_owned()),
                Err(error) => Failure::Other(error),
            },
            other => other,
        }
    }

    /// The segments of an object; `None`: it is not in segments. RGW can't tell.
    pub(crate) async fn get_manifest(&self, name: &str) -> Outcome<Option<Vec<Segment>>> {
        let what = format!("GET the manifest {name}");
        if self.info().await?.flavour == Flavour::Rgw {
            let message = format!("{what}: RGW does not hand out manifests");
            return Err(Failure::Unknown(DriverError::new(Reason::NotSupported, message)));
        }
        let request = Request::new(Method::GET, self.path(name)).query("multipart-manifest=get");
        let answer = match self.send(&what, request).await {
            Ok(answer) => answer,
            Err(failure) => return Err(self.explained(&what, name, failure).await),
        };
        if !Found::of(&answer, 0).is_manifest {
            return Ok(None);
        }
        let text = answer.all(MOST).await?;
        self.segments(&text).map(Some).map_err(|problem| {
            Failure::Other(DriverError::new(Reason::BackendUnavailable, format!("{what}: {problem}")))
        })
    }

    fn segments(&self, text: &[u8]) -> Result<Vec<Segment>, String> {
        let entries: Vec<Entry> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let below = format!("/{}/{}", self.name, self.prefix);
        let segment = |entry: Entry| {
            let name = entry.name.strip_prefix(&below);
            let name = name.ok_or_else(|| format!("it names {}, which is not ours", entry.name))?;
            Ok(Segment {
                name: name.to_owned(),
                size: entry.bytes,
                etag: etag(&entry.hash).unwrap_or_default(),
                is_manifest: entry.sub_slo,
            })
        };
        entries.into_iter().map(segment).collect()
    }
}

/// Swift lists them, RGW has one word. What is wrong with the manifest as such is said in other words.
fn is_about_segments(text: &str) -> bool {
    text.starts_with("Errors:") || text == "InvalidArgument"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_segment_that_is_another_is_told_from_a_manifest_that_is_none() {
        assert!(is_about_segments("Errors: /c/s/1, Etag Mismatch /c/s/9, 404 Not Found"));
        assert!(is_about_segments("InvalidArgument"));
        assert!(!is_about_segments("Index 0: too small; each segment must be at least 1 byte."));
    }

    fn container() -> Container {
        let text = "container = 'c'\nprefix = 'p'\nstorage_url = 'http://h/v1/a'\ntoken = 't'";
        let config: Config = toml::from_str(text).unwrap();
        Container::open(&config).unwrap()
    }

    #[tokio::test]
    async fn a_manifest_is_read_as_swift_shows_it() {
        let text = r#"[{"name": "/c/p/slo", "bytes": 10, "hash": "ae80", "content_type": "application/octet-stream",
            "last_modified": "2026-11-26T04:54:04.000000", "sub_slo": true},
            {"name": "/c/p/s/2", "bytes": 5, "hash": "7d79"}]"#;
        let segment = |name: &str, size, etag: &str, is_manifest| Segment {
            name: name.to_owned(),
            size,
            etag: etag.to_owned(),
            is_manifest,
        };
        let expected = vec![segment("slo", 10, "ae80", true), segment("s/2", 5, "7d79", false)];
        assert_eq!(container().segments(text.as_bytes()).unwrap(), expected);
        let foreign = br#"[{"name": "/other/s", "bytes": 5, "hash": "7d79"}]"#;
        assert!(container().segments(foreign).unwrap_err().contains("/other/s"));
    }
}
