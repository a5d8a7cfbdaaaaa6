//! A line to a real server that is slower than what comes: all its connections together bring the server so many bytes in a
//! second. Answers are not held up.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::{Client, Random, figure, sha256};

const PIECE: usize = 16 * 1024;
/// Of each connection, for the line itself: what lies there seems to have gone on.
const BUFFER: u32 = 64 * 1024;
/// Of a line that is slow.
const RATE: u64 = 3 << 20;
/// Parts of 16, 16, 32 and 32 MiB: those that are under way at once, and the last, take longer than a core waits in silence.
const SIZE: usize = 96 << 20;

/// It listens until it is dropped.
pub struct SlowLine {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// When the line is free again.
type Free = Arc<Mutex<Instant>>;

impl SlowLine {
    /// Before the server at this URL.
    pub async fn before(server: &str) -> Self {
        let server: SocketAddr =
            server.trim_start_matches("http://").parse().expect("http://ADDRESS:PORT of the server");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(BUFFER).expect("a small buffer");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let listener = socket.listen(64).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let free = Arc::new(Mutex::new(Instant::now()));
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connect(client, server, Arc::clone(&free)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, accepting }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for SlowLine {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connect(client: TcpStream, server: SocketAddr, free: Free) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let there = async {
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = from_client.read(&mut piece).await {
            sleep_until(turn(&free, length)).await;
            if to_server.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let back = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(there, back);
}

/// When the line has taken what was there before, and so many bytes.
fn turn(free: &Free, bytes: usize) -> Instant {
    let mut free = free.lock().unwrap_or_else(PoisonError::into_inner);
    *free = (*free).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / RATE as f64);
    *free
}

/// A layer that comes as fast as it can be taken is pushed through a registry whose store is behind such a line.
pub async fn a_push_waits_for_the_line(client: &Client, repository: &str) {
    let content = Bytes::from(Random::announced("slow line").bytes(SIZE));
    let begin = Instant::now();
    let upload = client.start_upload(repository).await.expect("POST");
    let (upload, durable) = client.patch(&upload, 0, content.clone()).await.expect("PATCH");
    assert_eq!(durable, SIZE as u64);
    let digest = sha256(&content);
    client.finish_upload(&upload, &digest).await.expect("PUT");
    let seconds = begin.elapsed().as_secs_f64();
    figure!("slow line: {} MiB pushed in {seconds:.1} s, {} MiB/s are let through", SIZE >> 20, RATE >> 20);
    assert!(seconds > SIZE as f64 / RATE as f64, "the line was not slow");
    let found = client.get_blob(repository, &digest).await.expect("GET");
    assert_eq!(sha256(&found), digest);
}
