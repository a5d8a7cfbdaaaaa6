//! The S3 servers themselves: what the tests of the S3 driver rest on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_end_to_end::servers::{Credentials, Implementation, PAGE};
use longshore_end_to_end::{S3Server, figure};
use reqwest::{Method, StatusCode};

/// A stopped process answers nothing within it; what runs answers in much less.
const SILENCE: Duration = Duration::from_secs(2);

async fn an_object_comes_and_goes(server: &S3Server) {
    let (key, body) = ("a b/+&%é:@=?x", Bytes::from(vec![7; 100_000]));
    assert_eq!(server.get(key).await, None);
    server.put(key, body.clone()).await;
    assert_eq!(server.get(key).await, Some(body));
    assert_eq!(server.keys("a b/").await, [key]);
    server.delete(key).await;
    assert_eq!(server.get(key).await, None);
    assert_eq!(server.keys("").await, Vec::<String>::new());
}

async fn a_listing_goes_on_over_its_pages(server: &S3Server) {
    let keys: Vec<String> = (0..PAGE + 5).map(|number| format!("pages/{number:03}&<")).collect();
    for key in &keys {
        server.put(key, "").await;
    }
    assert_eq!(server.keys("pages/").await, keys);
}

async fn a_wrong_secret_is_refused(server: &S3Server) {
    let forged = Credentials { secret_key: "guessed".to_owned(), ..server.credentials().clone() };
    let target = format!("/{}/forged", server.bucket());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut request = client.put(format!("{}{target}", server.endpoint())).body("forged");
    for (name, value) in forged.sign("PUT", server.endpoint(), &target, b"forged") {
        request = request.header(name, value);
    }
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(server.get("forged").await, None);
}

async fn data_outlive_the_process(server: &mut S3Server) {
    server.put("kept", "before").await;
    let endpoint = server.endpoint().to_owned();
    server.stop();
    let refused = server.attempt(Method::GET, "/", Bytes::new()).await;
    assert!(refused.expect_err("nobody is there").is_connect());
    server.start_again().await;
    assert_eq!(server.endpoint(), endpoint);
    assert_eq!(server.get("kept").await, Some("before".into()));
    server.put("kept", "after").await;
    assert_eq!(server.get("kept").await, Some("after".into()));
}

async fn a_pause_is_a_silence(server: &S3Server) {
    server.pause();
    let asked = tokio::time::timeout(SILENCE, server.get("kept")).await;
    server.resume();
    assert!(asked.is_err(), "a paused server has answered: {asked:?}");
    assert_eq!(server.get("kept").await, Some("after".into()));
}

/// What still runs and knows of the directory: from its arguments or its environment.
fn left_behind(directory: &Path) -> Vec<PathBuf> {
    let knows = |file: PathBuf| {
        let text = fs::read(file).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(&*directory.to_string_lossy())
    };
    let processes = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    processes.filter(|process| knows(process.join("cmdline")) || knows(process.join("environ"))).collect()
}

fn nothing_is_left_of(server: S3Server) {
    let (directory, ids) = (server.directory().to_owned(), server.process_ids());
    assert_eq!(left_behind(&directory).len(), ids.len(), "a process of its that it does not know");
    drop(server);
    assert_eq!(left_behind(&directory), Vec::<PathBuf>::new());
    for id in ids {
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "{id} has not been reaped");
    }
    assert!(!directory.exists());
}

async fn a_life(implementation: Implementation) {
    let begin = Instant::now();
    let mut server = S3Server::start(implementation).await;
    figure!("{implementation:?} started in {:.1} s", begin.elapsed().as_secs_f64());
    an_object_comes_and_goes(&server).await;
    a_wrong_secret_is_refused(&server).await;
    a_listing_goes_on_over_its_pages(&server).await;
    data_outlive_the_process(&mut server).await;
    a_pause_is_a_silence(&server).await;
    nothing_is_left_of(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versitygw_lives_dies_and_comes_back() {
    a_life(Implementation::Versitygw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swift_lives_dies_and_comes_back() {
    a_life(Implementation::Swift).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rgw_lives_dies_and_comes_back() {
    a_life(Implementation::Rgw).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minio_lives_dies_and_comes_back() {
    a_life(Implementation::Minio).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garage_lives_dies_and_comes_back() {
    a_life(Implementation::Garage).await;
}

async fn with_an_object_of_its_own(implementation: Implementation, number: u8) -> S3Server {
    let server = S3Server::start(implementation).await;
    server.put("number", vec![number]).await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_each_run_at_once_and_know_nothing_of_each_other() {
    for implementation in Implementation::ALL {
        let start = |number| tokio::spawn(with_an_object_of_its_own(implementation, number));
        let (one, two) = tokio::join!(start(1), start(2));
        let (one, two) = (one.expect("one"), two.expect("two"));
        assert_ne!(one.endpoint(), two.endpoint());
        assert_eq!(one.get("number").await, Some(vec![1].into()));
        assert_eq!(two.get("number").await, Some(vec![2].into()));
        nothing_is_left_of(one);
        two.create_bucket("another").await;
        assert_eq!(two.keys("").await, ["number"]);
        nothing_is_left_of(two);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_counted_before_its_answer_is_there() {
    let mut server = S3Server::start(Implementation::Versitygw).await;
    server.put("a b/c", "x").await;
    server.keys("a b/").await;
    server.stop();
    server.start_again().await;
    server.get("missing").await;
    let requests = server.requests();
    let seen: Vec<_> = requests.iter().map(|seen| (&*seen.operation, &*seen.key, seen.status)).collect();
    let expected = [
        ("CreateBucket", "", 200),
        ("PutObject", "a b/c", 200),
        ("ListObjectsV2", "", 200),
        // How `start_again` finds out that it is back.
        ("ListObjects", "", 200),
        ("GetObject", "missing", 404),
    ];
    assert_eq!(seen, expected);
    assert_eq!(requests[2].query, format!("list-type=2&max-keys={PAGE}&prefix=a%20b%2F"));
    assert!(requests.iter().all(|request| request.bucket == server.bucket()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_that_fails_leaves_nothing_behind() {
    let server = S3Server::start(Implementation::Swift).await;
    let directory = server.directory().to_owned();
    let test = tokio::spawn(async move {
        server.pause();
        std::panic::resume_unwind(Box::new("a failure"));
    });
    assert!(test.await.is_err_and(|error| error.is_panic()));
    assert_eq!(left_behind(&directory), Vec::<PathBuf>::new());
    assert!(!directory.exists());
}
