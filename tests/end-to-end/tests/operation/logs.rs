//! The access log, and the request id in the answer, in the core's log and in the driver's.

use std::time::Duration;

use longshore_end_to_end::registry::Registry;

const PATIENCE: Duration = Duration::from_secs(10);
/// From an answer to the line about it.
const SOON: Duration = Duration::from_secs(2);

async fn telling_all(config: &str) -> Registry {
    let mut registry = Registry::start_with_config(config).await;
    registry.stop_core(Duration::from_secs(15));
    registry.set_log_filter("debug");
    registry.start_core();
    registry.await_ready(PATIENCE).await;
    registry
}

fn id_of(response: &reqwest::Response) -> String {
    response.headers()["x-request-id"].to_str().expect("an id is text").to_owned()
}

#[tokio::test]
async fn the_id_of_a_request_is_in_its_answer_in_the_access_log_and_in_the_log_of_the_driver() {
    let registry = telling_all("").await;
    let client = registry.client();
    let digest = client.push_blob("logs/app", vec![7_u8; 300_000]).await.expect("a push");
    let get = client.get(&format!("/v2/logs/app/blobs/{digest}")).header("User-Agent", "tester/1");
    let response = get.send().await.expect("an answer");
    let id = id_of(&response);
    assert_eq!(response.bytes().await.expect("a body").len(), 300_000);

    let access = |line: &str| line.contains(&format!("request={id} ")) && line.contains("sent=300000");
    let line = registry.core().await_line_where("the access log's line", access, SOON);
    for part in
        ["client=127.0.0.1", "method=GET", "operation=\"get_blob\"", "status=200", "tester/1", "seconds="]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    let driver = |line: &str| line.contains(&format!("request={id}")) && line.contains("/ReadStream\"");
    registry.core().await_line_where("the driver's line about the read", driver, SOON);

    let upload = client.start_upload("logs/app").await.expect("an upload");
    let chunk = client.patch_request(&upload, 0, vec![1_u8; 1000].into()).send().await.expect("an answer");
    let id = id_of(&chunk);
    let wrote = |line: &str| line.contains(&format!("request={id}")) && line.contains("/WriteStream\"");
    registry.core().await_line_where("the driver's line about the write", wrote, SOON);
    let access = |line: &str| line.contains(&format!("request={id} ")) && line.contains("received=1000");
    registry.core().await_line_where("the bytes that came", access, SOON);
}

// In two threads: the client's connection ends while this one waits for the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_midway_is_in_the_access_log_with_what_it_took() {
    let registry = telling_all("").await;
    let client = registry.client();
    let digest = client.push_blob("logs/large", vec![3_u8; 64 << 20]).await.expect("a push");
    let get = client.get(&format!("/v2/logs/large/blobs/{digest}"));
    let mut response = get.send().await.expect("an answer");
    let id = id_of(&response);
    response.chunk().await.expect("a chunk");
    drop(response);
    let ended = |line: &str| line.contains(&format!("request={id} ")) && line.contains("sent=");
    let line = registry.core().await_line_where("the access log's line", ended, PATIENCE);
    let sent = line.split("sent=").nth(1).and_then(|rest| rest.split(' ').next()).expect("a number");
    assert!((1..64 << 20).contains(&sent.parse::<u64>().expect("a number")), "{line}");
}

#[tokio::test]
async fn only_a_trusted_proxy_chooses_the_id_of_a_request() {
    for (config, trusted) in [("trusted_proxies = ['127.0.0.0/8']", true), ("", false)] {
        let registry = Registry::start_with_config(config).await;
        let ask = async |id: &str| {
            let request = registry.client().get("/v2/").header("X-Request-Id", id);
            id_of(&request.send().await.expect("an answer"))
        };
        assert_eq!(ask("edge-17.b_C").await == "edge-17.b_C", trusted);
        assert_ne!(ask("a b=\"c\"").await, "a b=\"c\"", "what could forge a line is replaced");
    }
}
