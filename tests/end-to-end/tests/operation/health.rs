//! `/healthz` and `/readyz` while drivers are stopped, killed and started again.

use std::time::{Duration, Instant};

use longshore_end_to_end::Client;
use longshore_end_to_end::registry::Registry;
use serde_json::{Value, json};

/// A second between probes, the deadline of a probe, and time for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Status and body of `/readyz` once it has this status; each answer comes at once, and `/healthz` is 200 all the time.
async fn until(client: &Client, status: u16) -> Value {
    let begin = Instant::now();
    loop {
        let asked = Instant::now();
        let alive = client.get("/healthz").send().await.expect("/healthz answers");
        assert_eq!(alive.status(), 200);
        let ready = client.get("/readyz").send().await.expect("/readyz answers");
        assert!(asked.elapsed() < Duration::from_secs(1), "health waits for nobody: {:?}", asked.elapsed());
        let found = ready.status().as_u16();
        let body = ready.text().await.expect("a body");
        if found == status {
            return serde_json::from_str(&body).expect("JSON");
        }
        assert!(begin.elapsed() < PATIENCE, "still {found} and not {status}: {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_driver_that_is_stopped_or_killed_is_not_ready_and_the_process_lives() {
    let mut registry = Registry::start_apart().await;
    let client = registry.client();
    let well = json!({"ready": true, "storages": {"main": "READY"}});
    assert_eq!(until(&client, 200).await, well);

    registry.driver().stop();
    let stopped = until(&client, 503).await;
    assert_eq!(stopped["ready"], false);
    assert!(["TIMEOUT", "BACKEND_UNAVAILABLE"].contains(&stopped["storages"]["main"].as_str().unwrap_or("")));
    registry.driver().resume();
    assert_eq!(until(&client, 200).await, well);

    registry.driver().kill();
    assert_eq!(until(&client, 503).await["storages"]["main"], "BACKEND_UNAVAILABLE");
    registry.driver().start();
    assert_eq!(until(&client, 200).await, well);
}
