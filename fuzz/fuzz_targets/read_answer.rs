//! What a core makes of a driver's answer to a read: a read that ends well brought every byte that was asked for, in order,
//! and as it was sent.
#![no_main]

use futures_util::StreamExt as _;
use libfuzzer_sys::fuzz_target;
use longshore_driver_proto::v1;
use longshore_driver_sdk::{Driver as _, Key, ReadRange};
use longshore_fuzz::fake::{self, Answer};
use longshore_fuzz::script::Script;
use longshore_fuzz::{connection, grpc, tally};
use prost::Message as _;

const KEY: &str = "a/b";

fuzz_target!(|input: &[u8]| {
    tally::count(connection::run(read(Script::new(input))));
});

async fn read(mut script: Script<'_>) -> bool {
    let range = ReadRange {
        offset: script.number(),
        length: script.flag().then(|| script.number()),
        if_match: script.flag().then(|| "e".to_owned()),
    };
    let framed = answer(&mut script, &range);
    let answer = Answer::scripted(&mut script, framed.clone());
    let (core, driver) = connection::pair();
    fake::serve(driver, Answer::ok(&fake::hello().encode_to_vec()), fake::in_turn(vec![answer]));
    let remote = fake::dial(core).await.expect("a good handshake");
    let key = Key::parse(KEY).expect("a key");
    let Ok(mut reading) = remote.read(&key, range.clone()).await else { return false };
    assert_eq!(reading.object.key, key);
    assert!(range.offset <= reading.object.size);
    let left = reading.object.size - range.offset;
    let wanted = range.length.unwrap_or(left).min(left);
    let mut bytes = Vec::new();
    let mut ended_well = true;
    while let Some(piece) = reading.bytes.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) => ended_well = false,
        }
        assert!(bytes.len() as u64 <= wanted, "more than was asked for");
    }
    let sent: Vec<u8> = pieces(&framed).iter().flat_map(|piece| piece.data.to_vec()).collect();
    assert!(sent.starts_with(&bytes), "other bytes than the driver sent");
    // Contract clause R13.
    assert!(!ended_well || bytes.len() as u64 == wanted, "a short read ended well");
    ended_well
}

/// The pieces that a good reader would find.
fn pieces(framed: &[u8]) -> Vec<v1::ReadStreamResponse> {
    let (messages, _) = grpc::split(framed);
    messages.into_iter().map_while(|message| v1::ReadStreamResponse::decode(message).ok()).collect()
}

/// What the driver sends, with its frames.
fn answer(script: &mut Script<'_>, range: &ReadRange) -> Vec<u8> {
    let mut framed = Vec::new();
    let mut offset = range.offset;
    let count = script.byte() % 12;
    for at in 0..count {
        let object = (at == 0).then(|| object(script));
        framed.extend(match script.byte() % 16 {
            0..10 => piece(script, object, &mut offset, false),
            10 => piece(script, object, &mut offset, true),
            11 => {
                let mut elsewhere = script.number();
                piece(script, object, &mut elsewhere, false)
            }
            12 => grpc::frame(&v1::ReadStreamResponse { object, ..Default::default() }.encode_to_vec()),
            13 | 14 => grpc::frame(script.bytes()),
            _ => script.bytes().to_vec(),
        });
    }
    framed
}

fn object(script: &mut Script<'_>) -> v1::Object {
    let key = match script.byte() {
        0xff => script.text(),
        _ => KEY.to_owned(),
    };
    v1::Object { key, size: script.number(), etag: "e".to_owned(), modified: None }
}

fn piece(script: &mut Script<'_>, object: Option<v1::Object>, offset: &mut u64, damaged: bool) -> Vec<u8> {
    let data = script.bytes().to_vec();
    let sum = crc32c::crc32c(&data);
    let crc32c = if damaged { Some(sum ^ 1) } else { script.flag().then_some(sum) };
    let piece = v1::ReadStreamResponse { object, offset: *offset, data: data.into(), crc32c };
    *offset = offset.saturating_add(piece.data.len() as u64);
    grpc::frame(&piece.encode_to_vec())
}
