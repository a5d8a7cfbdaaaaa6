//! Sessions and a driver that is killed (contract clauses U1, U11, U14, O9).

use std::time::Duration;

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::write_stream_request::Msg;
use tonic::Code;

use super::{create, is_open_at, pattern, resume, state};
use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::hooks::Hook;
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};
use crate::writer::fence;

pub(super) const CHECKS: &[Check] = &[
    check!("crash.create-survives", ["U1", "O9"], [Restart], create_survives),
    check!("crash.flush-survives", ["U9", "O9"], [Restart], flush_survives),
    check!("crash.bytes-of-the-mark-survive", ["U9", "U11"], [Restart], bytes_of_the_mark_survive),
    check!("crash.committed-survives", ["U15", "O9"], [Restart], committed_survives),
    check!("crash.fence-survives", ["U4", "O9"], [Restart], fence_survives),
    check!("crash.ended-stays-ended", ["U16", "O9"], [Restart], ended_stays_ended),
    check!("crash.during-writes", ["U11", "U9"], [Restart], during_writes),
    check!("crash.during-commit", ["U14"], [Restart], during_commit),
    check!("crash.commit-again-after-it", ["U13", "U14"], [Restart], commit_again_after_it),
    check!("crash.sessions-are-listed-after-it", ["U18", "U11"], [Restart], sessions_are_listed_after_it),
];

async fn create_survives(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let open = crate::writer::create(&id, &key, fence(1), b"zero");
    let writer = answered("create", driver.open_upload(open).await)?;
    bed.restart().await?;
    drop(writer);
    is_open_at(&bed.driver().await, &id, "create and kill -9", 0, b"zero").await?;
    let mut writer = resume(&bed.driver().await, &id, 2).await?;
    writer.chunk("x").await;
    let upload = answered("WriteCommit after kill -9", writer.commit().await)?;
    equal("committed: key", &key, &upload.key)
}

async fn flush_survives(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunks(&pattern(500_000, 1), bed.chunk()).await;
    answered("WriteMark with flush", writer.flush(b"half a million").await)?;
    writer.chunk("behind the mark").await;
    bed.restart().await?;
    is_open_at(&bed.driver().await, &id, "a flush and kill -9", 500_000, b"half a million").await
}

async fn bytes_of_the_mark_survive(bed: &Bed) -> Verdict {
    let (id, key, content) = (bed.upload_id(), bed.key("a"), pattern(700_000, 2));
    let mut writer = create(&bed.driver().await, &id, &key).await?;
    for (counter, end) in [(2, 300_001), (3, 700_000)] {
        let offset = usize::try_from(writer.offset).unwrap_or(usize::MAX);
        writer.chunks(&content[offset..end], bed.chunk()).await;
        answered("WriteMark with flush", writer.flush(b"m").await)?;
        writer.chunk(vec![0xff; 1000]).await;
        bed.restart().await?;
        writer = resume(&bed.driver().await, &id, counter).await?;
        equal("resume after kill -9: durable", &(end as u64), &writer.offset)?;
    }
    answered("WriteCommit", writer.commit().await)?;
    let read = answered("ReadStream", bed.driver().await.read_key(&key).await)?;
    same_bytes("ReadStream of what two killed drivers had acknowledged", &content, &read)
}

async fn committed_survives(bed: &Bed) -> Verdict {
    let (id, key, content) = (bed.upload_id(), bed.key("new/a"), pattern(300_000, 3));
    let mut writer = create(&bed.driver().await, &id, &key).await?;
    writer.chunks(&content, bed.chunk()).await;
    answered("WriteCommit", writer.commit_at(300_000, b"done").await)?;
    bed.restart().await?;
    let driver = bed.driver().await;
    let upload = state(&driver, &id).await?;
    equal(
        "GetUpload after committed and kill -9: state, bookmark",
        &(v1::UploadState::Committed, b"done".to_vec()),
        &(upload.state(), upload.bookmark.to_vec()),
    )?;
    same_bytes("ReadStream", &content, &answered("ReadStream", driver.read_key(&key).await)?)
}

async fn fence_survives(bed: &Bed) -> Verdict {
    let id = bed.upload_id();
    drop(create(&bed.driver().await, &id, &bed.key("a")).await?);
    drop(resume(&bed.driver().await, &id, 9).await?);
    bed.restart().await?;
    let open = bed.driver().await.resume_upload(&id, fence(8)).await.map(|writer| writer.opened);
    refused("resume with fence 8 after 9 and kill -9", open, Code::Aborted, "FENCED").map(drop)
}

async fn ended_stays_ended(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunk("abc").await;
    answered("WriteMark with flush", writer.flush(b"m").await)?;
    drop(writer);
    answered("EndUpload", driver.end(&id, fence(1)).await)?;
    bed.restart().await?;
    let upload = bed.driver().await.upload(&id).await;
    refused("GetUpload after EndUpload and kill -9", upload, Code::NotFound, "UPLOAD_UNKNOWN").map(drop)
}

