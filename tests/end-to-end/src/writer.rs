//! A client that uploads in chunks, and one that finishes elsewhere what another one began.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::StatusCode;
use tokio::task::JoinHandle;

use crate::{Client, Failure, Random, sha256};

const REPOSITORY: &str = "team/app";
/// A registry on a busy machine asks clients to come again, but not for so long.
const PATIENCE: Duration = Duration::from_secs(15);

/// A client at the first core, in the middle of an upload.
pub struct Writer {
    pub content: Bytes,
    location: Arc<Mutex<Option<String>>>,
    pub task: JoinHandle<Result<(), Failure>>,
}

impl Writer {
    pub fn start(client: Client, chunks: &[usize], random: &mut Random) -> Self {
        let content = Bytes::from(random.bytes(chunks.iter().sum()));
        let location = Arc::default();
        let task = tokio::spawn(upload(client, content.clone(), chunks.to_vec(), Arc::clone(&location)));
        Self { content, location, task }
    }

    /// By a client that goes on at what is durable, with other bytes than this one; gives the digest. What the session
    /// says is the truth: if all is durable, there is only the end of this writer's own upload to be asked for.
    pub async fn finished_elsewhere(&self, client: &Client, longer: bool) -> String {
        let location = self.location.lock().expect("no panic").clone();
        let Some(location) = location else {
            // The first answer is not there yet: nobody else can know of the upload.
            let other = altered(&self.content, 0, longer);
            return patiently(|| client.push_blob(REPOSITORY, other.clone())).await;
        };
        let (_, durable) = patiently(|| client.upload_status(&location)).await;
        let other = altered(&self.content, durable as usize, longer);
        patiently(async || match go_on(client, &location, &other, durable).await {
            Err(failure) if failure.status() == Some(StatusCode::BAD_REQUEST) => {
                // This writer's commit was decided, and is finished for it: nothing can be added.
                let digest = sha256(&self.content);
                client.finish_upload(&location, &digest).await.map(|()| digest)
            }
            done => done,
        })
        .await
    }
}

/// The last chunk comes with the end.
async fn upload(
    client: Client,
    content: Bytes,
    chunks: Vec<usize>,
    known: Arc<Mutex<Option<String>>>,
) -> Result<(), Failure> {
    let mut location = client.start_upload(REPOSITORY).await?;
    *known.lock().expect("no panic") = Some(location.clone());
    let (mut rest, mut offset) = (content.clone(), 0);
    for size in &chunks[..chunks.len() - 1] {
        (location, offset) = client.patch(&location, offset, rest.split_to(*size)).await?;
    }
    client.finish_upload_with(&location, &sha256(&content), rest).await
}

/// Other bytes from an offset on, or also more of them.
fn altered(content: &Bytes, from: usize, longer: bool) -> Bytes {
    let mut altered = content.to_vec();
    for byte in &mut altered[from..] {
        *byte ^= 0xff;
    }
    if from < content.len() && longer {
        altered.extend_from_slice(b"and more");
    }
    altered.into()
}

/// What a client gets that asks again after a 503.
pub async fn patiently<T>(ask: impl AsyncFn() -> Result<T, Failure>) -> T {
    let begin = Instant::now();
    loop {
        match ask().await {
            Ok(done) => return done,
            Err(failure) => {
                let again =
                    failure.status() == Some(StatusCode::SERVICE_UNAVAILABLE) && begin.elapsed() < PATIENCE;
                assert!(again, "{failure}");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// As a client does: asks where the session is, and again when a 416 says that it is elsewhere by now. A driver whose core
/// died may still be making durable what it has.
pub async fn go_on(
    client: &Client,
    location: &str,
    blob: &Bytes,
    acknowledged: u64,
) -> Result<String, Failure> {
    let digest = sha256(blob);
    for _ in 0..5 {
        let (location, durable) = client.upload_status(location).await?;
        assert!(durable >= acknowledged, "{acknowledged} bytes were acknowledged, {durable} are left");
        let next = if durable < blob.len() as u64 {
            match client.patch(&location, durable, blob.slice(durable as usize..)).await {
                Ok((next, _)) => next,
                Err(failure) if failure.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE) => continue,
                Err(failure) => return Err(failure),
            }
        } else {
            location
        };
        client.finish_upload(&next, &digest).await?;
        return Ok(digest);
    }
    panic!("the session is never where it says that it is");
}

/// An upload of which so many bytes are durable is there with just these; the rest follows, and all of it comes back.
pub async fn goes_on_exactly(client: &Client, location: &str, blob: &Bytes, durable: usize) {
    let (location, at) = client.upload_status(location).await.expect("GET of the upload");
    assert_eq!(at, durable as u64, "what was acknowledged");
    let (location, _) = client.patch(&location, at, blob.slice(durable..)).await.expect("the second half");
    let digest = sha256(blob);
    client.finish_upload(&location, &digest).await.expect("PUT");
    assert!(client.get_blob(REPOSITORY, &digest).await.expect("a pull") == *blob, "other bytes");
}
