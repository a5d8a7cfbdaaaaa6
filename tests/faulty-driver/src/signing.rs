//! Sign (contract clause O12). Owns the small HTTP server on loopback that serves what was signed, and its URLs.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use longshore_driver_proto::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::faults::Fault;
use crate::keys;
use crate::refusal::{IO_ERROR, Refusal, Result};
use crate::store::{HEADER, Store, random};

const MAX_HEAD: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// What a URL stands for.
#[derive(Clone)]
struct Signed {
    key: String,
    until: SystemTime,
    content_type: String,
}

/// The URLs that were given out.
pub(crate) struct Signer {
    address: SocketAddr,
    signed: Arc<Mutex<HashMap<String, Signed>>>,
}

impl Signer {
    /// Binds, and serves until the process ends.
    pub(crate) async fn start(store: Arc<Store>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let signer = Self { address: listener.local_addr()?, signed: Arc::default() };
        let signed = Arc::clone(&signer.signed);
        tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let (store, signed) = (Arc::clone(&store), Arc::clone(&signed));
                // Whoever goes away in the middle needs no answer.
                tokio::spawn(tokio::time::timeout(PATIENCE, async move {
                    let _ = serve(socket, &store, &signed).await;
                }));
            }
        });
        Ok(signer)
    }

    pub(crate) fn sign(&self, store: &Store, request: &v1::SignRequest) -> Result<v1::SignResponse> {
        keys::check(store.fault, &request.key, Fault::KeyUncheckedInSign)?;
        store.find(&request.key)?;
        if store.fault == Fault::SignRefused {
            return Err(Refusal::new(IO_ERROR, "no URL can be had"));
        }
        let ttl = request.ttl.and_then(|ttl| Duration::try_from(ttl).ok()).unwrap_or_default();
        let until = store.signed_until(ttl);
        let token = random()?;
        let signed = Signed { key: request.key.clone(), until, content_type: request.content_type.clone() };
        locked(&self.signed).insert(token.clone(), signed);
        let expires = (store.fault != Fault::SignExpiryUntold).then(|| until.into());
        Ok(v1::SignResponse { url: format!("http://{}/{token}", self.address), expires })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    mut socket: TcpStream,
    store: &Store,
    signed: &Mutex<HashMap<String, Signed>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return socket.write_all(&plain("431 Request Header Fields Too Large")).await;
        }
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let found = locked(signed).get(target.trim_start_matches('/')).cloned();
    let answer = match found {
        Some(found) if found.until > SystemTime::now() && store.fault != Fault::SignForbidden => {
            answer(store, &found, method == "HEAD", range_of(&head))
        }
        _ => plain("403 Forbidden"),
    };
    socket.write_all(&answer).await?;
    socket.shutdown().await
}

/// The whole answer in memory: this is a driver for tests.
fn answer(store: &Store, signed: &Signed, is_head: bool, range: Option<(u64, Option<u64>)>) -> Vec<u8> {
    let Ok(found) = store.find(&signed.key) else { return plain("404 Not Found") };
    if is_head && store.fault == Fault::SignNoHead {
        return plain("405 Method Not Allowed");
    }
    let size = found.object.size;
    let range = range.filter(|(first, _)| *first < size && store.fault != Fault::SignNoRange);
    let (first, end) = range.map_or((0, size), |(first, last)| {
        (first, last.map_or(size, |last| last.saturating_add(1).min(size)).max(first))
    });
    let mut body = vec![0; (end - first) as usize];
    if found.file.read_exact_at(&mut body, HEADER + first).is_err() {
        return plain("500 Internal Server Error");
    }
    if store.fault == Fault::SignCut {
        body.truncate(body.len() / 2);
    }
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    let mut head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\naccept-ranges: bytes\r\ncontent-length: {}\r\n",
        body.len()
    );
    if range.is_some() {
        head += &format!("content-range: bytes {first}-{}/{size}\r\n", end.saturating_sub(1));
    }
    if !signed.content_type.is_empty() && store.fault != Fault::SignNoContentType {
        head += &format!("content-type: {}\r\n", signed.content_type);
    }
    let mut answer = (head + "\r\n").into_bytes();
    if !is_head {
        answer.append(&mut body);
    }
    answer
}

/// `Range: bytes=FIRST-[LAST]`; other forms are passed over, as RFC 9110 14.2 allows.
fn range_of(head: &str) -> Option<(u64, Option<u64>)> {
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("range").then(|| value.trim())
    })?;
    let (first, last) = line.strip_prefix("bytes=")?.split_once('-')?;
    let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
    Some((first.parse().ok()?, last))
}

fn plain(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").into_bytes()
}
