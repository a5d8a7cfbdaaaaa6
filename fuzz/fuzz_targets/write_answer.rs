//! What a core makes of a driver's answers to a write stream: it believes no offset that it did not send, and no commit
//! of another size.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::write_stream_response::Msg;
use longshore_driver_sdk::{
    Driver as _, Fence, Key, OpenMode, OpenUpload, UploadId, UploadState, UploadStream,
};
use longshore_fuzz::fake::{self, Answer, Step};
use longshore_fuzz::requests::IDS;
use longshore_fuzz::script::Script;
use longshore_fuzz::{connection, grpc, tally};
use prost::Message as _;

const KEY: &str = "a/b";
const ACTS: u8 = 16;

fuzz_target!(|input: &[u8]| {
    tally::count(connection::run(write(Script::new(input))));
});

/// What the core does next.
#[derive(Debug, Clone, Copy)]
enum Act {
    Write(u8),
    Mark { flush: bool },
    Commit { size: u64 },
}

/// Whether the driver acknowledged something.
async fn write(mut script: Script<'_>) -> bool {
    let id = UploadId::parse(IDS[0]).expect("an id");
    let creates = script.flag();
    let key = Key::parse(KEY).expect("a key");
    let mode = if creates {
        OpenMode::Create { key: key.clone(), size_hint: None, bookmark: Bytes::new() }
    } else {
        OpenMode::Resume
    };
    let end = fake::scripted_end(&mut script);
    let (acts, steps) = play(&mut script);
    let (core, driver) = connection::pair();
    fake::serve(driver, Answer::ok(&fake::hello().encode_to_vec()), fake::stepwise(steps, end));
    let remote = fake::dial(core).await.expect("a good handshake");
    let fence = Fence { counter: 1, owner: String::new() };
    let Ok((upload, mut stream)) = remote.open_upload(OpenUpload { id: id.clone(), fence, mode }).await
    else {
        return false;
    };
    assert_eq!(upload.id, id);
    assert!(!creates || upload.key == key && upload.durable == 0);
    act(&acts, &id, upload.durable, &mut *stream).await
}

async fn act(acts: &[Act], id: &UploadId, durable: u64, stream: &mut dyn UploadStream) -> bool {
    let (mut received, mut durable, mut acknowledged) = (durable, durable, false);
    for act in acts {
        match *act {
            Act::Write(length) => {
                let data = vec![7; length.into()];
                // Whoever believes to be at the end of all numbers has been told so by the driver.
                let Some(behind) = received.checked_add(length.into()) else { break };
                if stream.write(data.into()).await.is_err() {
                    break;
                }
                received = behind;
            }
            Act::Mark { flush } => {
                let Ok(ack) = stream.mark(Bytes::new(), flush).await else { break };
                assert!(durable <= ack.durable && ack.durable <= ack.received && ack.received == received);
                // Contract clause U9.
                assert!(!flush || ack.durable == received, "a flush that made nothing durable");
                durable = ack.durable;
                acknowledged |= flush;
            }
            Act::Commit { size } => {
                let Ok(upload) = stream.commit(size, Bytes::new()).await else { break };
                assert_eq!((&upload.id, upload.state, upload.durable), (id, UploadState::Committed, size));
                return true;
            }
        }
    }
    acknowledged
}

/// What the core does, and what the driver says to it: the right thing most of the time.
fn play(script: &mut Script<'_>) -> (Vec<Act>, Vec<Step>) {
    let (mut acts, mut steps) = (Vec::new(), Vec::new());
    let mut offset = if script.byte() == 0xff { script.number() } else { 0 };
    let (mut received, mut waits_for) = (offset, 1);
    answer(script, &mut steps, &mut waits_for, Msg::Opened(upload(v1::UploadState::Open, offset)));
    for _ in 0..script.byte() % ACTS {
        let act = act_of(script, received);
        acts.push(act);
        waits_for += 1;
        match act {
            Act::Write(0) => waits_for -= 1,
            Act::Write(length) => received = received.saturating_add(length.into()),
            Act::Mark { flush: false } => {}
            Act::Mark { flush: true } => {
                offset = received;
                let ack = v1::WriteAck { received, durable: offset };
                answer(script, &mut steps, &mut waits_for, Msg::Ack(ack));
            }
            Act::Commit { size } => {
                let committed = upload(v1::UploadState::Committed, size);
                answer(script, &mut steps, &mut waits_for, Msg::Committed(committed));
            }
        }
    }
    (acts, steps)
}

fn act_of(script: &mut Script<'_>, received: u64) -> Act {
    match script.byte() % 8 {
        0..4 => Act::Write(script.byte()),
        4 | 5 => Act::Mark { flush: script.byte() < 0xc0 },
        6 => Act::Commit { size: received },
        _ => Act::Commit { size: script.number() },
    }
}

/// Adds what the driver says next: what is right, or what the script has instead of it or before it.
fn answer(script: &mut Script<'_>, steps: &mut Vec<Step>, waits_for: &mut u64, right: Msg) {
    let mut say = |msg: Vec<u8>| steps.push(Step { waits_for: std::mem::take(waits_for), says: msg });
    let whole = |msg: Msg| grpc::frame(&v1::WriteStreamResponse { msg: Some(msg) }.encode_to_vec());
    match script.byte() {
        0xff => return say(script.bytes().to_vec()),
        0xfe => return say(grpc::frame(script.bytes())),
        0xfd => return say(whole(Msg::Opened(wrong(script)))),
        0xfc => return say(whole(Msg::Committed(wrong(script)))),
        0xf8..0xfc => {
            say(whole(Msg::Ack(v1::WriteAck { received: script.number(), durable: script.number() })));
        }
        0xf4..0xf8 => say(whole(Msg::Progress(v1::WriteProgress { moved: script.number() }))),
        _ => {}
    }
    say(whole(right));
}

fn upload(state: v1::UploadState, durable: u64) -> v1::Upload {
    v1::Upload {
        upload_id: IDS[0].to_owned(),
        key: KEY.to_owned(),
        state: state.into(),
        durable,
        ..Default::default()
    }
}

fn wrong(script: &mut Script<'_>) -> v1::Upload {
    let mut upload = upload(v1::UploadState::Open, 0);
    match script.byte() % 4 {
        0 => upload.upload_id = script.text(),
        1 => upload.key = script.text(),
        2 => upload.state = i32::from(script.byte() % 4),
        _ => upload = v1::Upload::default(),
    }
    upload.durable = script.number();
    upload
}
