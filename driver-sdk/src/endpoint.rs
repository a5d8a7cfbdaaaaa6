//! Where a driver listens: `unix:///path` or `tcp://127.0.0.1:port`. Owns parsing, binding, dialling,
//! and the check at both ends that the peer is who it must be.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;
use tonic::transport::Channel;
use tonic::transport::server::Connected;

use crate::socket::{self, SocketFile};

/// An address of a driver.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// Why a text is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEndpoint {
    #[error("{0:?} is not an endpoint: write unix:///path/to/driver.sock or tcp://127.0.0.1:PORT")]
    Form(String),
    #[error("{0:?}: the path of a unix socket is absolute and at most 107 bytes long")]
    Path(String),
    #[error(
        "{0}: TCP beyond loopback needs mutual TLS, which this version does not have yet; \
         use a unix socket, or tcp://127.0.0.1:PORT and a tunnel"
    )]
    NotLoopback(SocketAddr),
}

impl std::str::FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        if let Some(path) = text.strip_prefix("unix://") {
            let fits = path.starts_with('/') && path.len() <= socket::MAX_PATH && !path.contains('\0');
            return if fits {
                Ok(Self::Unix(path.into()))
            } else {
                Err(InvalidEndpoint::Path(text.to_owned()))
            };
        }
        let address = text.strip_prefix("tcp://").ok_or_else(|| InvalidEndpoint::Form(text.to_owned()))?;
        let address = address.replacen("localhost:", "127.0.0.1:", 1);
        let address: SocketAddr = address.parse().map_err(|_| InvalidEndpoint::Form(text.to_owned()))?;
        if address.ip().is_loopback() {
            Ok(Self::Tcp(address))
        } else {
            Err(InvalidEndpoint::NotLoopback(address))
        }
    }
}

impl Endpoint {
    /// Whether pieces that are sent there carry checksums. On a unix socket they would guard memory alone.
    pub(crate) fn sums(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// Which user may be at the other end of a unix socket: this process's own, root, and one more if named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrustedPeer {
    pub uid: Option<u32>,
}

impl TrustedPeer {
    fn check(self, stream: &UnixStream) -> io::Result<()> {
        let peer = stream.peer_cred()?.uid();
        let own = rustix::process::geteuid().as_raw();
        if peer == own || peer == 0 || self.uid == Some(peer) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "the process at the other end runs as user {peer}; only user {own}, root or a user that is named as trusted may"
            ),
        ))
    }
}

/// A bound endpoint. Dropping it removes the socket file, if it is still this one's.
#[derive(Debug)]
pub struct Listener {
    socket: Either<UnixListener, TcpListener>,
    file: Option<SocketFile>,
    trusted: TrustedPeer,
}

impl Listener {
    /// Binds. A unix socket gets mode 0600 (0660 where another user is trusted) in a directory that others can't write to.
    ///
    /// # Errors
    /// When the address is in use, is no socket, or lies where others could replace it.
    pub fn bind(endpoint: &Endpoint, trusted: TrustedPeer) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(Self { socket: Either::Right(TcpListener::from_std(listener)?), file: None, trusted })
            }
            Endpoint::Unix(path) => Self::bind_unix(path, trusted),
        }
    }

    fn bind_unix(path: &Path, trusted: TrustedPeer) -> io::Result<Self> {
        let mode = if trusted.uid.is_some() { 0o660 } else { 0o600 };
        let (listener, file) = socket::bind(path, mode)?;
        Ok(Self { socket: Either::Left(listener), file: Some(file), trusted })
    }

    /// The address with the real port.
    pub fn endpoint(&self) -> io::Result<Endpoint> {
        match (&self.socket, &self.file) {
            (Either::Right(listener), _) => Ok(Endpoint::Tcp(listener.local_addr()?)),
            (Either::Left(_), Some(file)) => Ok(Endpoint::Unix(file.path().to_owned())),
            (Either::Left(_), None) => Err(io::Error::other("a unix listener without a path")),
        }
    }

    /// See [`Endpoint::sums`].
    pub(crate) fn sums(&self) -> bool {
        matches!(self.socket, Either::Right(_))
    }

    /// The next connection from a trusted peer; others are turned away with a warning.
    pub async fn accept(&self) -> io::Result<Connection> {
        loop {
            match &self.socket {
                Either::Left(listener) => {
                    let (stream, _) = listener.accept().await?;
                    match self.trusted.check(&stream) {
                        Ok(()) => return Ok(Connection(Either::Left(stream))),
                        Err(error) => tracing::warn!(%error, "connection refused"),
                    }
                }
                Either::Right(listener) => {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    return Ok(Connection(Either::Right(stream)));
                }
            }
        }
    }
}

/// Opens a connection and, on a unix socket, checks who answers.
///
/// # Errors
/// When nobody listens there, or somebody who is not trusted.
pub async fn dial(endpoint: &Endpoint, trusted: TrustedPeer) -> io::Result<Connection> {
    match endpoint {
        Endpoint::Unix(path) => {
            let stream = UnixStream::connect(path).await?;
            trusted.check(&stream)?;
            Ok(Connection(Either::Left(stream)))
        }
        Endpoint::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Connection(Either::Right(stream)))
        }
    }
}

/// gRPC over a connection that is there already. Nobody dials again: when it breaks, so does the channel.
///
/// # Errors
/// When HTTP/2 can't begin on it.
pub async fn channel<C>(
    connection: C,
    settings: tonic::transport::Endpoint,
) -> Result<Channel, tonic::transport::Error>
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut once = Some(connection);
    let connector = tower::service_fn(move |_| {
        let connection = once.take().map(TokioIo::new);
        std::future::ready(connection.ok_or_else(|| io::Error::other("the connection ended")))
    });
    settings.connect_with_connector(connector).await
}

/// One connection between core and driver.
#[derive(Debug)]
pub struct Connection(Either<UnixStream, TcpStream>);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn endpoints_read_as_written() {
        for text in ["unix:///run/longshore/fs.sock", "tcp://127.0.0.1:7000", "tcp://[::1]:7000"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("tcp://localhost:7000".parse::<Endpoint>().unwrap().to_string(), "tcp://127.0.0.1:7000");
    }

    #[test]
    fn tcp_beyond_loopback_is_refused_with_the_reason() {
        let error = "tcp://10.0.0.1:7000".parse::<Endpoint>().unwrap_err().to_string();
        assert!(error.contains("mutual TLS"), "{error}");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "unix://relative.sock",
            "http://127.0.0.1:1",
            "tcp://host",
            "/run/x.sock",
            &format!("unix:///{}", "x".repeat(108)),
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text:?} was taken");
        }
    }

    #[tokio::test]
    async fn a_socket_in_use_a_file_and_a_writable_directory_are_refused_and_a_stale_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/driver.sock");
        let endpoint = Endpoint::Unix(path.clone());
        let trusted = TrustedPeer::default();
        let listener = Listener::bind(&endpoint, trusted).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(Listener::bind(&endpoint, trusted).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists(), "a listener removes its socket");

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(Listener::bind(&endpoint, trusted).unwrap());

        std::fs::write(&path, b"precious").unwrap();
        assert_eq!(Listener::bind(&endpoint, trusted).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");

        std::fs::set_permissions(path.parent().unwrap(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(Listener::bind(&endpoint, trusted).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
