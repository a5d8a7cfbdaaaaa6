//! Pages of names.

use std::time::SystemTime;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use longshore_driver_sdk::backend::{Listed, Listing};
use longshore_driver_sdk::{DriverError, Reason, Result};
use reqwest::Method;
use serde::Deserialize;

use super::{Container, Found, etag, system_time};
use crate::client::Request;
use crate::failure::{self, Failure};
use crate::info::Flavour;
use crate::names;

/// 10,000 entries with the longest names, escaped.
const MOST: usize = 64 * 1024 * 1024;
/// Looks at objects whose size a listing does not tell.
const LOOKS_AT_ONCE: usize = 32;
/// MD5 of nothing.
const EMPTY: &str = "d41d8cd98f00b204e9800998ecf8427e";

#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Folder { subdir: String },
    Object(ObjectRow),
}

#[derive(Deserialize)]
struct ObjectRow {
    name: String,
    bytes: u64,
    hash: String,
    #[serde(default)]
    last_modified: Option<String>,
    /// Swift's, of objects in segments; `hash` is then the manifest's text's.
    #[serde(default)]
    slo_etag: Option<String>,
}

impl Container {
    /// Names below a prefix that sort behind a text; one level of them, or all. No more than the server gives at once.
    ///
    /// RGW lists an object in segments with the size of its manifest's text, and the etag of nothing: those are looked at.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        one_level: bool,
        start_after: &str,
        most: usize,
    ) -> Result<Listing<Found>> {
        let what = format!("LIST {prefix}");
        let info = self.info().await?;
        let limit = most.clamp(1, info.listing_limit);
        let query = self.query(prefix, one_level, start_after, limit);
        let request = Request::new(Method::GET, self.path_of_container()).query(query);
        let answer = self.send(&what, request).await.map_err(|failed| match failed {
            Failure::Absent => failure::no_container(&what, &self.name),
            other => other.into_error(&what),
        })?;
        self.saw();
        // 204 with nothing in it is an older server's empty page.
        let text = answer.all(MOST).await?;
        let rows = rows(&text)
            .map_err(|problem| DriverError::new(Reason::BackendUnavailable, format!("{what}: {problem}")))?;
        let more = rows.len() >= limit;
        let entries: Vec<Listed<Found>> =
            rows.into_iter().filter_map(|row| listed(row, &self.prefix)).collect();
        let entries = if info.flavour == Flavour::Rgw { self.looked_at(entries).await? } else { entries };
        Ok(Listing { entries, more })
    }

    fn query(&self, prefix: &str, one_level: bool, start_after: &str, limit: usize) -> String {
        let mut query = format!("format=json&limit={limit}");
        let mut add = |name: &str, text: &str| {
            if !text.is_empty() {
                query.push_str(&format!("&{name}={}", names::value(text)));
            }
        };
        add("prefix", &format!("{}{prefix}", self.prefix));
        if one_level {
            add("delimiter", "/");
        }
        if !start_after.is_empty() {
            add("marker", &format!("{}{start_after}", self.prefix));
        }
        query
    }

    /// One that is gone by then is left out.
    async fn looked_at(&self, entries: Vec<Listed<Found>>) -> Result<Vec<Listed<Found>>> {
        let looks = stream::iter(entries).map(|entry| async move {
            if !entry.found.as_ref().is_some_and(is_unclear) {
                return Ok(Some(entry));
            }
            let found = self.stat_whole(&entry.name).await?;
            Ok(found.map(|found| Listed { name: entry.name, found: Some(found) }))
        });
        looks.buffered(LOOKS_AT_ONCE).try_filter_map(|entry| async { Ok(entry) }).try_collect().await
    }
}

fn is_unclear(found: &Found) -> bool {
    found.size > 0 && found.etag.as_deref() == Some(EMPTY)
}

fn rows(text: &[u8]) -> std::result::Result<Vec<Row>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(text).map_err(|error| format!("the server does not list as Swift does: {error}"))
}

fn listed(row: Row, prefix: &str) -> Option<Listed<Found>> {
    match row {
        Row::Folder { subdir } => Some(Listed { name: subdir.strip_prefix(prefix)?.to_owned(), found: None }),
        Row::Object(row) => {
            let is_manifest = row.slo_etag.is_some();
            let found = Found {
                size: row.bytes,
                etag: etag(row.slo_etag.as_deref().unwrap_or(&row.hash)),
                modified: row.last_modified.as_deref().and_then(time),
                made_by: None,
                bookmark: None,
                is_manifest,
            };
            Some(Listed { name: row.name.strip_prefix(prefix)?.to_owned(), found: Some(found) })
        }
    }
}

/// UTC; Swift does not say so, RGW does.
fn time(text: &str) -> Option<SystemTime> {
    let text = text.trim_end_matches('Z');
    system_time(format!("{text}Z").parse().ok()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(text: &str) -> Vec<Listed<Found>> {
        rows(text.as_bytes()).unwrap().into_iter().filter_map(|row| listed(row, "p/")).collect()
    }

    #[test]
    fn the_pages_of_both_servers_are_read() {
        let entries = read(
            r#"[{"subdir": "p/a/"}, {"bytes": 10, "hash": "b324", "name": "p/slo", "content_type": "x/y",
            "last_modified": "2026-11-26T04:54:03.561870", "slo_etag": "\"ae80\""},
            {"name":"p/e","hash":"7d79","bytes":5,"last_modified":"2026-11-26T04:54:08.500Z"},
            {"bytes": 1, "hash": "x", "name": "outside"}]"#,
        );
        assert_eq!(entries.iter().map(|entry| &*entry.name).collect::<Vec<_>>(), ["a/", "slo", "e"]);
        assert_eq!(entries[0].found, None);
        let large = entries[1].found.clone().unwrap();
        assert_eq!((large.size, large.etag.as_deref(), large.is_manifest), (10, Some("ae80"), true));
        let small = entries[2].found.clone().unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_668_848_500);
        assert_eq!((small.modified, small.is_manifest), (Some(at), false));
        assert!(large.modified.is_some());
    }

    #[test]
    fn only_a_manifest_of_rgw_has_bytes_and_the_etag_of_nothing() {
        let found = |bytes, hash: &str| {
            read(&format!(r#"[{{"name": "p/k", "bytes": {bytes}, "hash": "{hash}"}}]"#))[0]
                .found
                .clone()
                .unwrap()
        };
        assert!(is_unclear(&found(161, EMPTY)));
        assert!(!is_unclear(&found(0, EMPTY)));
        assert!(!is_unclear(&found(161, "7d79")));
    }

    #[test]
    fn an_empty_page_is_one_and_a_page_of_html_is_none() {
        assert!(read("").is_empty() && read("[]").is_empty());
        assert!(rows(b"<html>").is_err());
    }

    #[tokio::test]
    async fn what_is_asked_for_is_escaped_and_lies_below_the_prefix() {
        let text = "container = 'c'\nprefix = 'p'\nstorage_url = 'http://h/v1/a'\ntoken = 't'";
        let container = Container::open(&toml::from_str(text).unwrap()).unwrap();
        assert_eq!(container.query("", false, "", 7), "format=json&limit=7&prefix=p%2F");
        assert_eq!(
            container.query("a+b/", true, "a+b/c", 7),
            "format=json&limit=7&prefix=p%2Fa%2Bb%2F&delimiter=%2F&marker=p%2Fa%2Bb%2Fc"
        );
    }
}
