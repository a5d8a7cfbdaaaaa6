//! A connection to the driver, and the generated clients over it.

use std::time::Duration;

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::identity_service_client::IdentityServiceClient;
use longshore_driver_proto::v1::storage_service_client::StorageServiceClient;
use longshore_driver_sdk::endpoint::{Endpoint, TrustedPeer, channel, dial};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::Channel;

use crate::call::{Call, Said};
use crate::verdict::{Failure, Verdict};

/// The version that the kit speaks.
pub const VERSION: v1::Version = v1::Version { major: 1, minor: 1 };
/// Larger than what the contract allows (R6), so that a message that is too large is seen and named.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// How long a driver that was just started may take to listen.
const START: Duration = Duration::from_secs(30);
/// What may lie between the two halves of a connection that can be cut.
const DUPLEX: usize = 64 * 1024;

/// One HTTP/2 connection.
#[derive(Clone)]
pub struct Connection {
    pub channel: Channel,
    pub identity: IdentityServiceClient<Channel>,
    pub storage: StorageServiceClient<Channel>,
}

impl Connection {
    /// Connects and shakes hands (contract clause H1), and tries again while nobody listens yet.
    ///
    /// # Errors
    /// When the driver can't be reached, or refuses.
    pub async fn open(endpoint: &Endpoint, trusted: TrustedPeer) -> Verdict<(Self, v1::HandshakeResponse)> {
        let begin = tokio::time::Instant::now();
        loop {
            let outcome = match Self::dial(endpoint, trusted, Windows::default()).await {
                Err(failure) => Err(failure),
                Ok(connection) => connection.handshake().await.map(|answer| (connection, answer)),
            };
            match outcome {
                Err(_) if begin.elapsed() < START => tokio::time::sleep(Duration::from_millis(20)).await,
                other => return other,
            }
        }
    }

    /// Connects, and says nothing yet.
    ///
    /// # Errors
    /// When the driver can't be reached.
    pub async fn dial(endpoint: &Endpoint, trusted: TrustedPeer, windows: Windows) -> Verdict<Self> {
        let socket = dial(endpoint, trusted).await.map_err(|error| unreachable(endpoint, &error))?;
        Self::over(socket, windows).await.map_err(|error| unreachable(endpoint, &error))
    }

    /// A connection that can be cut, as when the core's machine goes away: nothing more is said on it, and nothing is
    /// ended in order.
    ///
    /// # Errors
    /// When the driver can't be reached.
    pub async fn dial_to_cut(endpoint: &Endpoint, trusted: TrustedPeer) -> Verdict<(Self, Cut)> {
        let mut socket = dial(endpoint, trusted).await.map_err(|error| unreachable(endpoint, &error))?;
        let (near, mut far) = tokio::io::duplex(DUPLEX);
        let between = tokio::spawn(async move {
            // However it ends, it is over.
            let _ = tokio::io::copy_bidirectional(&mut far, &mut socket).await;
        });
        let connection =
            Self::over(near, Windows::default()).await.map_err(|error| unreachable(endpoint, &error))?;
        Ok((connection, Cut(between)))
    }

    async fn over<C>(socket: C, windows: Windows) -> Result<Self, tonic::transport::Error>
    where
        C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let settings = tonic::transport::Endpoint::from_static("http://driver")
            .initial_stream_window_size(windows.stream)
            .initial_connection_window_size(windows.connection);
        let channel = channel(socket, settings).await?;
        Ok(Self {
            identity: IdentityServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
            storage: StorageServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
            channel,
        })
    }

    async fn handshake(&self) -> Verdict<v1::HandshakeResponse> {
        self.handshake_with(handshake()).await.map_err(|said| {
            Failure::new("Handshake with version 1.0", "an answer that selects it", said).of("H2")
        })
    }

    /// A handshake of any kind.
    ///
    /// # Errors
    /// What the driver said.
    pub async fn handshake_with(&self, request: v1::HandshakeRequest) -> Call<v1::HandshakeResponse> {
        Said::of(self.identity.clone().handshake(crate::call::timely(request)).await)
    }
}

fn unreachable(endpoint: &Endpoint, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("a connection to {endpoint}"), "a driver that listens", error).of("T1")
}

/// What lies between the two ends of a connection that can be cut.
pub struct Cut(tokio::task::JoinHandle<()>);

impl Cut {
    /// Closes the driver's end. Returns when it is closed.
    pub async fn now(self) {
        self.0.abort();
        // It says that it was aborted.
        let _ = self.0.await;
    }
}

/// How much may lie unread: small ones show whether a driver holds back (R18).
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    pub stream: u32,
    pub connection: u32,
}

impl Default for Windows {
    fn default() -> Self {
        Self { stream: 1024 * 1024, connection: 1 << 30 }
    }
}

/// The request that a core begins with.
pub fn handshake() -> v1::HandshakeRequest {
    v1::HandshakeRequest {
        supported: vec![VERSION],
        core_version: env!("CARGO_PKG_VERSION").to_owned(),
        core_instance: "longshore-driver-check".to_owned(),
        expected_store_id: None,
    }
}
