//! Calls of the core, made up from a script: well formed most of the time, of a few keys, ids and fences that meet again.

use longshore_driver_proto::v1;
use prost::Message;

use crate::grpc::frame;
use crate::script::Script;

pub const KEYS: [&str; 12] = [
    "a",
    "a/b",
    "a/b/c",
    "a/c",
    "a0",
    "b",
    ".driver/store-id",
    ".driver/x",
    ".driver",
    ".driverless/x",
    "a/../b",
    "",
];
pub const IDS: [&str; 4] = [
    "00000000000000000000000000000001",
    "00000000000000000000000000000002",
    "0000000000000000000000000000000A",
    "",
];
const STORAGE: &str = "/longshore.driver.v1.StorageService/";
const IDENTITY: &str = "/longshore.driver.v1.IdentityService/";

/// One of the keys above, or another text.
pub fn key(script: &mut Script<'_>) -> String {
    match usize::from(script.byte()) {
        known if known < 250 => KEYS[known % KEYS.len()].to_owned(),
        _ => script.text(),
    }
}

/// One of the ids above, or another text.
pub fn id(script: &mut Script<'_>) -> String {
    match usize::from(script.byte()) {
        known if known < 250 => IDS[known % IDS.len()].to_owned(),
        _ => script.text(),
    }
}

pub fn fence(script: &mut Script<'_>) -> Option<v1::Fence> {
    let counter = script.number();
    (counter != 0xef).then(|| v1::Fence { counter, owner: script.pick(&["", "a", "b"]).to_owned() })
}

fn timestamp(script: &mut Script<'_>) -> Option<prost_types::Timestamp> {
    let seconds = script.number().cast_signed();
    (seconds != 0).then(|| prost_types::Timestamp { seconds, nanos: script.number() as i32 })
}

fn duration(script: &mut Script<'_>) -> Option<prost_types::Duration> {
    let seconds = script.number().cast_signed();
    (seconds != 0).then(|| prost_types::Duration { seconds, nanos: script.number() as i32 })
}

/// A path, and a body with its frame.
pub fn call(script: &mut Script<'_>) -> (String, Vec<u8>) {
    let choice = script.byte() % 18;
    let (service, method, message) = match choice {
        0 => (STORAGE, "Stat", v1::StatRequest { key: key(script) }.encode_to_vec()),
        1 => (STORAGE, "Get", v1::GetRequest { key: key(script) }.encode_to_vec()),
        2 | 3 => (STORAGE, "Put", put(script).encode_to_vec()),
        4 => (STORAGE, "Delete", delete(script).encode_to_vec()),
        5 => (STORAGE, "Move", v1::MoveRequest { from: key(script), to: key(script) }.encode_to_vec()),
        6 => (STORAGE, "List", list(script).encode_to_vec()),
        7 => (STORAGE, "ReadStream", read(script).encode_to_vec()),
        8 => return (format!("{STORAGE}WriteStream"), write(script)),
        9 => (STORAGE, "GetUpload", v1::GetUploadRequest { upload_id: id(script) }.encode_to_vec()),
        10 => (STORAGE, "ListUploads", list_uploads(script).encode_to_vec()),
        11 => (
            STORAGE,
            "EndUpload",
            v1::EndUploadRequest { upload_id: id(script), fence: fence(script) }.encode_to_vec(),
        ),
        12 => (STORAGE, "Sign", sign(script).encode_to_vec()),
        13 => (IDENTITY, "Handshake", handshake(script).encode_to_vec()),
        14 => (IDENTITY, "Probe", v1::ProbeRequest {}.encode_to_vec()),
        15 => (IDENTITY, "Drain", v1::DrainRequest { grace: duration(script) }.encode_to_vec()),
        16 => return raw(script),
        _ => return (format!("/{}", script.text()), script.bytes().to_vec()),
    };
    (format!("{service}{method}"), frame(&message))
}

/// A method that exists, and a message that need not be one.
fn raw(script: &mut Script<'_>) -> (String, Vec<u8>) {
    let methods = [
        "Stat",
        "Get",
        "Put",
        "Delete",
        "Move",
        "List",
        "ReadStream",
        "WriteStream",
        "GetUpload",
        "ListUploads",
        "EndUpload",
        "Sign",
    ];
    let path = format!("{STORAGE}{}", script.pick(&methods));
    let body = if script.flag() { script.bytes().to_vec() } else { frame(script.bytes()) };
    (path, body)
}

fn put(script: &mut Script<'_>) -> v1::PutRequest {
    use v1::put_request::{Always, Condition, IfAbsent};
    let condition = match script.byte() % 4 {
        0 => Some(Condition::Always(Always {})),
        1 => Some(Condition::IfAbsent(IfAbsent {})),
        2 => Some(Condition::IfMatch(etag(script))),
        _ => None,
    };
    v1::PutRequest { key: key(script), content: script.bytes().to_vec().into(), condition }
}

/// Etags of the memory driver are numbers, counted up.
fn etag(script: &mut Script<'_>) -> String {
    match script.byte() {
        small @ 0..200 => small.to_string(),
        _ => script.text(),
    }
}

fn delete(script: &mut Script<'_>) -> v1::DeleteRequest {
    let count = match script.byte() {
        // More than a batch may have (contract clause O7).
        0xff => 1001,
        some => usize::from(some % 6),
    };
    let items = (0..count).map(|_| {
        let if_match = script.flag().then(|| etag(script));
        v1::delete_request::Item { key: key(script), if_match }
    });
    v1::DeleteRequest { items: items.collect() }
}

