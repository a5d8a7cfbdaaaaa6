//! The two messages that carry bytes, read and written past prost, and the framing around them: wherever a connection cut
//! them, they are what prost takes them for.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::write_stream_request::Msg;
use longshore_driver_sdk::fuzzing;
use longshore_fuzz::grpc::{self, End};
use longshore_fuzz::script::Script;
use longshore_fuzz::{connection, fake, tally};
use prost::{DecodeError, Message};
use tonic::{Code, Status};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let choice = script.byte() % 3;
    let cuts = script.bytes();
    let accepted = match choice {
        0 => write(script.rest(), cuts),
        1 => read(script.rest(), cuts),
        _ => framing(script, cuts),
    };
    tally::count(accepted);
});

fn write(bytes: &[u8], cuts: &[u8]) -> bool {
    let taken = fuzzing::take_write(grpc::cut(bytes.to_vec(), cuts)).map(|(mut message, data)| {
        if let Some(Msg::Chunk(chunk)) = &mut message.msg {
            chunk.data = data.concat().into();
        }
        message
    });
    let decoded = v1::WriteStreamRequest::decode(bytes);
    same(&taken, &decoded);
    let Some(message) = taken else { return false };
    let framed = fuzzing::frame_write(message.clone());
    let (messages, clean) = grpc::split(&framed);
    assert!(clean && messages.len() == 1);
    assert_eq!(v1::WriteStreamRequest::decode(messages[0]).expect("our own message"), message);
    message.msg.is_some()
}

fn read(bytes: &[u8], cuts: &[u8]) -> bool {
    let taken = fuzzing::take_read(grpc::cut(bytes.to_vec(), cuts)).map(|(mut piece, data)| {
        piece.data = data.concat().into();
        piece
    });
    let decoded = v1::ReadStreamResponse::decode(bytes);
    same(&taken, &decoded);
    let Some(piece) = taken else { return false };
    let framed = fuzzing::frame_read(piece.clone());
    let (messages, clean) = grpc::split(&framed);
    assert!(clean && messages.len() == 1);
    assert_eq!(v1::ReadStreamResponse::decode(messages[0]).expect("our own message"), piece);
    piece != v1::ReadStreamResponse::default()
}

/// prost counts a chunk as one more level, which only shows where groups that nobody knows are nested a hundred times.
fn same<M: PartialEq + std::fmt::Debug>(taken: &Option<M>, decoded: &Result<M, DecodeError>) {
    match (taken, decoded) {
        (Some(taken), Ok(decoded)) => assert_eq!(taken, decoded),
        (None, Err(_)) => {}
        (Some(_), Err(error)) => assert!(error.to_string().contains("recursion"), "{error}"),
        (None, Ok(decoded)) => panic!("prost takes it for {decoded:?}"),
    }
}

fn framing(mut script: Script<'_>, cuts: &[u8]) -> bool {
    let end = fake::scripted_end(&mut script);
    let is_answer = script.flag();
    let bytes = script.rest();
    let good_end = match &end {
        End::Plain => !is_answer,
        // A message that is no text makes a failure of it.
        End::Trailers(trailers) => {
            Status::from_header_map(trailers).is_some_and(|end| end.code() == Code::Ok)
        }
        End::Reset => false,
        // Whoever waits for ever is a matter of deadlines.
        End::Never => return false,
    };
    let body = grpc::body(grpc::cut(bytes.to_vec(), cuts), end);
    let (found, outcome) = connection::run(fuzzing::messages(body, is_answer));
    let (expected, clean) = grpc::split(bytes);
    assert_eq!(found, expected.iter().map(|message| Bytes::copy_from_slice(message)).collect::<Vec<_>>());
    assert_eq!(outcome.is_ok(), clean && good_end, "{outcome:?}");
    outcome.is_ok() && !found.is_empty()
}
