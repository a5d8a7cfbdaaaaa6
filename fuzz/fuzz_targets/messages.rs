//! The messages of both ends: whatever is taken in is given out and taken in again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_driver_proto::v1;
use longshore_driver_sdk::{Detail, Reason, fuzzing, wire};
use longshore_fuzz::script::Script;
use longshore_fuzz::{fake, grammar, tally};
use prost::Message;
use tonic::{Code, Status};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let accepted = match script.byte() % 8 {
        0 => again(script.rest(), fuzzing::object, |object| key(&object.key)),
        1 => again(script.rest(), fuzzing::entry, |_| ()),
        2 => again(script.rest(), fuzzing::upload, upload),
        3 => again(script.rest(), |probe| Ok::<_, ()>(fuzzing::probe(probe)), |_| ()),
        4 => again(script.rest(), |fence| fuzzing::fence(Some(fence)), |_| ()),
        5 => again(script.rest(), |hello| fuzzing::description(&hello), limits),
        6 => duration(script.rest()),
        _ => status(script),
    };
    tally::count(accepted);
});

/// Takes a message in and gives it out; what was given out is given out again as it is.
fn again<M, E>(bytes: &[u8], through: impl Fn(M) -> Result<M, E>, check: impl Fn(&M)) -> bool
where
    M: Message + Default + Clone + PartialEq + std::fmt::Debug,
    E: std::fmt::Debug,
{
    let Ok(message) = M::decode(bytes) else { return false };
    let Ok(once) = through(message) else { return false };
    check(&once);
    assert_eq!(through(once.clone()).expect("it was taken in before"), once);
    assert_eq!(M::decode(&once.encode_to_vec()[..]).expect("our own message"), once);
    true
}

fn key(text: &str) {
    let open = grammar::is_key(text.as_bytes()) && !grammar::is_drivers_own(text.as_bytes());
    assert!(open || text == ".driver/store-id", "{text:?}");
}

fn upload(upload: &v1::Upload) {
    assert_eq!(upload.upload_id.len(), 32);
    assert_ne!(upload.state(), v1::UploadState::Unspecified);
    key(&upload.key);
    assert_ne!(upload.key, ".driver/store-id");
}

/// Contract clause H9.
fn limits(hello: &v1::HandshakeResponse) {
    let limits = hello.limits.expect("limits");
    assert!((64 * 1024..=1024 * 1024).contains(&limits.max_chunk_bytes));
    assert!(limits.max_inline_bytes >= 4 * 1024 * 1024 + 64 * 1024 && limits.max_page >= 1000);
}

fn duration(bytes: &[u8]) -> bool {
    let Ok(message) = prost_types::Duration::decode(bytes) else { return false };
    fuzzing::duration(&message).is_some()
}

/// A status as a driver may send one, with details of any form.
fn status(mut script: Script<'_>) -> bool {
    let code = script.byte() % 20;
    let message = script.text();
    let headers = fake::status(code, &message, script.rest());
    let Some(status) = Status::from_header_map(&headers) else { return false };
    let error = wire::from_status(&status);
    // A reason counts only with its own code, so nobody is told of an absence that was not stated (rule R5).
    if error.reason() == Reason::KeyNotFound {
        assert_eq!(status.code(), Code::NotFound);
    }
    match error.detail() {
        Detail::None => {}
        Detail::Offsets { .. } => assert_eq!(error.reason(), Reason::OffsetMismatch),
        Detail::Size(_) => assert_eq!(error.reason(), Reason::OffsetPastEnd),
    }
    let once = wire::from_status(&wire::to_status(&error));
    assert_eq!(once.reason(), error.reason());
    assert_eq!(once.message(), error.message());
    assert_eq!(once.detail(), error.detail());
    assert!(once.retry_after() <= error.retry_after());
    assert_eq!(wire::from_status(&wire::to_status(&once)).retry_after(), once.retry_after());
    Reason::parse(once.reason().as_str()).is_some() && status.code() != Code::Ok
}
