//! One set of connections to one life of a driver: control and data apart, so that a large transfer never delays a small
//! call. A connection that breaks is not mended in place: the set is given up and dialled anew, so that every connection
//! begins with a handshake (contract clause H1).

use std::sync::atomic::{AtomicUsize, Ordering};

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::identity_service_client::IdentityServiceClient;
use longshore_driver_proto::v1::storage_service_client::StorageServiceClient;
use tonic::body::Body;
use tonic::transport::Channel;

use super::{Remote, answers};
use crate::driver::{Description, Probe, ProbeState};
use crate::endpoint::{Endpoint, channel, dial};
use crate::error::{DriverError, Reason, Result};
use crate::request_id;
use crate::server::{CONNECTION_WINDOW, FRAME, MAX_MESSAGE, PROTOCOL};
use crate::wire;

const DATA_CONNECTIONS: usize = 2;
/// What may wait unread in the core of one download; of an upload only acks come back.
const STREAM_WINDOW: u32 = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Link {
    control: Channel,
    data: Vec<Channel>,
    next: AtomicUsize,
    pub(super) description: Description,
    pub(super) store_id: String,
    pub(super) driver_instance: String,
    /// Whether pieces go out with a checksum.
    pub(super) sums: bool,
}

impl Link {
    pub(super) async fn dial(remote: &Remote, store_id: Option<&str>) -> Result<Self> {
        let control = connect(remote).await?;
        let hello = handshake(&control, remote, store_id).await?;
        check_store(store_id, &hello.store_id)?;
        let mut data = Vec::with_capacity(DATA_CONNECTIONS);
        for _ in 0..DATA_CONNECTIONS {
            let channel = connect(remote).await?;
            let again = handshake(&channel, remote, Some(&hello.store_id)).await?;
            if again.driver_instance != hello.driver_instance || again.store_id != hello.store_id {
                return Err(DriverError::new(
                    Reason::BackendUnavailable,
                    "the driver was replaced while it was dialled",
                ));
            }
            data.push(channel);
        }
        Self::new(remote, control, data, hello)
    }

    /// Over one connection for everything.
    #[cfg(feature = "fuzzing")]
    pub(super) async fn over(channel: Channel, remote: &Remote) -> Result<Self> {
        let store_id = remote.store_id.as_deref();
        let hello = handshake(&channel, remote, store_id).await?;
        check_store(store_id, &hello.store_id)?;
        Self::new(remote, channel.clone(), vec![channel], hello)
    }

    fn new(
        remote: &Remote,
        control: Channel,
        data: Vec<Channel>,
        hello: v1::HandshakeResponse,
    ) -> Result<Self> {
        let description = wire::description_in(&hello)?;
        warn_of_skew(&hello);
        Ok(Self {
            control,
            data,
            next: AtomicUsize::new(0),
            description,
            store_id: hello.store_id,
            driver_instance: hello.driver_instance,
            sums: remote.endpoint.sums(),
        })
    }

    pub(super) fn identity(&self) -> IdentityServiceClient<Channel> {
        IdentityServiceClient::new(self.control.clone())
    }

