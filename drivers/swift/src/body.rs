//! What is sent, and its MD5 on the way: a segment is not read once more for its own.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use longshore_driver_sdk::sessions::parted::{Content, Sending};
use md5::{Digest as _, Md5};

/// MD5 of all of it (RFC 1321): Swift's etag.
pub(crate) fn md5(content: &Content) -> std::io::Result<[u8; 16]> {
    let mut digest = Md5::new();
    content.each(|piece| digest.update(piece))?;
    Ok(digest.finalize().into())
}

/// The MD5 of what was sent last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum(Arc<Mutex<Md5>>);

impl Sum {
    /// Of all that was sent since a body was made of it.
    pub(crate) fn so_far(&self) -> [u8; 16] {
        self.digest().clone().finalize().into()
    }

    fn digest(&self) -> std::sync::MutexGuard<'_, Md5> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of one request. With `sum`, it is that of this body from now on.
pub(crate) fn body(content: &Content, sum: Option<&Sum>) -> reqwest::Body {
    if let Some(sum) = sum {
        *sum.digest() = Md5::new();
        return reqwest::Body::wrap(Summed { sending: content.sending(), sum: sum.clone() });
    }
    if content.file.is_none() {
        return content.head.clone().into();
    }
    reqwest::Body::wrap(content.sending())
}

struct Summed {
    sending: Sending,
    sum: Sum,
}

impl http_body::Body for Summed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let polled = Pin::new(&mut self.sending).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(piece) = frame.data_ref()
        {
            self.sum.digest().update(piece);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.sending.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.sending.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http_body::Body as _;

    use super::*;

    async fn collect(mut body: reqwest::Body) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            bytes.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
        bytes
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_sum_is_that_of_the_last_sending() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..300_000).map(|at| at as u8).collect();
        file.write_all(&bytes).unwrap();
        let content = Content {
            head: Bytes::from_static(b"head"),
            ..Content::of_file(&Arc::new(file.into()), 10..290_000)
        };
        let expected = [b"head", &bytes[10..290_000]].concat();
        assert_eq!(md5(&content).unwrap(), <[u8; 16]>::from(Md5::digest(&expected)));
        let sum = Sum::default();
        for _ in 0..2 {
            let body = body(&content, Some(&sum));
            assert_eq!(body.size_hint().exact(), Some(expected.len() as u64));
            assert_eq!(collect(body).await, expected);
            assert_eq!(sum.so_far(), md5(&content).unwrap());
        }
        assert_eq!(collect(body(&content, None)).await, expected);
    }
}
