//! HTTP/2 frames by hand (RFC 9113), since no library sends what these tests send.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

use crate::raw::{PATIENCE, connect};

pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame's length").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field that is not put into the table (RFC 7541 6.2.2), with a short name and a value below 32 KiB.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, u8::try_from(name.len()).expect("a short name")];
    field.extend(name.as_bytes());
    if value.len() < 127 {
        field.push(u8::try_from(value.len()).expect("below 127"));
    } else {
        let rest = value.len() - 127;
        field.extend([127, (rest % 128) as u8 | 128, u8::try_from(rest / 128).expect("below 32 KiB")]);
    }
    field.extend(value.as_bytes());
    field
}

/// The fields of a GET: `:method GET` and `:scheme http` stand in the static table.
pub(crate) fn get(path: &str) -> Vec<u8> {
    [vec![0x82, 0x86], field(":path", path), field(":authority", "localhost")].concat()
}

/// A connection of which everything that comes is read, and thrown away but for what it said at its end.
pub(crate) struct Peer {
    pub(crate) write: OwnedWriteHalf,
    reading: JoinHandle<Said>,
}

/// How the other end ended it.
#[derive(Default, Debug)]
pub(crate) struct Said {
    /// The error code of the last GOAWAY (RFC 9113 7).
    pub(crate) goaway: Option<u32>,
    /// Responses that began, by HEADERS.
    pub(crate) answers: usize,
    pub(crate) resets: usize,
}

impl Peer {
    /// Preface and SETTINGS of this initial window.
    pub(crate) async fn connect(address: &str, window: u32) -> Self {
        let stream: TcpStream = connect(address).await;
        let (read, mut write) = stream.into_split();
        let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
        let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &settings)].concat();
        write.write_all(&begin).await.expect("the preface");
        Self { write, reading: tokio::spawn(listen(read)) }
    }

    /// False when the other end has closed.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        !self.reading.is_finished() && self.write.write_all(bytes).await.is_ok()
    }

    /// Waits until the other end closes.
    pub(crate) async fn ended(self) -> Said {
        let ended = tokio::time::timeout(PATIENCE, self.reading).await;
        ended.unwrap_or_else(|_| panic!("still open after {PATIENCE:?}")).expect("no panic")
    }
}

async fn listen(mut read: OwnedReadHalf) -> Said {
    let mut said = Said::default();
    let mut head = [0; 9];
    while read.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        if read.read_exact(&mut payload).await.is_err() {
            break;
        }
        match head[3] {
            HEADERS => said.answers += 1,
            RST_STREAM => said.resets += 1,
            GOAWAY => {
                let code = payload[4..8].try_into().expect("four bytes");
                said.goaway = Some(u32::from_be_bytes(code));
            }
            _ => {}
        }
    }
    said
}
