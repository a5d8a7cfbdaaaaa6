//! A client of the load, in front of one core: each request stands in the ledger, and is made again after a 429 or 503.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::client::{OCI_MANIFEST, blob_path, manifest_path};
use crate::{Client, Random, sha256};
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode};

use super::REPOSITORIES;
use super::content::Content;
use super::ledger::{Answered, Asked, Ledger, Tag};

/// So often a client asks for the same, before the test fails.
pub(super) const TRIES: usize = 20;
const LONGEST_WAIT: Duration = Duration::from_secs(2);

pub(super) struct User {
    /// The core that it asks, and the other one, to which some chunks go.
    pub(super) cores: [Client; 2],
    pub(super) ledger: Arc<Ledger>,
    pub(super) content: Arc<Content>,
    pub(super) random: Random,
    /// Statuses by which requests failed, and how often.
    pub(super) failures: BTreeMap<String, usize>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl User {
    /// What a request is answered; `None`, and a rest, after a 429 or 503.
    pub(super) async fn try_once(&mut self, request: RequestBuilder) -> Option<Answer> {
        let answer = request.send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"));
        let (status, headers, url) = (answer.status(), answer.headers().clone(), answer.url().clone());
        let body = answer.bytes().await.unwrap_or_else(|error| panic!("{url}: cut off: {error:?}"));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            self.count(status.as_str());
            tokio::time::sleep(wait(&headers)).await;
            return None;
        }
        assert!(!status.is_server_error(), "{url}: {status}: {body:?}");
        Some(Answer { status, headers, body })
    }

    /// The same, until there is an answer. For what changes no name.
    pub(super) async fn send(&mut self, request: impl Fn(&Self) -> RequestBuilder) -> Answer {
        for _ in 0..TRIES {
            if let Some(answer) = self.try_once(request(self)).await {
                return answer;
            }
        }
        panic!("refused {TRIES} times");
    }

    pub(super) fn count(&mut self, what: &str) {
        *self.failures.entry(what.to_owned()).or_insert(0) += 1;
    }

    /// What stands in the ledger, each try by itself.
    pub(super) async fn ask(&mut self, asked: Asked) -> Answered {
        for _ in 0..TRIES {
            let begin = self.ledger.now();
            let answer = self.try_once(self.request(asked)).await;
            let answered = answer.map_or(Answered::Unknown, |answer| self.meaning(asked, &answer));
            self.ledger.enter(begin, asked, answered);
            if answered != Answered::Unknown {
                return answered;
            }
        }
        panic!("{asked:?}: refused {TRIES} times");
    }

    fn request(&self, asked: Asked) -> RequestBuilder {
        let client = &self.cores[0];
        let blob = |number: usize| self.content.blobs[number].digest.as_str();
        let image = |number: usize| &self.content.images[number];
        match asked {
            Asked::PushBlob(..) => panic!("an upload has more than one request"),
            // Somebody may just be deleting it there: DESIGN.md section 4, Adopt: gone, a mount answers 202. One that is
            // acknowledged is the target's own, whatever becomes of the source.
            Asked::Mount(to, number) => {
                let (to, from) = (REPOSITORIES[to], REPOSITORIES[other(to)]);
                let path = format!("/v2/{to}/blobs/uploads/?mount={}&from={from}", blob(number));
                client.request(Method::POST, &path)
            }
            Asked::LookForBlob(place, number) => {
                client.request(Method::HEAD, &blob_path(REPOSITORIES[place], blob(number)))
            }
            Asked::ReadBlob(place, number) => client.get(&blob_path(REPOSITORIES[place], blob(number))),
            Asked::DeleteBlob(place, number) => {
                client.request(Method::DELETE, &blob_path(REPOSITORIES[place], blob(number)))
            }
            Asked::PutManifest(place, number, tag) => client
                .request(Method::PUT, &manifest_path(REPOSITORIES[place], &tag_name(tag)))
                .header(CONTENT_TYPE, OCI_MANIFEST)
                .body(image(number).manifest.clone()),
            Asked::ReadTag(place, tag) => client.get(&manifest_path(REPOSITORIES[place], &tag_name(tag))),
            Asked::ReadManifest(place, number) => {
                client.get(&manifest_path(REPOSITORIES[place], &image(number).digest))
            }
            Asked::DeleteTag(place, tag) => {
                client.request(Method::DELETE, &manifest_path(REPOSITORIES[place], &tag_name(tag)))
            }
            Asked::DeleteManifest(place, number) => {
                client.request(Method::DELETE, &manifest_path(REPOSITORIES[place], &image(number).digest))
            }
        }
    }

    /// Every byte that came is looked at here.
    fn meaning(&self, asked: Asked, answer: &Answer) -> Answered {
        let Answer { status, body, .. } = answer;
        match (asked, status.as_u16()) {
            (Asked::Mount(..) | Asked::PutManifest(..), 201)
            | (Asked::DeleteBlob(..) | Asked::DeleteTag(..) | Asked::DeleteManifest(..), 202) => {
                Answered::Done
            }
            (Asked::Mount(..), 202) => Answered::Refused,
            (Asked::PutManifest(..), 400) => {
                let text = String::from_utf8_lossy(body);
                assert!(text.contains("MANIFEST_BLOB_UNKNOWN"), "{asked:?}: {text}");
                Answered::Refused
            }
            (Asked::LookForBlob(..), 200) => Answered::Done,
            (Asked::ReadBlob(_, number), 200) => {
                assert_eq!(sha256(body), self.content.blobs[number].digest, "{asked:?}: wrong bytes");
                Answered::Done
            }
            (Asked::ReadManifest(_, number), 200) => {
                assert_eq!(*body, self.content.images[number].manifest, "{asked:?}: wrong bytes");
                Answered::Done
            }
            (Asked::ReadTag(..), 200) => {
                let digest = sha256(body);
                let image = self.content.image_of(&digest);
                assert_eq!(answer.headers["docker-content-digest"], digest, "{asked:?}");
                Answered::Shows(image.unwrap_or_else(|| panic!("{asked:?}: nobody pushed {body:?}")))
            }
            (Asked::Mount(..) | Asked::PutManifest(..), _) => panic!("{asked:?}: {status}: {body:?}"),
            (_, 404) => Answered::Absent,
            _ => panic!("{asked:?}: {status}: {body:?}"),
        }
    }
}

pub(super) fn other(repository: usize) -> usize {
    (repository + 1) % REPOSITORIES.len()
}

pub(super) fn tag_name(tag: Tag) -> String {
    format!("tag-{tag}")
}

/// As long as the registry says, within reason.
fn wait(headers: &HeaderMap) -> Duration {
    let told = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(told.expect("a 429 or 503 says when to come again")).min(LONGEST_WAIT)
}
