//! Well-formed answers that say what can't be.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_driver_proto::v1;
use prost::Message;

use crate::bed::Bed;
use crate::front::{Act, Step};

/// Each message is decoded, changed, and sent.
fn changed<M: Message + Default>(change: impl Fn(usize, &mut M) + Send + Sync + 'static) -> Act {
    Act::Edit(Arc::new(move |count, message| {
        let mut decoded = M::decode(message).expect("the driver's answer");
        change(count, &mut decoded);
        vec![Step::Message(decoded.encode_to_vec().into())]
    }))
}

fn other(object: &mut Option<v1::Object>) {
    object.as_mut().expect("an object").key = "objects/other".into();
}

/// A call, what is wrong with its answer, the answer, and the words for it.
type Case = (&'static str, &'static str, Act, &'static str);

fn about_objects() -> Vec<Case> {
    let key = "it is about the key objects/other";
    vec![
        ("Stat", "another key", changed(|_, a: &mut v1::StatResponse| other(&mut a.object)), key),
        ("Stat", "no object", changed(|_, a: &mut v1::StatResponse| a.object = None), "no object in it"),
        ("Get", "another key", changed(|_, a: &mut v1::GetResponse| other(&mut a.object)), key),
        (
            "Get",
            "fewer bytes",
            changed(|_, a: &mut v1::GetResponse| {
                a.content.truncate(a.content.len() - 1);
            }),
            "are named",
        ),
        (
            "Get",
            "more bytes",
            changed(|_, a: &mut v1::GetResponse| {
                a.content = [&a.content[..], b"!"].concat().into();
            }),
            "are named",
        ),
        ("Put", "another key", changed(|_, a: &mut v1::PutResponse| other(&mut a.object)), key),
        (
            "Delete",
            "two outcomes",
            changed(|_, a: &mut v1::DeleteResponse| {
                a.outcomes.push(v1::delete_response::Outcome::default());
            }),
            "2 outcomes for the delete",
        ),
        (
            "Delete",
            "a reason that is none",
            changed(|_, a: &mut v1::DeleteResponse| {
                a.outcomes[0].code = 77;
                a.outcomes[0].reason = "WEATHER".into();
            }),
            "cannot delete",
        ),
    ]
}

fn about_lists() -> Vec<Case> {
    vec![
        (
            "List",
            "the other way round",
            changed(|_, a: &mut v1::ListResponse| a.entries.reverse()),
            "out of order",
        ),
        (
            "List",
            "an entry twice",
            changed(|_, a: &mut v1::ListResponse| {
                a.entries.push(a.entries.last().expect("an entry").clone());
            }),
            "out of order",
        ),
        (
            "List",
            "an empty page with more",
            changed(|_, a: &mut v1::ListResponse| {
                (a.entries, a.more) = (Vec::new(), true);
            }),
            "an empty page says that more follow",
        ),
        (
            "List",
            "a key from elsewhere",
            changed(|_, a: &mut v1::ListResponse| {
                for entry in &mut a.entries {
                    *entry = v1::Entry { is: Some(v1::entry::Is::CommonPrefix("elsewhere/".into())) };
                }
            }),
            "a key outside of it",
        ),
        (
            "List",
            "entries that are nothing",
            changed(|_, a: &mut v1::ListResponse| {
                a.entries.push(v1::Entry { is: None });
            }),
            "neither an object nor a common prefix",
        ),
    ]
}

fn about_uploads() -> Vec<Case> {
    use v1::write_stream_response::Msg;
    let opened = |change: fn(&mut v1::Upload)| {
        changed(move |_, a: &mut v1::WriteStreamResponse| {
            if let Some(Msg::Opened(upload)) = &mut a.msg {
                change(upload);
            }
        })
    };
    let got = |change: fn(&mut v1::Upload)| {
        changed(move |_, a: &mut v1::GetUploadResponse| change(a.upload.as_mut().expect("an upload")))
    };
    let other_id = |upload: &mut v1::Upload| upload.upload_id = "0a".repeat(16);
    let no_state = |upload: &mut v1::Upload| upload.state = 99;
    vec![
        ("WriteStream", "another upload", opened(other_id), "it is about the upload 0a0a"),
        ("WriteStream", "an unknown state", opened(no_state), "an upload without a state"),
        ("WriteStream", "a new session with bytes", opened(|upload| upload.durable = 5), "just created"),
        (
            "WriteStream",
            "an ack instead",
            changed(|_, a: &mut v1::WriteStreamResponse| {
                a.msg = Some(Msg::Ack(v1::WriteAck::default()));
            }),
            "did not answer open with opened",
        ),
        ("GetUpload", "another upload", got(other_id), "it is about the upload 0a0a"),
        ("GetUpload", "an unknown state", got(no_state), "an upload without a state"),
        ("GetUpload", "a key that is none", got(|upload| upload.key = "../x".into()), "breaks the contract"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_about_something_else_is_an_error() {
    let mut bed = Bed::start("something else").await;
    // Lists have two entries at least.
    let another = bed.request_with("Put").await;
    assert_eq!(bed.end_of(another).await.status, 201);
    for (call, what, act, said) in [about_objects(), about_lists(), about_uploads()].concat() {
        let request = bed.request_with(call).await;
        bed.front.spoil(call, act);
        let ended = bed.end_of(request).await;
        bed.assert_refused(&format!("{call}: {what}"), &ended, &[said]).await;
        bed.front.relent();
        bed.assert_nothing_lost().await;
    }
    bed.await_well().await;
    bed.finish("something else").await;
}

/// The head of the response is out: it is cut off, and never ended as if it were whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_wrong_pieces_is_cut_off() {
    let mut bed = Bed::start("wrong pieces").await;
    let piece = |change: fn(&mut v1::ReadStreamResponse)| {
        changed(move |count, a: &mut v1::ReadStreamResponse| {
            if count == 2 {
                change(a);
            }
        })
    };
    let last =
        |message: Bytes| v1::ReadStreamResponse::decode(message).is_ok_and(|piece| piece.offset > 500_000);
    for (what, act, said) in [
        ("a wrong checksum", piece(|a| a.crc32c = Some(1)), "arrived damaged"),
        ("a gap", piece(|a| a.offset += 1), "brought offset"),
        ("more bytes", piece(|a| a.data = vec![0; 900_000].into()), "brought offset"),
        ("fewer bytes in a piece", piece(|a| a.data.truncate(5)), "brought offset"),
        (
            "a piece too few",
            Act::Edit(Arc::new(move |_, message| {
                if last(message.clone()) { Vec::new() } else { vec![Step::Message(message)] }
            })),
            "bytes early",
        ),
        (
            "an end without a status",
            Act::Edit(Arc::new(
                |count, message| {
                    if count == 2 { vec![Step::End] } else { vec![Step::Message(message)] }
                },
            )),
            "without a status",
        ),
    ] {
        let request = bed.request_with("ReadStream").await;
        bed.front.spoil("ReadStream", act);
        let ended = bed.broken_end_of(request).await;
        bed.assert_cut_off(what, ended.as_ref(), said).await;
        bed.front.relent();
        bed.assert_nothing_lost().await;
    }
    let request = bed.request_with("ReadStream").await;
    bed.front.spoil(
        "ReadStream",
        changed(|_, a: &mut v1::ReadStreamResponse| {
            if a.object.is_some() {
                other(&mut a.object);
            }
        }),
    );
    let ended = bed.end_of(request).await;
    bed.assert_refused("ReadStream: another key", &ended, &["it is about the key objects/other"]).await;
    bed.front.relent();
    bed.finish("wrong pieces").await;
}

/// No offset is told to a client that was not sent, and acks that say nothing are no progress.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acks_that_can_not_be_end_the_upload_with_an_error() {
    use v1::write_stream_response::Msg;
    let bed = Bed::start("acks").await;
    let ack = |durable: u64| {
        let message =
            v1::WriteStreamResponse { msg: Some(Msg::Ack(v1::WriteAck { received: durable, durable })) };
        Bytes::from(message.encode_to_vec())
    };
    let (ahead, nothing) = (ack(1 << 40), crate::front::framed(&ack(0)));
    let after_opened = |step: Step| {
        Act::Edit(Arc::new(
            move |count, message| {
                if count == 0 { vec![Step::Message(message)] } else { vec![step.clone()] }
            },
        ))
    };
    for (what, act, said) in [
        ("more than was sent", after_opened(Step::Message(ahead)), "durable bytes of"),
        ("nothing, for ever", after_opened(Step::Forever(nothing)), "did not answer within 2 s"),
    ] {
        let request = bed.patch_request().await;
        bed.front.spoil("WriteStream", act);
        let ended = bed.end_of(request).await;
        bed.assert_refused(what, &ended, &[said]).await;
        bed.front.relent();
        bed.assert_nothing_lost().await;
    }
    bed.finish("acks").await;
}

/// The sweeper goes through the pages of this list: one that never ends must not keep it, or fill memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_uploads_that_repeats_for_ever_ends_the_sweep() {
    let bed = Bed::start("endless uploads").await;
    bed.front.spoil(
        "ListUploads",
        Act::Edit(Arc::new(|_, _| {
            let upload = v1::Upload {
                upload_id: "0b".repeat(16),
                state: v1::UploadState::Open.into(),
                key: "objects/00/x".into(),
                ..Default::default()
            };
            let page = v1::ListUploadsResponse { uploads: vec![upload], more: true };
            vec![Step::Message(page.encode_to_vec().into())]
        })),
    );
    tokio::time::timeout(Duration::from_secs(15), async {
        while !bed.registry.core().lines().iter().any(|line| {
            line.contains("cannot sweep uploads")
                && line.contains("storage=\"bad\"")
                && line.contains("out of order")
        }) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("the sweep ends with a sentence");
    bed.front.relent();
    bed.finish("endless uploads").await;
}

/// An unknown value counts as the weakest (contract clause H8).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_values_of_enums_count_as_the_weakest() {
    let bed = Bed::start("enums").await;
    bed.front.spoil(
        "Handshake",
        changed(|_, a: &mut v1::HandshakeResponse| {
            let capabilities = a.capabilities.as_mut().expect("capabilities");
            (capabilities.durability, capabilities.r#move) = (99, 99);
        }),
    );
    bed.front.cut();
    bed.await_well().await;
    bed.assert_nothing_lost().await;
    bed.front.spoil("Probe", changed(|_, a: &mut v1::ProbeResponse| a.state = 99));
    tokio::time::sleep(Duration::from_secs(2)).await;
    bed.await_readiness(&["READY"]).await;
    bed.finish("enums").await;
}
