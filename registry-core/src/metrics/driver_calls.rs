//! Counts what is asked of drivers: a [`Driver`] around the remote one. A read counts when its stream ends, and its
//! latency is that of the first answer, because how long the rest takes is up to the client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use longshore_driver_sdk::client::RemoteDriver;
use longshore_driver_sdk::{
    Ack, ByteStream, Condition, Description, Driver, Entry, Fence, Key, ListQuery, Object, OpenUpload, Page,
    Probe, ProbeState, ReadRange, Reading, Reason, Result, SignRequest, SignedUrl, Upload, UploadId,
    UploadQuery, UploadStream,
};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::{Level, Registry, seconds};

/// A call of the driver contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Method {
    Probe,
    Stat,
    Get,
    Put,
    Delete,
    List,
    Read,
    OpenUpload,
    Write,
    Mark,
    Commit,
    GetUpload,
    ListUploads,
    EndUpload,
    Move,
    Sign,
}

impl Method {
    const ALL: [(Self, &'static str); 16] = [
        (Self::Probe, "probe"),
        (Self::Stat, "stat"),
        (Self::Get, "get"),
        (Self::Put, "put"),
        (Self::Delete, "delete"),
        (Self::List, "list"),
        (Self::Read, "read"),
        (Self::OpenUpload, "open_upload"),
        (Self::Write, "write"),
        (Self::Mark, "mark"),
        (Self::Commit, "commit"),
        (Self::GetUpload, "get_upload"),
        (Self::ListUploads, "list_uploads"),
        (Self::EndUpload, "end_upload"),
        (Self::Move, "move"),
        (Self::Sign, "sign"),
    ];
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStorage {
    storage: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMethod {
    storage: Arc<str>,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    storage: Arc<str>,
    method: &'static str,
    outcome: Outcome,
}

/// `OK`, or the reason of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Outcome(Option<Reason>);

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> std::fmt::Result {
        self.0.map_or("OK", Reason::as_str).encode(encoder)
    }
}

/// The metrics of all drivers.
#[derive(Debug)]
pub(super) struct DriverCalls {
    calls: Family<OfOutcome, Counter>,
    latency: Family<OfMethod, Histogram, fn() -> Histogram>,
    read: Family<OfStorage, Counter>,
    written: Family<OfStorage, Counter>,
    uploads: Family<OfStorage, Level>,
    connected: Family<OfStorage, Level>,
    breaker_open: Family<OfStorage, Level>,
    ready: Family<OfStorage, Level>,
    free: Family<OfStorage, Level>,
}

impl DriverCalls {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self {
            calls: Family::default(),
            latency: Family::new_with_constructor(seconds),
            read: Family::default(),
            written: Family::default(),
            uploads: Family::default(),
            connected: Family::default(),
            breaker_open: Family::default(),
            ready: Family::default(),
            free: Family::default(),
        };
        registry.register(
            "driver_calls",
            "Calls of drivers by outcome: OK, or the reason",
            new.calls.clone(),
        );
        registry.register_with_unit(
            "driver_call_duration",
            "Time to the answer of a driver, with repeats; of a read, to the first answer",
            Unit::Seconds,
            new.latency.clone(),
        );
        registry.register_with_unit("driver_read", "Bytes of objects read", Unit::Bytes, new.read.clone());
        registry.register_with_unit(
            "driver_written",
            "Bytes of objects sent",
            Unit::Bytes,
            new.written.clone(),
        );
        registry.register("uploads_open", "Upload sessions being written to", new.uploads.clone());
        registry.register("driver_connected", "1: there is a connection", new.connected.clone());
        registry.register(
            "driver_breaker_open",
            "1: calls are refused until the driver answers a probe",
            new.breaker_open.clone(),
        );
        registry.register("storage_ready", "1: the last probe found the storage usable", new.ready.clone());
        registry.register_with_unit(
            "storage_free",
            "Space left, where the driver can tell",
            Unit::Bytes,
            new.free.clone(),
        );
        new
    }
}

/// The metrics of one driver; those of every call are looked up once.
#[derive(Debug)]
struct Meter {
    storage: Arc<str>,
    succeeded: [Counter; Method::ALL.len()],
    latency: [Histogram; Method::ALL.len()],
    failed: Family<OfOutcome, Counter>,
    read: Counter,
    written: Counter,
    uploads: Level,
    connected: Level,
    breaker_open: Level,
    ready: Level,
    free: Family<OfStorage, Level>,
}

impl Meter {
    fn new(all: &DriverCalls, storage: &str) -> Self {
        let storage: Arc<str> = storage.into();
        let of_storage = OfStorage { storage: storage.clone() };
        Self {
            succeeded: Method::ALL.map(|(_, method)| {
                let labels = OfOutcome { storage: storage.clone(), method, outcome: Outcome(None) };
                all.calls.get_or_create_owned(&labels)
            }),
            latency: Method::ALL.map(|(_, method)| {
                all.latency.get_or_create_owned(&OfMethod { storage: storage.clone(), method })
            }),
            failed: all.calls.clone(),
            read: all.read.get_or_create_owned(&of_storage),
            written: all.written.get_or_create_owned(&of_storage),
            uploads: all.uploads.get_or_create_owned(&of_storage),
            connected: all.connected.get_or_create_owned(&of_storage),
            breaker_open: all.breaker_open.get_or_create_owned(&of_storage),
            ready: all.ready.get_or_create_owned(&of_storage),
            free: all.free.clone(),
            storage,
        }
    }

