//! A port of loopback that stays reserved while nobody listens on it, so that a server comes back where it was.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// The socket is bound and never listens. The kernel gives a port that is so taken to nobody who asks for any, and still
/// lets a server bind it: both have SO_REUSEADDR, as every server that survives a restart has.
pub(super) struct Port {
    socket: TcpSocket,
}

impl Port {
    pub(super) fn reserve() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("SO_REUSEADDR");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        Self { socket }
    }

    pub(super) fn number(&self) -> u16 {
        self.socket.local_addr().expect("its address").port()
    }
}
