//! The core's end of the socket: [`RemoteDriver`] is a [`Driver`] whose store is in another process. Owns what makes
//! that bearable: a deadline on every call, retries of what may be retried, reconnection, a circuit breaker.

mod answers;
mod breaker;
mod link;
mod reading;
mod retry;
mod supervisor;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use longshore_driver_proto::v1;

use crate::driver::{
    Condition, Description, Driver, Entry, Fence, ListQuery, Object, OpenUpload, Page, Probe, ReadRange,
    Reading, SignRequest, SignedUrl, Upload, UploadId, UploadQuery, UploadStream,
};
use crate::endpoint::{Endpoint, TrustedPeer};
use crate::error::{DriverError, Optional as _, Reason, Result};
use crate::key::Key;
use crate::wire;
use link::Link;
pub use link::MOST_SKEW;
use retry::Repeat;
pub use supervisor::Status;
use supervisor::Supervised;

/// How long calls may take. docs/operations.md has the table.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// One attempt at a handshake or probe.
    pub probe: Duration,
    /// One attempt at a unary call, or at opening a stream.
    pub call: Duration,
    /// A unary call with all its retries.
    pub call_with_retries: Duration,
    /// A stream without progress.
    pub stall: Duration,
    /// A commit, and a move where bytes are copied.
    pub commit: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            probe: Duration::from_secs(2),
            call: Duration::from_secs(3),
            call_with_retries: Duration::from_secs(8),
            stall: Duration::from_secs(8),
            commit: Duration::from_secs(60),
        }
    }
}

/// How to reach a driver.
#[derive(Debug, Clone)]
pub struct Remote {
    pub endpoint: Endpoint,
    pub trusted: TrustedPeer,
    /// The store that must be behind it; learned at the first handshake when not given.
    pub store_id: Option<String>,
    pub deadlines: Deadlines,
    /// For the driver's log.
    pub core_instance: String,
}

/// A driver in another process. Clones share their connections.
#[derive(Debug, Clone)]
pub struct RemoteDriver {
    supervised: Arc<Supervised>,
    deadlines: Deadlines,
}

impl RemoteDriver {
    /// Begins to dial; calls wait for the connection within their deadlines. Needs a Tokio runtime.
    pub fn new(remote: Remote) -> Self {
        let deadlines = remote.deadlines.clone();
        Self { supervised: Supervised::start(remote), deadlines }
    }

    /// Over one connection that is there already, and that nobody mends.
    #[cfg(feature = "fuzzing")]
    pub(crate) async fn over(channel: tonic::transport::Channel, remote: &Remote) -> Result<Self> {
        let link = Link::over(channel, remote).await?;
        Ok(Self { supervised: Supervised::of(link), deadlines: remote.deadlines.clone() })
    }

    /// Waits for the first handshake.
    ///
    /// # Errors
    /// When it fails, or takes longer than `patience`.
    pub async fn connected(&self, patience: Duration) -> Result<Description> {
        self.supervised.link(patience).await.map(|link| link.description.clone())
    }

    /// The id of the store behind the driver, as the last handshake told it; empty: it was never initialised.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn store_id(&self) -> Result<String> {
        self.supervised.link(self.deadlines.call).await.map(|link| link.store_id.clone())
    }

    /// Initialises the store (contract clause K4): its id is made once.
    ///
    /// # Errors
    /// [`Reason::KeyExists`] when it has one.
    pub async fn initialise(&self, store_id: &str) -> Result<()> {
        let content = Bytes::copy_from_slice(store_id.as_bytes());
        self.put(&Key::store_id(), content, Condition::IfAbsent).await?;
        self.supervised.forget_store();
        Ok(())
    }

    /// The connection and the breaker, for readiness and metrics.
    pub fn status(&self) -> Status {
        self.supervised.status()
    }

    /// Asks the driver to make sessions durable and take no new ones.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub async fn ask_to_drain(&self, grace: Duration) -> Result<u32> {
        let request = v1::DrainRequest { grace: prost_types::Duration::try_from(grace).ok() };
        let link = self.supervised.link(self.deadlines.call).await?;
        let answer = retry::within(self.deadlines.call, async {
            link.identity().drain(request).await.map_err(|s| wire::from_status(&s))
        });
        Ok(answer.await?.into_inner().sessions_left_open)
    }

    async fn call<T, F>(&self, repeat: Repeat, attempt: impl Fn(Arc<Link>) -> F + Send + Sync) -> Result<T>
    where
        F: Future<Output = std::result::Result<tonic::Response<T>, tonic::Status>> + Send,
    {
        retry::call(&self.supervised, &self.deadlines, repeat, attempt).await.map_err(answers::without_offset)
    }

    /// After a conditional put whose outcome nobody knows: equal bytes mean that it happened.
    async fn settle_put(&self, key: &Key, content: &Bytes, failure: DriverError) -> Result<Object> {
        match self.get(key).await.optional()? {
            Some((object, found)) if found == *content => Ok(object),
            _ => Err(failure),
        }
    }
}

#[async_trait]
impl Driver for RemoteDriver {
    fn description(&self) -> Description {
        self.supervised.description()
    }

    async fn probe(&self) -> Result<Probe> {
        let link = self.supervised.link(self.deadlines.probe).await?;
        let outcome = retry::within(self.deadlines.probe, link.probe()).await;
        // Without other calls nobody else sees that the link broke. A success proves nothing about other calls.
        if outcome.is_err() {
            self.supervised.note(&link, &outcome);
        }
        outcome
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        let answer = self
            .call(Repeat::Freely, |link| {
                let request = v1::StatRequest { key: key.as_str().to_owned() };
                async move { link.control().stat(request).await }
            })
            .await?;
        answers::object(key, answer.object)
    }

