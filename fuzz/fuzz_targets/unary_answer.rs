//! What a core makes of a driver's answers to handshakes and unary calls: it acts on none that is about something else
//! than what was asked.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use longshore_driver_proto::v1;
use longshore_driver_sdk::client::RemoteDriver;
use longshore_driver_sdk::{
    Condition, Driver as _, DriverError, Fence, Key, KeyPrefix, ListQuery, SignRequest, UploadId, UploadQuery,
};
use longshore_fuzz::fake::{self, Answer};
use longshore_fuzz::requests::IDS;
use longshore_fuzz::script::Script;
use longshore_fuzz::{connection, grpc, tally};
use prost::Message as _;

const KEY: &str = "a/b";
const CONTENT: &[u8] = b"content";

fuzz_target!(|input: &[u8]| {
    tally::count(connection::run(call(Script::new(input))));
});

async fn call(mut script: Script<'_>) -> bool {
    let choice = script.byte() % 14;
    let hello =
        if choice == 13 { handshake(&mut script) } else { Answer::ok(&fake::hello().encode_to_vec()) };
    // One more than the attempts at a call.
    let answers = (0..script.byte() % 6).map(|_| answer(&mut script, choice)).collect();
    let (core, driver) = connection::pair();
    fake::serve(driver, hello, fake::in_turn(answers));
    match fake::dial(core).await {
        Some(remote) => ask(&remote, choice, &mut script).await.is_ok(),
        None => {
            assert_eq!(choice, 13, "a good handshake was refused");
            false
        }
    }
}

async fn ask(remote: &RemoteDriver, choice: u8, script: &mut Script<'_>) -> Result<(), DriverError> {
    let key = Key::parse(KEY).expect("a key");
    let id = UploadId::parse(IDS[0]).expect("an id");
    let content = Bytes::from_static(CONTENT);
    match choice {
        0 => assert_eq!(remote.stat(&key).await?.key, key),
        1 => {
            let (object, content) = remote.get(&key).await?;
            assert_eq!((object.key, object.size), (key, content.len() as u64));
        }
        2 | 3 => {
            let condition = if choice == 2 { Condition::Always } else { Condition::IfAbsent };
            let object = remote.put(&key, content, condition).await?;
            assert_eq!((object.key, object.size), (key, CONTENT.len() as u64));
        }
        4 => drop(remote.delete(&key, script.flag().then_some("e")).await?),
        5 => objects(remote, script).await?,
        6 => assert_eq!(remote.rename(&Key::parse("x").expect("a key"), &key).await?.key, key),
        7 => {
            let ttl = Duration::from_secs(script.number());
            let wish = SignRequest { head: false, ttl, content_type: String::new() };
            assert!(remote.sign(&key, &wish).await?.is_none_or(|signed| !signed.url.is_empty()));
        }
        8 => assert_eq!(remote.get_upload(&id).await?.id, id),
        9 => uploads(remote, script).await?,
        10 => drop(remote.end_upload(&id, &Fence::default()).await?),
        11 => drop(remote.probe().await?),
        12 => drop(remote.drain(Duration::from_secs(script.number())).await?),
        _ => handshaken(remote),
    }
    Ok(())
}

/// Contract clause H9.
fn handshaken(remote: &RemoteDriver) {
    use longshore_driver_sdk::Driver;
    let limits = Driver::description(remote).limits;
    assert!((64 * 1024..=1024 * 1024).contains(&limits.max_chunk) && limits.max_page >= 1000);
    assert!(limits.max_inline >= 4 * 1024 * 1024 + 64 * 1024);
}

async fn objects(remote: &RemoteDriver, script: &mut Script<'_>) -> Result<(), DriverError> {
    let query = ListQuery {
        prefix: KeyPrefix::parse(script.pick(&["", "a/"])).expect("a prefix"),
        recursive: script.flag(),
        start_after: script.pick(&["", "a", "a/", "a/b"]).to_owned(),
        limit: usize::from(script.byte()),
    };
    let page = remote.list(&query).await?;
    let names: Vec<&str> = page.entries.iter().map(|entry| entry.name()).collect();
    assert!(names.iter().all(|name| name.starts_with(query.prefix.as_str())));
    goes_on(&names, &query.start_after, query.limit, page.more);
    Ok(())
}

async fn uploads(remote: &RemoteDriver, script: &mut Script<'_>) -> Result<(), DriverError> {
    let start_after = script.pick(&IDS).to_owned();
    let query = UploadQuery { start_after, limit: usize::from(script.byte()), idle_since: None };
    let page = remote.list_uploads(&query).await?;
    let names: Vec<&str> = page.entries.iter().map(|upload| upload.id.as_str()).collect();
    goes_on(&names, &query.start_after, query.limit, page.more);
    Ok(())
}

/// Whoever asks for page after page comes to an end (contract clauses L1, L3, L4).
fn goes_on(names: &[&str], start_after: &str, limit: usize, more: bool) {
    assert!(names.first().is_none_or(|first| *first > start_after));
    assert!(names.is_sorted_by(|one, next| one < next));
    assert!(limit == 0 || names.len() <= limit);
    assert!(!more || !names.is_empty());
}

fn handshake(script: &mut Script<'_>) -> Answer {
    let message = if script.flag() { script.bytes().to_vec() } else { fake::hello().encode_to_vec() };
    Answer::scripted(script, grpc::frame(&message))
}

/// What the driver answers: about the right thing most of the time, with other things in it.
fn answer(script: &mut Script<'_>, choice: u8) -> Answer {
    let form = script.byte();
    let mut message = if form & 1 == 0 { good(choice) } else { Vec::new() };
    // Fields that come twice are merged, or the last one counts.
    message.extend_from_slice(script.bytes());
    let framed = if form & 0xfe == 0xfe { message } else { grpc::frame(&message) };
    Answer::scripted(script, framed)
}

fn good(choice: u8) -> Vec<u8> {
    let object = |size| Some(v1::Object { key: KEY.to_owned(), size, ..Default::default() });
    let upload = v1::Upload {
        upload_id: IDS[0].to_owned(),
        key: KEY.to_owned(),
        state: v1::UploadState::Open.into(),
        ..Default::default()
    };
    let size = CONTENT.len() as u64;
    match choice {
        0 => v1::StatResponse { object: object(9) }.encode_to_vec(),
        1 => v1::GetResponse { object: object(size), content: CONTENT.into() }.encode_to_vec(),
        2 | 3 => v1::PutResponse { object: object(size) }.encode_to_vec(),
        4 => v1::DeleteResponse { outcomes: vec![v1::delete_response::Outcome::default()] }.encode_to_vec(),
        6 => v1::MoveResponse { object: object(9) }.encode_to_vec(),
        8 => v1::GetUploadResponse { upload: Some(upload) }.encode_to_vec(),
        _ => Vec::new(),
    }
}
