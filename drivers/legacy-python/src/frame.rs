//! What a worker and the driver say to each other: frames of a header in JSON and a body. Both lengths come first, as
//! big-endian numbers of four bytes.

use std::io;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A header has a page of names at most.
const MAX_HEADER: usize = 2 * 1024 * 1024;
/// A body is an object that goes in one message, at most.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// Sends a frame.
///
/// # Errors
/// Those of the socket.
pub(crate) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    header: &impl Serialize,
    body: &[u8],
) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let mut start = Vec::with_capacity(8 + header.len());
    for length in [header.len(), body.len()] {
        let length = u32::try_from(length).map_err(|_| malformed("a frame is too long"))?;
        start.put_u32(length);
    }
    start.extend_from_slice(&header);
    to.write_all(&start).await?;
    to.write_all(body).await
}

/// Takes the next frame.
///
/// # Errors
/// Those of the socket, [`io::ErrorKind::UnexpectedEof`] where it was closed, and [`io::ErrorKind::InvalidData`] for what is no frame.
pub(crate) async fn read<H: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(H, Bytes)> {
    let header = from.read_u32().await? as usize;
    let body = from.read_u32().await? as usize;
    if header > MAX_HEADER || body > MAX_BODY {
        return Err(malformed(&format!("a frame of {header} and {body} bytes")));
    }
    let header = exactly(from, header).await?;
    let header = serde_json::from_slice(&header)
        .map_err(|error| malformed(&format!("{error} in {}", String::from_utf8_lossy(&header))))?;
    Ok((header, exactly(from, body).await?))
}

async fn exactly(from: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(length);
    while bytes.len() < length {
        let left = length - bytes.len();
        let mut rest = (&mut bytes).limit(left);
        if from.read_buf(&mut rest).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes.freeze())
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the worker does not keep to its protocol: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn a_frame_comes_back_as_it_was_sent() {
        let mut wire = Vec::new();
        write(&mut wire, &json!({"call": "put", "key": "a/b"}), b"\0\xff").await.unwrap();
        write(&mut wire, &json!({}), b"").await.unwrap();
        let mut from = wire.as_slice();
        let (header, body): (Value, _) = read(&mut from).await.unwrap();
        assert_eq!((header["key"].as_str(), &body[..]), (Some("a/b"), &b"\0\xff"[..]));
        assert!(read::<Value>(&mut from).await.unwrap().1.is_empty());
        assert_eq!(read::<Value>(&mut from).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_no_frame_is_refused() {
        for wire in [&b"\xff\xff\xff\xff\0\0\0\0"[..], b"\0\0\0\x02\0\0\0\0no", b"\0\0\0\x02\xff\0\0\0{}"] {
            let mut from = wire;
            assert_eq!(read::<Value>(&mut from).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
