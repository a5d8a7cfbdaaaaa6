//! What is sent, in the SDK's words.

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use longshore_driver_sdk::sessions::parted::Content;
use md5::{Digest as _, Md5};

/// MD5 of all of it (RFC 1321), which is what etags are made of.
pub(crate) fn md5(content: &Content) -> std::io::Result<[u8; 16]> {
    let mut digest = Md5::new();
    content.each(|piece| digest.update(piece))?;
    Ok(digest.finalize().into())
}

/// A body that the SDK may send more than once: a file is read anew then.
pub(crate) fn stream(content: Content) -> ByteStream {
    if content.file.is_none() {
        return ByteStream::from(content.head);
    }
    ByteStream::new(SdkBody::retryable(move || SdkBody::from_body_1_x(content.sending())))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_body_is_the_same_each_time_it_is_sent() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..300_000).map(|at| at as u8).collect();
        file.write_all(&bytes).unwrap();
        let content = Content {
            head: Bytes::from_static(b"head"),
            ..Content::of_file(&Arc::new(file.into()), 10..290_000)
        };
        let expected = [b"head", &bytes[10..290_000]].concat();
        assert_eq!(md5(&content).unwrap(), <[u8; 16]>::from(Md5::digest(&expected)));
        let body = stream(content).into_inner();
        let again = body.try_clone().unwrap();
        for body in [body, again] {
            assert_eq!(ByteStream::new(body).collect().await.unwrap().to_vec(), expected);
        }
    }
}
