//! Deletions of more than one object by one request. Swift answers 200 before it begins, and says in the body how it went.

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use longshore_driver_sdk::sessions::parted::Content;
use longshore_driver_sdk::{DriverError, Reason, Result};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::{Container, Segment};
use crate::client::{Patience, Request};
use crate::failure::{self, Failure, Outcome};
use crate::names;

/// A request takes so many names; also where the server takes more, as it has to answer in time.
pub(crate) const BATCH: usize = 1000;
/// Where each takes one of its own.
const AT_ONCE: usize = 16;
/// Manifests of one object whose segments are deleted at once.
const MANIFESTS_AT_ONCE: usize = 4;
const MOST: usize = 16 * 1024 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");

#[derive(Debug, Deserialize)]
struct Report {
    #[serde(rename = "Response Status", default)]
    status: String,
    #[serde(rename = "Response Body", default)]
    body: String,
    #[serde(rename = "Number Deleted", default)]
    deleted: u64,
    #[serde(rename = "Number Not Found", default)]
    not_found: u64,
    /// Escaped path and status.
    #[serde(rename = "Errors", default)]
    errors: Vec<(String, String)>,
}

impl Report {
    fn read(what: &str, text: &[u8]) -> Result<Self> {
        // Spaces come before it, so that nobody takes the connection for dead.
        serde_json::from_slice(text).map_err(|error| {
            let message = format!("{what}: the server broke off, or does not answer as Swift does: {error}");
            DriverError::new(Reason::BackendUnavailable, message).with_unknown_outcome()
        })
    }

    /// Of the whole request.
    fn failure(&self, what: &str) -> Option<Failure> {
        let status = code(&self.status);
        let is_good = (200..300).contains(&status) && self.errors.is_empty();
        (!is_good).then(|| {
            let first = self.errors.first().map_or(&self.body, |(_, status)| status);
            one(what, if self.errors.is_empty() { status } else { code(first) }, first)
        })
    }
}

/// `404 Not Found`; what begins with no number is a refusal in words.
fn code(status: &str) -> u16 {
    status.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(400)
}

fn one(what: &str, status: u16, text: &str) -> Failure {
    failure::Answer { method: &Method::DELETE, status, text, retry_after: None }.classify(what)
}

