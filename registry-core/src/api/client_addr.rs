//! Where a request came from, as far as that is known: set by the server, read by whoever logs, limits or answers with
//! an absolute URL.

use std::net::IpAddr;

/// An extension of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAddr {
    /// The client, or the first hop before it that is not a trusted proxy; none for a peer on a unix socket.
    pub ip: Option<IpAddr>,
    /// `http` or `https`, as the client spoke it.
    pub scheme: &'static str,
    /// The name, and port if it said one, that the client called; a valid authority.
    pub host: Option<String>,
    /// The peer is a trusted proxy.
    pub by_proxy: bool,
}