    fn ended(&self, method: Method, reason: Option<Reason>) {
        match reason {
            None => {
                self.succeeded[method as usize].inc();
            }
            Some(_) => {
                let labels = OfOutcome {
                    storage: self.storage.clone(),
                    method: Method::ALL[method as usize].1,
                    outcome: Outcome(reason),
                };
                self.failed.get_or_create(&labels).inc();
            }
        }
    }

    async fn call<T>(&self, method: Method, call: impl Future<Output = Result<T>>) -> Result<T> {
        let outcome = self.time(method, call).await;
        self.ended(method, outcome.as_ref().err().map(longshore_driver_sdk::DriverError::reason));
        outcome
    }

    async fn time<T>(&self, method: Method, call: impl Future<Output = T>) -> T {
        let begin = Instant::now();
        let outcome = call.await;
        self.latency[method as usize].observe(begin.elapsed().as_secs_f64());
        outcome
    }

    fn probed(&self, driver: &RemoteDriver, outcome: &Result<Probe>) {
        let status = driver.status();
        self.connected.set(status.connected.into());
        self.breaker_open.set(status.breaker_open.into());
        let usable = |probe: &Probe| matches!(probe.state, ProbeState::Ready | ProbeState::Degraded);
        self.ready.set(outcome.as_ref().is_ok_and(usable).into());
        let free = outcome.as_ref().ok().and_then(|probe| i64::try_from(probe.bytes_free?).ok());
        let labels = OfStorage { storage: self.storage.clone() };
        match free {
            Some(free) => {
                self.free.get_or_create(&labels).set(free);
            }
            // What nobody knows is absent, not zero.
            None => {
                self.free.remove(&labels);
            }
        }
    }
}

/// A driver whose calls are counted.
#[derive(Debug)]
pub struct MeteredDriver {
    driver: RemoteDriver,
    meter: Arc<Meter>,
}

impl MeteredDriver {
    pub(super) fn new(driver: RemoteDriver, all: &DriverCalls, storage: &str) -> Self {
        Self { driver, meter: Arc::new(Meter::new(all, storage)) }
    }
}

#[async_trait]
impl Driver for MeteredDriver {
    fn description(&self) -> Description {
        self.driver.description()
    }

    async fn probe(&self) -> Result<Probe> {
        let outcome = self.meter.call(Method::Probe, self.driver.probe()).await;
        self.meter.probed(&self.driver, &outcome);
        outcome
    }

    async fn stat(&self, key: &Key) -> Result<Object> {
        self.meter.call(Method::Stat, self.driver.stat(key)).await
    }