fn list(script: &mut Script<'_>) -> v1::ListRequest {
    let prefix = match script.byte() {
        0xff => script.text(),
        some => ["", "a/", "a/b/", ".driver/", ".driverless/", "a"][usize::from(some) % 6].to_owned(),
    };
    v1::ListRequest {
        prefix,
        recursive: script.flag(),
        start_after: key(script),
        limit: script.number() as u32,
    }
}

fn read(script: &mut Script<'_>) -> v1::ReadStreamRequest {
    v1::ReadStreamRequest {
        key: key(script),
        offset: script.number(),
        length: script.flag().then(|| script.number()),
        if_match: if script.flag() { etag(script) } else { String::new() },
    }
}

fn list_uploads(script: &mut Script<'_>) -> v1::ListUploadsRequest {
    v1::ListUploadsRequest {
        start_after: id(script),
        limit: script.number() as u32,
        idle_since: timestamp(script),
    }
}

fn sign(script: &mut Script<'_>) -> v1::SignRequest {
    v1::SignRequest {
        key: key(script),
        head: script.flag(),
        ttl: duration(script),
        content_type: script.text(),
    }
}

fn handshake(script: &mut Script<'_>) -> v1::HandshakeRequest {
    let versions = (0..script.byte() % 3)
        .map(|_| v1::Version { major: script.number() as u32, minor: script.number() as u32 });
    v1::HandshakeRequest {
        supported: versions.collect(),
        core_version: script.text(),
        core_instance: script.text(),
        expected_store_id: script.flag().then(|| script.text()),
    }
}

/// A short upload in one go.
fn write(script: &mut Script<'_>) -> Vec<u8> {
    let open = open(script);
    let mut body = message(v1::write_stream_request::Msg::Open(open));
    let mut at = At { offset: 0 };
    for _ in 0..script.byte() % 8 {
        body.extend(step(script, &mut at));
    }
    body
}

/// The first message of a write stream.
pub fn open(script: &mut Script<'_>) -> v1::WriteOpen {
    use v1::write_open::{Create, Mode, Resume};
    let mode = match script.byte() % 8 {
        0..4 => Some(Mode::Create(Create {
            key: key(script),
            size_hint: script.flag().then(|| script.number()),
            bookmark: script.bytes().to_vec().into(),
        })),
        4..7 => Some(Mode::Resume(Resume {})),
        _ => None,
    };
    v1::WriteOpen { upload_id: id(script), fence: fence(script), mode, progress: true }
}

/// Where a writer believes to be.
#[derive(Debug, Clone, Copy)]
pub struct At {
    pub offset: u64,
}

/// A message of a write stream with its frame.
pub fn message(msg: v1::write_stream_request::Msg) -> Vec<u8> {
    frame(&v1::WriteStreamRequest { msg: Some(msg) }.encode_to_vec())
}

/// What a writer sends next.
pub fn step(script: &mut Script<'_>, at: &mut At) -> Vec<u8> {
    use v1::write_stream_request::Msg;
    match script.byte() % 16 {
        0..5 => message(Msg::Chunk(chunk(script, at, false))),
        5 => message(Msg::Chunk(v1::WriteChunk { offset: script.number(), ..chunk(script, at, false) })),
        6 => message(Msg::Chunk(chunk(script, at, true))),
        7..10 => message(Msg::Mark(v1::WriteMark { offset: at.offset, ..mark(script) })),
        10 => message(Msg::Mark(v1::WriteMark { offset: script.number(), ..mark(script) })),
        11 | 12 => message(Msg::Commit(commit(script, at.offset))),
        13 => {
            let size = script.number();
            message(Msg::Commit(commit(script, size)))
        }
        14 => frame(script.bytes()),
        _ => script.bytes().to_vec(),
    }
}

fn chunk(script: &mut Script<'_>, at: &mut At, damaged: bool) -> v1::WriteChunk {
    let first = script.byte();
    let length = match script.byte() {
        // More than a chunk may have, and exactly that (contract clause U7).
        0xff => 256 * 1024 + 1,
        0xfe => 256 * 1024,
        some => usize::from(some),
    };
    let data: Vec<u8> = (0..length).map(|at| first.wrapping_add(at as u8)).collect();
    let sum = crc32c::crc32c(&data);
    let crc32c = if damaged { Some(sum ^ 1) } else { script.flag().then_some(sum) };
    let chunk = v1::WriteChunk { offset: at.offset, data: data.into(), crc32c };
    at.offset = at.offset.saturating_add(length as u64);
    chunk
}

fn mark(script: &mut Script<'_>) -> v1::WriteMark {
    v1::WriteMark { offset: 0, bookmark: bookmark(script).into(), flush: script.flag() }
}

/// At most 4 KiB are taken (contract clause U5).
fn bookmark(script: &mut Script<'_>) -> Vec<u8> {
    match script.byte() {
        0xff => vec![7; 4097],
        0xfe => vec![7; 4096],
        _ => script.bytes().to_vec(),
    }
}

fn commit(script: &mut Script<'_>, size: u64) -> v1::WriteCommit {
    v1::WriteCommit { size, bookmark: bookmark(script).into() }
}