    /// For unary calls.
    pub(super) fn control(&self) -> StorageServiceClient<Tagged> {
        StorageServiceClient::new(Tagged(self.control.clone()))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// For streams, each data connection in turn.
    pub(super) fn data(&self) -> Channel {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.data.len();
        self.data[turn].clone()
    }

    pub(super) async fn probe(&self) -> Result<Probe> {
        let answer = self.identity().probe(v1::ProbeRequest {}).await;
        let answer = answer.map_err(|status| answers::without_offset(wire::from_status(&status)))?;
        Ok(wire::probe_in(answer.into_inner()))
    }

    /// Whether the driver says that its backend can be used.
    pub(super) async fn is_well(&self) -> Result<bool> {
        self.probe().await.map(|probe| probe.state != ProbeState::Starting)
    }
}

/// Names in each call the request that it is made for.
#[derive(Debug, Clone)]
pub(super) struct Tagged(Channel);

impl tower::Service<http::Request<Body>> for Tagged {
    type Response = <Channel as tower::Service<http::Request<Body>>>::Response;
    type Error = <Channel as tower::Service<http::Request<Body>>>::Error;
    type Future = <Channel as tower::Service<http::Request<Body>>>::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::result::Result<(), Self::Error>> {
        tower::Service::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        request_id::attach(request.headers_mut());
        tower::Service::call(&mut self.0, request)
    }
}

async fn connect(remote: &Remote) -> Result<Channel> {
    let unreachable = |error: &dyn std::fmt::Display| {
        DriverError::new(
            Reason::BackendUnavailable,
            format!("cannot reach the driver at {}: {error}", remote.endpoint),
        )
    };
    let connection = dial(&remote.endpoint, remote.trusted).await.map_err(|error| unreachable(&error))?;
    let mut settings = tonic::transport::Endpoint::from_static("http://driver")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME);
    if matches!(remote.endpoint, Endpoint::Tcp(_)) {
        // The kernel reports the death of a unix socket's peer; that of a TCP peer only shows to somebody who asks.
        settings = settings
            .http2_keep_alive_interval(std::time::Duration::from_secs(30))
            .keep_alive_while_idle(true);
    }
    channel(connection, settings).await.map_err(|error| unreachable(&error))
}

async fn handshake(
    channel: &Channel,
    remote: &Remote,
    store_id: Option<&str>,
) -> Result<v1::HandshakeResponse> {
    let request = v1::HandshakeRequest {
        supported: vec![PROTOCOL],
        core_version: env!("CARGO_PKG_VERSION").to_owned(),
        core_instance: remote.core_instance.clone(),
        expected_store_id: store_id.filter(|id| !id.is_empty()).map(str::to_owned),
    };
    let call = async {
        let answer = IdentityServiceClient::new(channel.clone()).handshake(request).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| answers::without_offset(wire::from_status(&status)))
    };
    let answer = super::retry::within(remote.deadlines.probe, call).await.map_err(|error| match error {
        // Another major version is another package (rule of versions): this one's calls are unknown to it.
        error if error.reason() == Reason::NotSupported => other_version("it has no longshore.driver.v1"),
        error => error,
    })?;
    match answer.selected {
        Some(version) if version.major == PROTOCOL.major => Ok(answer),
        Some(version) => Err(other_version(&format!("it selected {}.{}", version.major, version.minor))),
        None => Err(other_version("it selected none")),
    }
}

fn other_version(what: &str) -> DriverError {
    let message = format!(
        "the driver speaks another version of the protocol: {what}, and this core offered {}.{}",
        PROTOCOL.major, PROTOCOL.minor
    );
    DriverError::new(Reason::VersionMismatch, message)
}

/// A driver that ignores `expected_store_id` must not serve or take the bytes of another store (contract clause H6).
fn check_store(expected: Option<&str>, found: &str) -> Result<()> {
    match expected.filter(|id| !id.is_empty()) {
        Some(expected) if expected != found => {
            let found = if found.is_empty() { "a store without an id" } else { found };
            let message = format!("the driver is at {found}, and not at {expected}");
            Err(DriverError::new(Reason::StoreMismatch, message))
        }
        _ => Ok(()),
    }
}

/// Clocks that differ by more are worth an operator's look (contract clause H11).
pub const MOST_SKEW: std::time::Duration = std::time::Duration::from_secs(60);

fn warn_of_skew(hello: &v1::HandshakeResponse) {
    let Some(theirs) = hello.now.and_then(|now| std::time::SystemTime::try_from(now).ok()) else { return };
    let ours = std::time::SystemTime::now();
    let skew = ours.duration_since(theirs).unwrap_or_else(|behind| behind.duration());
    if skew > MOST_SKEW {
        tracing::warn!(
            driver = hello.driver_name,
            skew_seconds = skew.as_secs(),
            "the driver's clock differs from ours"
        );
    }
}