    async fn get(&self, key: &Key) -> Result<(Object, Bytes)> {
        let found = self.meter.call(Method::Get, self.driver.get(key)).await?;
        self.meter.read.inc_by(found.1.len() as u64);
        Ok(found)
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Object> {
        self.meter.written.inc_by(content.len() as u64);
        self.meter.call(Method::Put, self.driver.put(key, content, condition)).await
    }

    async fn delete(&self, key: &Key, if_match: Option<&str>) -> Result<bool> {
        self.meter.call(Method::Delete, self.driver.delete(key, if_match)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<Entry>> {
        self.meter.call(Method::List, self.driver.list(query)).await
    }

    async fn read(&self, key: &Key, range: ReadRange) -> Result<Reading> {
        match self.meter.time(Method::Read, self.driver.read(key, range)).await {
            Ok(Reading { object, bytes }) => {
                let bytes = MeteredBytes { bytes, meter: self.meter.clone(), failed: None };
                Ok(Reading { object, bytes: Box::pin(bytes) })
            }
            Err(error) => {
                self.meter.ended(Method::Read, Some(error.reason()));
                Err(error)
            }
        }
    }

    async fn rename(&self, from: &Key, to: &Key) -> Result<Object> {
        self.meter.call(Method::Move, self.driver.rename(from, to)).await
    }

    async fn sign(&self, key: &Key, request: &SignRequest) -> Result<Option<SignedUrl>> {
        self.meter.call(Method::Sign, self.driver.sign(key, request)).await
    }

    fn uploads(&self) -> &dyn longshore_driver_sdk::Uploads {
        self
    }
}

/// Named in full: with both traits at hand, `get` and `list` would have two meanings.
#[async_trait]
impl longshore_driver_sdk::Uploads for MeteredDriver {
    async fn open(&self, open: OpenUpload) -> Result<(Upload, Box<dyn UploadStream>)> {
        let (upload, stream) = self.meter.call(Method::OpenUpload, self.driver.open_upload(open)).await?;
        self.meter.uploads.inc();
        Ok((upload, Box::new(MeteredUpload { stream, meter: self.meter.clone() })))
    }

    async fn get(&self, id: &UploadId) -> Result<Upload> {
        self.meter.call(Method::GetUpload, self.driver.get_upload(id)).await
    }

    async fn list(&self, query: &UploadQuery) -> Result<Page<Upload>> {
        self.meter.call(Method::ListUploads, self.driver.list_uploads(query)).await
    }

    async fn end(&self, id: &UploadId, fence: &Fence) -> Result<bool> {
        self.meter.call(Method::EndUpload, self.driver.end_upload(id, fence)).await
    }

    async fn drain(&self, grace: Duration) -> Result<u32> {
        self.driver.uploads().drain(grace).await
    }
}

/// A read under way. One that the client gave up is no failure of the driver.
struct MeteredBytes {
    bytes: ByteStream,
    meter: Arc<Meter>,
    failed: Option<Reason>,
}

impl Stream for MeteredBytes {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let next = self.bytes.as_mut().poll_next(cx);
        match &next {
            Poll::Ready(Some(Ok(bytes))) => {
                self.meter.read.inc_by(bytes.len() as u64);
            }
            Poll::Ready(Some(Err(error))) => self.failed = Some(error.reason()),
            Poll::Ready(None) | Poll::Pending => {}
        }
        next
    }
}

impl Drop for MeteredBytes {
    fn drop(&mut self) {
        self.meter.ended(Method::Read, self.failed);
    }
}

/// An upload under way. Pieces that went well are counted by their bytes alone.
struct MeteredUpload {
    stream: Box<dyn UploadStream>,
    meter: Arc<Meter>,
}

#[async_trait]
impl UploadStream for MeteredUpload {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        let length = data.len() as u64;
        let outcome = self.stream.write(data).await;
        match &outcome {
            Ok(()) => {
                self.meter.written.inc_by(length);
            }
            Err(error) => self.meter.ended(Method::Write, Some(error.reason())),
        }
        outcome
    }

    async fn mark(&mut self, bookmark: Bytes, flush: bool) -> Result<Ack> {
        self.meter.call(Method::Mark, self.stream.mark(bookmark, flush)).await
    }

    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Upload> {
        self.meter.call(Method::Commit, self.stream.commit(size, bookmark)).await
    }
}

impl Drop for MeteredUpload {
    fn drop(&mut self) {
        self.meter.uploads.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_its_place_in_the_table() {
        for (place, (method, name)) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, place, "{name}");
        }
    }
}
