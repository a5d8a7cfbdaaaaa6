//! Write streams of a core that may send anything, against a driver in memory behind the real service: sessions keep the
//! promises of contract section U whatever arrives, wherever it is cut, and however the stream ends.
#![no_main]

use std::collections::HashMap;
use std::sync::Arc;

use http::Request;
use libfuzzer_sys::fuzz_target;
use longshore_driver_proto::v1::write_stream_request::Msg;
use longshore_driver_sdk::memory::MemoryDriver;
use longshore_driver_sdk::{Driver, UploadId, fuzzing};
use longshore_fuzz::grpc::{self, Answer, End};
use longshore_fuzz::requests::{self, At, KEYS};
use longshore_fuzz::script::Script;
use longshore_fuzz::sessions::Model;
use longshore_fuzz::{connection, tally};
use tower::ServiceExt as _;

const STREAMS: usize = 4;
const STEPS: usize = 24;

fuzz_target!(|input: &[u8]| {
    tally::count(connection::run(session(Script::new(input))));
});

/// Several streams, one after the other. Whether a session was opened and something came of it.
async fn session(mut script: Script<'_>) -> bool {
    let driver: Arc<dyn Driver> = Arc::new(MemoryDriver::default());
    let mut models: HashMap<String, Model> = HashMap::new();
    let mut opened = false;
    for _ in 0..STREAMS {
        if script.is_over() {
            break;
        }
        let open = requests::open(&mut script);
        let id = open.upload_id.clone();
        let sent = stream(&*driver, open, &mut script).await;
        let cuts = script.bytes().to_vec();
        let end = if script.byte() == 0xff { End::Reset } else { End::Plain };
        let body = grpc::body(grpc::cut(sent.clone(), &cuts), end);
        let request = Request::post("/longshore.driver.v1.StorageService/WriteStream").body(body);
        let service = fuzzing::storage(driver.clone(), true);
        let response = service.oneshot(request.expect("a request")).await;
        let answer = Answer::of(response.unwrap_or_else(|never| match never {})).await;
        connection::rest().await;
        opened |= models.entry(id).or_default().follow(&sent, &answer);
        check(&*driver, &models).await;
    }
    opened && models.values().any(|model| model.is_committed() || model.has_marks())
}

/// What a writer sends, who mostly goes on where the session is.
async fn stream(
    driver: &dyn Driver,
    open: longshore_driver_proto::v1::WriteOpen,
    script: &mut Script<'_>,
) -> Vec<u8> {
    let mut at = At { offset: 0 };
    if let Ok(id) = UploadId::parse(&open.upload_id)
        && let Ok(upload) = driver.get_upload(&id).await
    {
        at.offset = upload.durable;
    }
    let mut sent = requests::message(Msg::Open(open));
    if script.byte() == 0xff {
        sent = script.bytes().to_vec();
    }
    let steps = usize::from(script.byte()) % STEPS;
    for _ in 0..steps {
        sent.extend(requests::step(script, &mut at));
    }
    sent
}

/// Every session, and that no key has an object which nobody committed (contract clause U12).
async fn check(driver: &dyn Driver, models: &HashMap<String, Model>) {
    for (id, model) in models {
        match UploadId::parse(id) {
            Ok(id) => model.check(driver, &id).await,
            Err(_) => assert!(model.key().is_empty(), "a session with the id {id:?}"),
        }
    }
    for key in KEYS.iter().filter_map(|key| longshore_driver_sdk::Key::parse(key).ok()) {
        let committed = models.values().any(|model| model.is_committed() && model.key() == key.as_str());
        assert_eq!(driver.stat(&key).await.is_ok(), committed, "{key}");
    }
}