    async fn get(&self, key: &Key) -> Result<(Object, Bytes)> {
        let answer = self
            .call(Repeat::Freely, |link| {
                let request = v1::GetRequest { key: key.as_str().to_owned() };
                async move { link.control().get(request).await }
            })
            .await?;
        Ok((answers::object_of_size(key, answer.object, answer.content.len())?, answer.content))
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        use v1::put_request::{Always, Condition as Wire, IfAbsent};
        let (repeat, wire) = match &condition {
            Condition::Always => (Repeat::Freely, Wire::Always(Always {})),
            Condition::IfAbsent => (Repeat::UnlessUnknown, Wire::IfAbsent(IfAbsent {})),
            Condition::IfMatch(etag) => (Repeat::UnlessUnknown, Wire::IfMatch(etag.clone())),
        };
        let request =
            v1::PutRequest { key: key.as_str().to_owned(), content: content.clone(), condition: Some(wire) };
        let answer = self
            .call(repeat, |link| {
                let request = request.clone();
                async move { link.control().put(request).await }
            })
            .await;
        match answer {
            Ok(answer) => answers::object_of_size(key, answer.object, content.len()),
            Err(error) if error.is_outcome_unknown() && condition != Condition::Always => {
                self.settle_put(key, &content, error).await
            }
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        let item =
            v1::delete_request::Item { key: key.as_str().to_owned(), if_match: if_match.map(str::to_owned) };
        let answer = self
            .call(Repeat::Freely, |link| {
                let request = v1::DeleteRequest { items: vec![item.clone()] };
                async move { link.control().delete(request).await }
            })
            .await?;
        let [outcome] = &answer.outcomes[..] else {
            return Err(wire::bad_answer(&format!(
                "{} outcomes for the delete of {key}",
                answer.outcomes.len()
            )));
        };
        if outcome.code == 0 {
            return Ok(outcome.existed);
        }
        let reason = Reason::parse(&outcome.reason).unwrap_or(Reason::DriverBug);
        Err(DriverError::new(reason, format!("cannot delete {key}")))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        let request = v1::ListRequest {
            prefix: query.prefix.as_str().to_owned(),
            recursive: query.recursive,
            start_after: query.start_after.clone(),
            limit: u32::try_from(query.limit).unwrap_or(u32::MAX),
        };
        let answer = self
            .call(Repeat::Freely, |link| {
                let request = request.clone();
                async move { link.control().list(request).await }
            })
            .await?;
        answers::entries(query, answer)
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        reading::open(&self.supervised, &self.deadlines, key, range).await
    }

    async fn rename(&self, from: &Key, to: &Key) -> Result<Object> {
        let request = v1::MoveRequest { from: from.as_str().to_owned(), to: to.as_str().to_owned() };
        let answer = self
            .call(Repeat::UnlessUnknown, |link| {
                let request = request.clone();
                async move { link.control().r#move(request).await }
            })
            .await;
        match answer {
            Ok(answer) => answers::object(to, answer.object),
            // Source gone and target there: it happened, only the answer was lost.
            Err(error) if error.is_outcome_unknown() && self.stat(from).await.optional()?.is_none() => {
                self.stat(to).await
            }
            Err(error) => Err(error),
        }
    }

    async fn sign(&self, key: &Key, request: &SignRequest) -> Result<Option<SignedUrl>> {
        let wish = v1::SignRequest {
            key: key.as_str().to_owned(),
            head: request.head,
            ttl: prost_types::Duration::try_from(request.ttl).ok(),
            content_type: request.content_type.clone(),
        };
        let answer = self
            .call(Repeat::Freely, |link| {
                let wish = wish.clone();
                async move { link.control().sign(wish).await }
            })
            .await?;
        let expires = answer.expires.and_then(|time| time.try_into().ok());
        Ok(expires.filter(|_| !answer.url.is_empty()).map(|expires| SignedUrl { url: answer.url, expires }))
    }

    fn uploads(&self) -> &dyn crate::driver::Uploads {
        self
    }
}

/// Named in full: with both traits at hand, `get` and `list` would have two meanings.
#[async_trait]
impl crate::driver::Uploads for RemoteDriver {
    async fn open(&self, open: OpenUpload) -> Result<(Upload, Box<dyn UploadStream>)> {
        let (upload, stream) = upload::open(&self.supervised, &self.deadlines, open).await?;
        Ok((upload, Box::new(stream)))
    }

    async fn get(&self, id: &UploadId) -> Result<Upload> {
        let answer = self
            .call(Repeat::Freely, |link| {
                let request = v1::GetUploadRequest { upload_id: id.as_str().to_owned() };
                async move { link.control().get_upload(request).await }
            })
            .await?;
        answers::upload(id, answer.upload)
    }

    async fn list(&self, query: &UploadQuery) -> Result<Page<Upload>> {
        let request = v1::ListUploadsRequest {
            start_after: query.start_after.clone(),
            limit: u32::try_from(query.limit).unwrap_or(u32::MAX),
            idle_since: query.idle_since.map(Into::into),
        };
        let answer = self
            .call(Repeat::Freely, |link| {
                let request = request.clone();
                async move { link.control().list_uploads(request).await }
            })
            .await?;
        answers::uploads(query, answer)
    }

    async fn end(&self, id: &UploadId, fence: &Fence) -> Result<bool> {
        let request =
            v1::EndUploadRequest { upload_id: id.as_str().to_owned(), fence: Some(wire::fence_out(fence)) };
        let answer = self
            .call(Repeat::Freely, |link| {
                let request = request.clone();
                async move { link.control().end_upload(request).await }
            })
            .await?;
        Ok(answer.existed)
    }

    async fn drain(&self, grace: Duration) -> Result<u32> {
        self.ask_to_drain(grace).await
    }
}
