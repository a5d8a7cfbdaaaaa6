//! A listing that lags behind what was written: a front hides from it what is younger than some seconds. What
//! `listing=lagging` promises holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::http::request::Parts;
use longshore_end_to_end::lagging_listings::{a_delete_takes_what_was_tagged_a_moment_ago, nothing_is_lost};
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::{Fault, FaultyFront};
use reqwest::Method;

use crate::bucket::{Bucket, no_multipart_upload_is_left};

const LAG: Duration = Duration::from_secs(3);

/// When each key was written first.
#[derive(Default)]
struct Written(Mutex<BTreeMap<String, Instant>>);

impl Written {
    fn note(&self, asked: &Parts) {
        let part = asked.uri.query().is_some_and(|query| query.contains("partNumber="));
        let writes = (asked.method == Method::PUT && !part) || asked.method == Method::POST;
        if let Some(key) = asked.uri.path().strip_prefix("/registry/").filter(|_| writes) {
            self.0.lock().expect("the keys").entry(key.to_owned()).or_insert_with(Instant::now);
        }
    }

    /// Whether a listing shows this key, or this folder.
    fn shows(&self, name: &str) -> bool {
        let keys = self.0.lock().expect("the keys");
        let mut below = keys
            .iter()
            .filter(|(key, _)| key.as_str() == name || name.ends_with('/') && key.starts_with(name));
        below.clone().next().is_none() || below.any(|(_, since)| since.elapsed() > LAG)
    }

    /// Without the entries that are too young.
    fn edited(&self, listing: &str) -> String {
        let mut edited = listing.to_owned();
        for (element, name) in [("Contents", "Key"), ("CommonPrefixes", "Prefix")] {
            let (open, close) = (format!("<{element}>"), format!("</{element}>"));
            for entry in listing.split(&open).skip(1).filter_map(|rest| rest.split_once(&close)) {
                let text =
                    entry.0.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once("</"));
                if text.is_some_and(|(text, _)| !self.shows(text)) {
                    edited = edited.replace(&format!("{open}{}{close}", entry.0), "");
                }
            }
        }
        edited
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_lags_loses_nothing_and_an_upload_goes_on_where_it_began() {
    let bucket = Bucket::start(Implementation::Versitygw).await;
    let written = Arc::new(Written::default());
    let front = FaultyFront::before(bucket.server.endpoint(), move |asked| {
        written.note(asked);
        if !asked.uri.query().is_some_and(|query| query.contains("list-type=2")) {
            return Fault::Pass;
        }
        let written = Arc::clone(&written);
        Fault::Edit(Box::new(move |listing| written.edited(&listing)))
    })
    .await;
    let mut driver = bucket.driver_through_with("driver", &front.url(), |command| {
        command.arg("listing=lagging");
    });
    let registry = driver.core("").await;
    a_delete_takes_what_was_tagged_a_moment_ago(&registry).await;
    nothing_is_lost("s3", &mut driver, registry).await;
    no_multipart_upload_is_left(&bucket.server).await;
}