impl Container {
    /// Removes an object and, if it is in segments, those with it: each manifest after all that it names, so that what breaks
    /// off is finished by another delete.
    ///
    /// Swift's own `multipart-manifest=delete` does not do that (measured, 2.38): of nested manifests it removes the outer one
    /// first, and any manifest also where a segment of it could not be removed. RGW shows no manifest, and nests none.
    pub(crate) fn delete_with_segments<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            match self.get_manifest(name).await {
                Ok(segments) => {
                    self.delete_segments(segments.unwrap_or_default()).await?;
                    self.delete(name).await
                }
                Err(Failure::Unknown(_)) => self.delete_as_the_server_does(name).await,
                Err(other) => Err(other),
            }
        })
    }

    async fn delete_segments(&self, segments: Vec<Segment>) -> Outcome<()> {
        let (manifests, plain): (Vec<_>, Vec<_>) =
            segments.into_iter().partition(|segment| segment.is_manifest);
        let plain: Vec<String> = plain.into_iter().map(|segment| segment.name).collect();
        if let Some((_, error)) = self.delete_all(&plain).await?.into_iter().next() {
            return Err(Failure::Other(error));
        }
        let deletes = stream::iter(manifests).map(|manifest| async move {
            match self.delete_with_segments(&manifest.name).await {
                Err(Failure::Absent) => Ok(()),
                other => other,
            }
        });
        deletes.buffer_unordered(MANIFESTS_AT_ONCE).try_collect().await
    }

    async fn delete_as_the_server_does(&self, name: &str) -> Outcome<()> {
        let what = format!("DELETE {name} with its segments");
        let request = Request::new(Method::DELETE, self.path(name))
            .query("multipart-manifest=delete")
            .header("accept", JSON)
            .patience(Patience::for_assembly());
        let answer = match self.send(&what, request).await {
            Ok(answer) => answer,
            Err(failure) => return Err(self.explained(&what, name, failure).await),
        };
        let report = Report::read(&what, &answer.all(MOST).await?)?;
        if self.is_about_itself(name, &report) {
            // It is not in segments; or, to RGW, it is not there.
            return self.delete(name).await;
        }
        if let Some(failure) = report.failure(&what) {
            return Err(failure);
        }
        if report.deleted == 0 {
            self.must_be_there(&what).await?;
            return Err(Failure::Absent);
        }
        Ok(())
    }

    /// Whether nothing was wrong but that this is no manifest.
    fn is_about_itself(&self, name: &str, report: &Report) -> bool {
        let [(path, status)] = report.errors.as_slice() else { return false };
        let is_it = self.below(path).is_some_and(|found| found == name);
        is_it && report.deleted == 0 && code(status) == 400
    }

    /// The name below the prefix.
    fn below(&self, path: &str) -> Option<String> {
        let path = names::decode(path)?;
        let name = path.strip_prefix('/').unwrap_or(&path).strip_prefix(&self.name)?.strip_prefix('/')?;
        name.strip_prefix(&self.prefix).map(str::to_owned)
    }

    /// Deletes objects, by as few requests as may be; what can't be deleted comes back. One that is not there is deleted. Of
    /// an object in segments the manifest alone goes.
    pub(crate) async fn delete_all(&self, names: &[String]) -> Result<Vec<(String, DriverError)>> {
        let Some(most) = self.info().await?.bulk_delete else { return Ok(self.delete_each(names).await) };
        let mut refused = Vec::new();
        for batch in names.chunks(most.min(BATCH)) {
            match self.delete_batch(batch).await {
                Ok(some) => refused.extend(some),
                // A proxy before the server, or its policy, does not take it.
                Err(Failure::Unknown(_) | Failure::Absent | Failure::Condition) => {
                    refused.extend(self.delete_each(batch).await);
                }
                Err(Failure::Other(error)) if error.reason() == Reason::BackendCredentials => {
                    refused.extend(self.delete_each(batch).await);
                }
                Err(other) => return Err(other.into_error(&format!("DELETE of {} objects", batch.len()))),
            }
        }
        Ok(refused)
    }

    async fn delete_each(&self, names: &[String]) -> Vec<(String, DriverError)> {
        let deletes = stream::iter(names.to_vec()).map(|name| async move {
            match self.delete(&name).await {
                Ok(()) | Err(Failure::Absent) => None,
                Err(other) => {
                    let error = other.into_error(&format!("DELETE {name}"));
                    Some((name, error))
                }
            }
        });
        deletes.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await
    }

    async fn delete_batch(&self, names: &[String]) -> Outcome<Vec<(String, DriverError)>> {
        let what = format!("DELETE of {} objects", names.len());
        let lines: String = names.iter().map(|name| format!("{}\n", &self.path(name)[1..])).collect();
        let request = Request::new(Method::POST, String::new())
            .query("bulk-delete")
            .header("accept", JSON)
            .header("content-type", PLAIN)
            .content(Content::from(bytes::Bytes::from(lines)))
            .patience(Patience::for_assembly());
        let answer = self.send(&what, request).await?;
        let report = Report::read(&what, &answer.all(MOST).await?)?;
        let Some(failure) = report.failure(&what) else {
            if report.not_found > 0 {
                // Of a container that is missing, too.
                self.must_be_there(&what).await?;
            }
            return Ok(Vec::new());
        };
        if report.errors.is_empty() {
            return Err(failure);
        }
        Ok(self.refused(&report))
    }

    fn refused(&self, report: &Report) -> Vec<(String, DriverError)> {
        let refused = report.errors.iter().filter_map(|(path, status)| {
            let name = self.below(path)?;
            match one(&format!("DELETE {name}"), code(status), status) {
                Failure::Absent => None,
                other => Some((name.clone(), other.into_error(&format!("DELETE {name}")))),
            }
        });
        refused.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> Container {
        let text = "container = 'c d'\nprefix = 'p'\nstorage_url = 'http://h/v1/a'\ntoken = 't'";
        Container::open(&toml::from_str(text).unwrap()).unwrap()
    }

    fn report(text: &str) -> Report {
        Report::read("DELETE", text.as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn what_could_not_be_deleted_comes_back_by_name() {
        let report = report(
            r#"  {"Response Status": "400 Bad Request", "Response Body": "", "Number Deleted": 1, "Number Not Found": 0,
            "Errors": [["/c%20d/p/a%2Bb", "403 Forbidden"], ["c%20d/p/gone", "404 Not Found"]]}"#,
        );
        let refused = container().refused(&report);
        assert_eq!(refused.len(), 1);
        assert_eq!((&*refused[0].0, refused[0].1.reason()), ("a+b", Reason::BackendCredentials));
    }

    #[test]
    fn the_status_in_the_body_counts_and_not_that_of_the_answer() {
        let bad =
            report(r#"{"Response Status": "503 Service Unavailable", "Response Body": "x", "Errors": []}"#);
        let failure = bad.failure("DELETE").unwrap().into_error("DELETE");
        assert_eq!(failure.reason(), Reason::BackendUnavailable);
        let good = report(r#"{"Response Status": "200 OK", "Number Deleted": 2, "Errors": []}"#);
        assert!(good.failure("DELETE").is_none());
        assert!(Report::read("DELETE", b"   ").unwrap_err().is_outcome_unknown());
    }

    #[tokio::test]
    async fn an_object_without_segments_is_known_by_the_words_of_both_servers() {
        let (swift, rgw) = (
            r#"{"Response Status": "400 Bad Request", "Errors": [["/c%20d/p/k", "Not an SLO manifest"]]}"#,
            r#"{"Response Status": "400 Bad Request", "Errors": [["c%20d/p/k", "400 Bad Request"]]}"#,
        );
        for text in [swift, rgw] {
            assert!(container().is_about_itself("k", &report(text)), "{text}");
            assert!(!container().is_about_itself("other", &report(text)), "{text}");
        }
        let failed =
            r#"{"Response Status": "400 Bad Request", "Errors": [["/c%20d/p/k", "503 Unavailable"]]}"#;
        assert!(!container().is_about_itself("k", &report(failed)));
    }
}
