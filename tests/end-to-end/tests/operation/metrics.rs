//! `/metrics`: what was done is counted, and what is wrong shows.

use std::time::{Duration, Instant};

use longshore_end_to_end::Client;
use longshore_end_to_end::registry::Registry;

const PATIENCE: Duration = Duration::from_secs(15);

async fn scrape(client: &Client) -> String {
    let response = client.get("/metrics").send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let text = response.text().await.expect("a body");
    assert!(text.ends_with("# EOF\n"), "{text}");
    text
}

/// The value of the one sample that begins like this.
fn value(text: &str, sample: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    let value = lines.next()?.parse().expect("a number");
    assert_eq!(lines.next(), None, "{sample} is there twice");
    Some(value)
}

async fn until(client: &Client, sample: &str, wanted: f64) {
    let begin = Instant::now();
    loop {
        let text = scrape(client).await;
        if value(&text, sample).is_some_and(|found| (found - wanted).abs() < 0.5) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{sample} is not {wanted}:\n{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn requests_bytes_and_calls_of_the_driver_are_counted() {
    let registry = Registry::start_apart().await;
    let client = registry.client();
    let digest = client.push_blob("metrics/app", vec![5_u8; 200_000]).await.expect("a push");
    for _ in 0..3 {
        client.get_blob("metrics/app", &digest).await.expect("a pull");
    }
    until(&client, "longshore_http_requests_total{operation=\"get_blob\",status=\"200\"}", 3.0).await;
    let text = scrape(&client).await;
    for (sample, wanted) in [
        ("longshore_http_sent_bytes_total{operation=\"get_blob\"}", 600_000.0),
        ("longshore_http_request_duration_seconds_count{operation=\"finish_upload\"}", 1.0),
        ("longshore_driver_calls_total{storage=\"main\",method=\"read\",outcome=\"OK\"}", 3.0),
        ("longshore_driver_call_duration_seconds_count{storage=\"main\",method=\"read\"}", 3.0),
        ("longshore_driver_calls_total{storage=\"main\",method=\"commit\",outcome=\"OK\"}", 1.0),
        ("longshore_uploads_open{storage=\"main\"}", 0.0),
        ("longshore_http_requests_in_flight", 1.0),
    ] {
        assert_eq!(value(&text, sample), Some(wanted), "{sample}\n{text}");
    }
    let read = value(&text, "longshore_driver_read_bytes_total{storage=\"main\"}").expect("bytes read");
    let written =
        value(&text, "longshore_driver_written_bytes_total{storage=\"main\"}").expect("bytes written");
    assert!(read >= 600_000.0 && written >= 200_000.0, "{read} {written}");
    until(&client, "longshore_driver_connected{storage=\"main\"}", 1.0).await;
    until(&client, "longshore_storage_ready{storage=\"main\"}", 1.0).await;
    let free = value(&scrape(&client).await, "longshore_storage_free_bytes{storage=\"main\"}");
    assert!(free.is_some_and(|free| free > 1_000_000.0), "{free:?}");
}

#[tokio::test]
async fn a_driver_that_is_stopped_shows_with_its_breaker_and_its_failures() {
    let mut registry = Registry::start_apart().await;
    let client = registry.client();
    until(&client, "longshore_storage_ready{storage=\"main\"}", 1.0).await;
    registry.driver().stop();
    until(&client, "longshore_storage_ready{storage=\"main\"}", 0.0).await;
    until(&client, "longshore_driver_breaker_open{storage=\"main\"}", 1.0).await;
    let text = scrape(&client).await;
    let timeouts = "longshore_driver_calls_total{storage=\"main\",method=\"probe\",outcome=\"TIMEOUT\"}";
    assert!(value(&text, timeouts).is_some_and(|count| count >= 1.0), "{text}");
    assert_eq!(value(&text, "longshore_storage_free_bytes{storage=\"main\"}"), None, "nobody knows");
    registry.driver().resume();
    until(&client, "longshore_storage_ready{storage=\"main\"}", 1.0).await;
    until(&client, "longshore_driver_breaker_open{storage=\"main\"}", 0.0).await;
}