/// Nothing acknowledged is lost, and what comes after goes on exactly there.
async fn during_writes(bed: &Bed) -> Verdict {
    const SESSIONS: u8 = 6;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..SESSIONS {
        let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key(&format!("k{number}")));
        let mut writer = create(&driver, &id, &key).await?;
        writers.spawn(async move {
            let (content, mut acknowledged) = (pattern(4 << 20, number), 0);
            for piece in content.chunks(30_000) {
                writer.chunk(bytes::Bytes::copy_from_slice(piece)).await;
                match writer.flush(writer.offset.to_string().as_bytes()).await {
                    Ok(ack) => acknowledged = ack.durable,
                    Err(_) => break,
                }
            }
            (id, key, number, acknowledged)
        });
    }
    tokio::time::sleep(Duration::from_millis(120)).await;
    bed.hook(Hook::Kill).await?;
    let ended = writers.join_all().await;
    bed.hook(Hook::Start).await?;
    bed.reconnect().await?;
    let driver = bed.driver().await;
    for (id, key, number, acknowledged) in ended {
        let mut writer = resume(&driver, &id, 2).await?;
        let (durable, bookmark) = (writer.offset, writer.opened.bookmark.to_vec());
        let sent = format!("resume after kill -9, with {acknowledged} acknowledged");
        ensure(durable >= acknowledged, &sent, format!("durable of at least {acknowledged}"), durable)?;
        let wanted = if durable == 0 { String::new() } else { durable.to_string() };
        equal("its bookmark", &wanted.into_bytes(), &bookmark)?;
        let content = pattern(4 << 20, number);
        let start = usize::try_from(durable).unwrap_or(usize::MAX).min(content.len());
        let end = content.len().min(start + 10_000);
        writer.chunks(&content[start..end], bed.chunk()).await;
        answered("WriteCommit", writer.commit().await)?;
        let read = answered("ReadStream", driver.read_key(&key).await)?;
        same_bytes("ReadStream of an upload that a kill interrupted", &content[..end], &read)?;
    }
    Ok(())
}

/// OPEN with its bytes, or COMMITTED with the object.
async fn during_commit(bed: &Bed) -> Verdict {
    for round in 0..3_u8 {
        let (id, key, content) = (bed.upload_id(), bed.key(&format!("k{round}")), pattern(400_000, round));
        let mut writer = create(&bed.driver().await, &id, &key).await?;
        writer.chunks(&content, bed.chunk()).await;
        answered("WriteMark with flush", writer.flush(b"all").await)?;
        writer.send(Msg::Commit(v1::WriteCommit { size: 400_000, bookmark: "done".into() })).await;
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 2)).await;
        bed.restart().await?;
        drop(writer);
        let driver = bed.driver().await;
        let upload = state(&driver, &id).await?;
        match (upload.state(), driver.read_key(&key).await) {
            (v1::UploadState::Committed, Ok(read)) => {
                same_bytes("ReadStream of what was committed", &content, &read)?;
            }
            (v1::UploadState::Open, Err(said)) if said.is(Code::NotFound, "KEY_NOT_FOUND") => {
                equal("GetUpload: durable", &400_000, &upload.durable)?;
                let mut writer = resume(&driver, &id, 2).await?;
                answered("WriteCommit after kill -9", writer.commit().await)?;
                let read = answered("ReadStream", driver.read_key(&key).await)?;
                same_bytes("ReadStream", &content, &read)?;
            }
            (state, read) => {
                let read = read
                    .map(|bytes| format!("{} bytes", bytes.len()))
                    .unwrap_or_else(|said| said.to_string());
                return Err(Failure::new(
                    "kill -9 during a commit",
                    "OPEN and no object, or COMMITTED and the object",
                    format!("{state:?}, and ReadStream gives {read}"),
                ));
            }
        }
    }
    Ok(())
}

async fn commit_again_after_it(bed: &Bed) -> Verdict {
    let (id, key) = (bed.upload_id(), bed.key("a"));
    let mut writer = create(&bed.driver().await, &id, &key).await?;
    writer.chunk("hello").await;
    answered("WriteCommit", writer.commit_at(5, b"done").await)?;
    bed.restart().await?;
    let mut writer = resume(&bed.driver().await, &id, 2).await?;
    let upload = answered("WriteCommit again after kill -9", writer.commit_at(5, b"done").await)?;
    equal("WriteCommit again: state", &v1::UploadState::Committed, &upload.state())
}

async fn sessions_are_listed_after_it(bed: &Bed) -> Verdict {
    let ids: Vec<_> = (0..5).map(|_| bed.upload_id()).collect();
    for (number, id) in ids.iter().enumerate() {
        drop(create(&bed.driver().await, id, &bed.key(&number.to_string())).await?);
    }
    bed.restart().await?;
    let driver = bed.driver().await;
    for id in &ids {
        let after = id[..31].to_owned();
        let request = v1::ListUploadsRequest { start_after: after, limit: 0, idle_since: None };
        let page = answered("ListUploads after kill -9", driver.list_uploads(request).await)?;
        let found = page.uploads.iter().any(|upload| upload.upload_id == *id);
        ensure(found, "ListUploads after kill -9", format!("session {id}"), "it is not there")?;
    }
    Ok(())
}
