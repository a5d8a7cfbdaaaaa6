//! What a client does after a kill, and what it may count on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_end_to_end::client::{Client, Failure, OCI_MANIFEST, finish_path};
use longshore_end_to_end::{figure, sha256};
use reqwest::{Method, StatusCode};

use crate::phase::{Phase, Reached};
use crate::trial::{Aftermath, Trial, Work};

/// A restart serves within five seconds; until then 503 means "again".
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn go_on(trial: &mut Trial, work: Work, aftermath: Aftermath) {
    match work.phase {
        Phase::Post => after_post(trial, work).await,
        Phase::Patch => after_patch(trial, work, &aftermath).await,
        Phase::Put => after_put(trial, work, &aftermath).await,
        Phase::Manifest => after_manifest(trial, work).await,
    }
}

/// Nobody knows of the session; the client begins another.
async fn after_post(trial: &mut Trial, work: Work) {
    let client = trial.client();
    patiently(async || client.push_blob(&work.repository, work.content.clone()).await).await;
    blob_is_whole(trial, work).await;
}

async fn after_patch(trial: &mut Trial, work: Work, aftermath: &Aftermath) {
    let client = trial.client();
    is_absent(&client, &work).await;
    let (location, durable) = patiently(async || client.upload_status(&work.location).await).await;
    assert!(durable >= work.acknowledged, "{durable} bytes left of {} acknowledged", work.acknowledged);
    let size = work.content.len() as u64;
    assert!(durable <= size, "{durable} bytes of {size}");
    if aftermath.status == Some(202) {
        assert_eq!(durable, size, "a PATCH that was acknowledged in spite of the kill");
    }
    finish_from(&client, &work, &location, durable).await;
    blob_is_whole(trial, work).await;
}

async fn after_put(trial: &mut Trial, work: Work, aftermath: &Aftermath) {
    let client = trial.client();
    // A driver that lives still does the last call that the killed core had sent: behind the holder, that is the link.
    let linked = match aftermath.reached {
        Some(Reached::Linked) => true,
        Some(Reached::Held) => aftermath.driver_lived,
        _ => false,
    };
    if !linked && !aftermath.core_lived {
        is_absent(&client, &work).await;
    }
    let status = patiently(async || optional(client.upload_status(&work.location).await)).await;
    if let Some((location, durable)) = &status {
        assert_eq!(*durable, work.acknowledged, "an acknowledged byte is gone");
        if trial.one_in(2) {
            wrong_digest_is_refused(&client, location).await;
        }
    }
    // The session is gone only when its blob is recorded; a repeated finalise works in either case or is not needed.
    let location = status.as_ref().map_or(&work.location, |(location, _)| location);
    let finished = patiently(async || match client.finish_upload(location, &work.digest).await {
        Err(Failure::Status { status: StatusCode::NOT_FOUND, .. }) if status.is_none() => Ok(false),
        other => other.map(|()| true),
    });
    let finished = finished.await;
    assert!(finished || status.is_none(), "an open session was not finished");
    wrong_digest_is_refused(&client, location).await;
    blob_is_whole(trial, work).await;
}

async fn after_manifest(trial: &mut Trial, work: Work) {
    let client = trial.client();
    let digest = sha256(&work.manifest);
    for reference in ["latest", &digest] {
        let found =
            patiently(async || optional(client.get_manifest(&work.repository, reference).await)).await;
        assert!(found.is_none_or(|bytes| bytes == work.manifest), "{}:{reference} is torn", work.repository);
    }
    let put =
        async || client.put_manifest(&work.repository, "latest", OCI_MANIFEST, work.manifest.clone()).await;
    patiently(put).await;
    for reference in ["latest", &digest] {
        let bytes = client.get_manifest(&work.repository, reference).await.expect("the manifest");
        assert_eq!(bytes, work.manifest);
    }
    trial.manifests.push((work.repository, "latest".into(), work.manifest));
}

/// PATCH of what is missing, then PUT.
async fn finish_from(client: &Client, work: &Work, location: &str, durable: u64) {
    let mut location = location.to_owned();
    let (size, mut durable) = (work.content.len() as u64, durable);
    let begin = Instant::now();
    while durable < size {
        let rest: Bytes = work.content.slice(usize::try_from(durable).expect("a small size")..);
        match client.patch(&location, durable, rest).await {
            Ok((next, now)) => {
                assert_eq!(now, size, "a PATCH acknowledges what is durable");
                (location, durable) = (next, now);
            }
            // Pieces of the killed core's stream were still on their way when GET answered. The offset may only grow.
            Err(failure) if failure.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE) => {
                assert!(begin.elapsed() < PATIENCE, "{failure}");
                let (next, now) = client.upload_status(&location).await.expect("GET upload after 416");
                assert!(now >= durable, "the durable offset fell from {durable} to {now}");
                figure!("kills: the durable offset grew from {durable} to {now} after it was told");
                (location, durable) = (next, now);
            }
            Err(failure) => panic!("PATCH from the durable offset: {failure}"),
        }
    }
    is_absent(client, work).await;
    client.finish_upload(&location, &work.digest).await.expect("PUT");
}

async fn blob_is_whole(trial: &mut Trial, work: Work) {
    let client = trial.client();
    let content = client.get_blob(&work.repository, &work.digest).await.expect("the finished blob");
    assert_eq!(sha256(&content), work.digest, "{}", work.repository);
    trial.blobs.push((work.repository, work.digest));
}

/// No object before its finalise could have happened.
async fn is_absent(client: &Client, work: &Work) {
    let head = client.head_blob(&work.repository, &work.digest).await.expect("HEAD");
    assert_eq!(head.status(), StatusCode::NOT_FOUND, "{} is visible early", work.digest);
    let get = client.get_blob(&work.repository, &work.digest).await;
    assert_eq!(get.err().and_then(|failure| failure.status()), Some(StatusCode::NOT_FOUND), "visible early");
}

/// Under another digest a session is not finished, neither before nor after its own finalise.
async fn wrong_digest_is_refused(client: &Client, location: &str) {
    let wrong = finish_path(location, &sha256(b"other bytes"));
    let response = client.request(Method::PUT, &wrong).send().await.expect("PUT with another digest");
    assert!(response.status().is_client_error(), "PUT with another digest: {}", response.status());
}

/// A session or manifest that may be gone.
fn optional<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.status() == Some(StatusCode::NOT_FOUND) => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn patiently<T>(mut work: impl AsyncFnMut() -> Result<T, Failure>) -> T {
    let begin = Instant::now();
    loop {
        match work().await {
            Ok(value) => return value,
            Err(failure)
                if failure.status() == Some(StatusCode::SERVICE_UNAVAILABLE)
                    && begin.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(failure) => panic!("{failure}"),
        }
    }
}
