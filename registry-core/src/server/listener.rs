//! The sockets that the registry listens at, and the connections that come from them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use longshore_driver_sdk::socket::{self, SocketFile};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio_util::either::Either;

use super::stream::Socket;
use super::tls::Acceptors;
use crate::config::listen::{ListenAddress, SocketMode};

/// Out of descriptors, as a rule: others must close before it gets better.
const BREATH: Duration = Duration::from_millis(100);

/// Connections that the kernel keeps until they are accepted: a burst must not be lost in it.
const BACKLOG: u32 = 4096;

/// One bound address.
pub(super) struct Listener {
    bound: Bound,
    tls: Option<Acceptors>,
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Without acceptors an address that does not ask for TLS is cleartext.
    pub(super) fn bind(
        address: &ListenAddress,
        mode: SocketMode,
        acceptors: Option<&Acceptors>,
    ) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp { address, tls } => {
                let tls = if *tls == Some(false) { None } else { acceptors.cloned() };
                Ok(Self { bound: Bound::Tcp(bind_tcp(*address)?), tls })
            }
            ListenAddress::Unix(path) => {
                let (listener, file) = socket::bind(path, mode.0)?;
                Ok(Self { bound: Bound::Unix(listener, file), tls: None })
            }
        }
    }

    /// What a client would dial, with the real port.
    pub(super) fn url(&self) -> String {
        match &self.bound {
            Bound::Tcp(listener) => {
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
                format!("{scheme}://{address}")
            }
            Bound::Unix(_, file) => format!("unix://{}", file.path().display()),
        }
    }

    pub(super) fn tls(&self) -> Option<&Acceptors> {
        self.tls.as_ref()
    }

    /// The next connection and its peer's address, which one on a unix socket does not have.
    pub(super) async fn accept(&self) -> (Socket, Option<IpAddr>) {
        loop {
            let accepted = match &self.bound {
                Bound::Tcp(listener) => listener.accept().await.map(|(stream, peer)| {
                    let _ = stream.set_nodelay(true);
                    (Either::Left(stream), Some(peer.ip()))
                }),
                Bound::Unix(listener, _) => {
                    listener.accept().await.map(|(stream, _)| (Either::Right(stream), None))
                }
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
}
