//! An object of more segments than a manifest may name: written, read by range across every kind of edge, and deleted
//! without leftovers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use longshore_end_to_end::servers::Flavour;
use longshore_end_to_end::swift_front::slow_down;
use longshore_end_to_end::{Client, Fault, Random, SwiftFront, figure, sha256};
use reqwest::{Method, StatusCode};

use crate::REPOSITORY;
use crate::container::Container;

const SEGMENT: usize = 4096;
/// Swift takes 1000 in one manifest; a manifest of manifests is needed for more.
const SEGMENTS: usize = 1200;
/// Of one manifest.
const MANIFEST: usize = 1000;
/// RGW has no manifests of manifests.
const SEGMENTS_OF_RGW: usize = 900;
/// Of a push.
const CHUNK: usize = 200 * SEGMENT;
/// No whole segment.
const REST: usize = 1234;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_1200_segments_is_read_across_every_edge_and_deleted_without_leftovers_over_swift() {
    an_object_of_many_segments(Flavour::SwiftTempauth, SEGMENTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_900_segments_is_read_across_every_edge_and_deleted_without_leftovers_over_rgw() {
    an_object_of_many_segments(Flavour::RgwSwift, SEGMENTS_OF_RGW).await;
}

async fn an_object_of_many_segments(flavour: Flavour, segments: usize) {
    let container = Container::start(flavour).await;
    let driver = container.driver_with("driver", |command| {
        command.arg(format!("segment_size={SEGMENT}"));
    });
    let before = container.server.names("").await;
    let registry = driver.core("").await;
    let client = registry.client();
    // The last one may take in what is too short for one of its own.
    let size = SEGMENT * (segments + 3) + REST;
    let blob = Bytes::from(Random::announced("swift segments").bytes(size));
    let digest = push(&client, &blob).await;
    let sizes = container.server.sizes(crate::container::SEGMENTS).await;
    let written = sizes.iter().filter(|(_, size)| *size == SEGMENT as u64).count();
    figure!(
        "{flavour:?}: {size} bytes in {written} segments of {SEGMENT} and {} more",
        sizes.len() - written
    );
    assert!(written >= segments, "{written} segments");

    assert!(client.get_blob(REPOSITORY, &digest).await.expect("a pull") == blob, "other bytes");
    for (first, last) in ranges(size) {
        let range = format!("bytes={first}-{last}");
        reads(&client, &digest, &range, blob.slice(first..(last + 1).min(size))).await;
    }
    reads(&client, &digest, &format!("bytes=-{}", 2 * SEGMENT), blob.slice(size - 2 * SEGMENT..)).await;
    reads(&client, &digest, &format!("bytes={}-", size - REST - 1), blob.slice(size - REST - 1..)).await;
    let behind = client.get_blob_range(REPOSITORY, &digest, &format!("bytes={size}-")).await;
    assert_eq!(behind.expect("an answer").status(), StatusCode::RANGE_NOT_SATISFIABLE);

    // As the collector does when nothing needs it any more.
    let names = container.server.names("objects/").await;
    let [name] = &names[..] else { panic!("one blob: {names:?}") };
    driver.end_all_uploads().await;
    assert!(client.get_blob(REPOSITORY, &digest).await.expect("a pull") == blob, "other bytes");
    // A delete that broke off left this.
    for (segment, _) in sizes.iter().filter(|(_, size)| *size == SEGMENT as u64).take(2) {
        container.server.delete(segment).await;
    }
    driver.delete(name).await;
    assert_eq!(left(&container, &before).await, Vec::<String>::new());
}

/// In several requests: none may last for longer than a core waits for the segments of it.
async fn push(client: &Client, blob: &Bytes) -> String {
    let mut location = client.start_upload(REPOSITORY).await.expect("POST");
    for at in (0..blob.len()).step_by(CHUNK) {
        let end = blob.len().min(at + CHUNK);
        let patched = client.patch(&location, at as u64, blob.slice(at..end)).await;
        let durable;
        (location, durable) = patched.expect("PATCH");
        assert_eq!(durable, end as u64);
    }
    let digest = sha256(blob);
    client.finish_upload(&location, &digest).await.expect("PUT");
    digest
}

/// What is there of objects and of the driver's own, and was not before.
async fn left(container: &Container, before: &[String]) -> Vec<String> {
    let names = container.server.names("").await.into_iter();
    names
        .filter(|name| {
            !before.contains(name) && (name.starts_with(".driver/") || name.starts_with("objects/"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_of_manifests_of_manifests_that_breaks_off_is_finished_by_the_next() {
    let container = Container::start(Flavour::SwiftTempauth).await;
    let breaks = Arc::new(AtomicBool::new(false));
    let breaking = Arc::clone(&breaks);
    let front = SwiftFront::before_with(&container.server, move |asked| {
        // Segments go, and no manifest does.
        let breaks = asked.method == Method::DELETE && breaking.load(Ordering::SeqCst);
        if breaks { slow_down(503, None) } else { Fault::Pass }
    })
    .await;
    let driver = container.driver_through_with("driver", &front.access(), |command| {
        command.args([format!("segment_size={SEGMENT}"), "max_segments=4".to_owned()]);
    });
    let before = container.server.names("").await;
    let registry = driver.core("").await;
    let blob = Bytes::from(Random::announced("swift delete").bytes(10 * SEGMENT + REST));
    registry.client().push_blob(REPOSITORY, blob).await.expect("a push");
    driver.end_all_uploads().await;
    let names = container.server.names("objects/").await;
    let [name] = &names[..] else { panic!("one blob: {names:?}") };
    let all = left(&container, &before).await.len();
    assert!(all > 10 + 3, "segments, and manifests of them");

    breaks.store(true, Ordering::SeqCst);
    driver.try_delete(name).await.expect_err("it breaks off");
    breaks.store(false, Ordering::SeqCst);
    assert!(left(&container, &before).await.len() < all, "nothing was deleted yet");
    assert!(container.server.head(name).await.is_some(), "what is left can be found no more");
    driver.delete(name).await;
    assert_eq!(left(&container, &before).await, Vec::<String>::new());
}

/// First and last byte: inside a segment, the whole of one, both sides of an edge, over several, at the edges of the
/// manifests, at the last edges, and at the ends.
fn ranges(size: usize) -> Vec<(usize, usize)> {
    let edge = |number: usize| number * SEGMENT;
    let mut ranges = vec![
        (0, 0),
        (0, size - 1),
        (0, size + 1000),
        (size - 1, size - 1),
        (edge(3) + 5, edge(3) + 10),
        (edge(3), edge(4) - 1),
        (edge(3), edge(6) - 1),
        (edge(3) - 1, edge(3)),
        (edge(3) - 1, edge(3) - 1),
        (edge(3), edge(3)),
        (edge(3) - 1, edge(7)),
        (edge(3) + 1, edge(500) + 1),
        (1, size - 2),
    ];
    for edge in (size / SEGMENT - 4..=size / SEGMENT).map(edge) {
        ranges.extend([(edge - 1, edge), (edge - 1, edge - 1), (edge, size - 1)]);
    }
    let edge_of_manifests = edge(MANIFEST);
    if edge_of_manifests < size {
        ranges.extend([
            (edge_of_manifests - 1, edge_of_manifests),
            (edge_of_manifests - 1, edge_of_manifests - 1),
            (edge_of_manifests, edge_of_manifests),
            (edge_of_manifests - SEGMENT, edge_of_manifests + SEGMENT - 1),
            (edge(MANIFEST - 2) + 7, edge(MANIFEST + 2) + 7),
            (edge_of_manifests, size - 1),
        ]);
    }
    ranges
}

async fn reads(client: &Client, digest: &str, range: &str, expected: Bytes) {
    let answer = client.get_blob_range(REPOSITORY, digest, range).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
    let got = answer.bytes().await.unwrap_or_else(|error| panic!("{range}: {error:?}"));
    assert!(got == expected, "{range}: {} bytes, {} expected", got.len(), expected.len());
    assert_eq!(sha256(&got), sha256(&expected), "{range}");
}
