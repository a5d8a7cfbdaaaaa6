//! Commits (contract clauses U12, U13, U15).

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::write_stream_request::Msg;
use tonic::Code;

use super::{create, ends_with, pattern, resume, state};
use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};

pub(super) const CHECKS: &[Check] = &[
    check!("commit.shows-everything", ["U12"], [], shows_everything),
    check!("commit.answers-the-object", ["U12"], [], answers_the_object),
    check!("commit.nothing-is-seen-before", ["U12"], [], nothing_is_seen_before),
    check!("commit.of-no-bytes", ["U12"], [], of_no_bytes),
    check!("commit.without-a-mark", ["U12"], [], without_a_mark),
    check!("commit.after-resume", ["U12", "U3"], [], after_resume),
    check!("commit.of-another-size", ["U12"], [], of_another_size),
    check!("commit.over-an-object", ["U12"], [], over_an_object),
    check!("commit.again", ["U13"], [], again),
    check!("commit.again-with-another-size", ["U13", "U12"], [], again_with_another_size),
    check!("commit.keeps-its-bookmark", ["U15"], [], keeps_its_bookmark),
    check!("commit.voids-a-pending-mark", ["U15", "U8"], [], voids_a_pending_mark),
    check!("commit.then-no-bytes", ["U15"], [], then_no_bytes),
    check!("commit.then-no-marks", ["U15"], [], then_no_marks),
    check!("commit.large-object", ["U12"], [], large_object),
    check!("commit.into-a-new-folder", ["U12"], [], into_a_new_folder),
];

async fn shows_everything(bed: &Bed) -> Verdict {
    let (driver, key, content) = (bed.driver().await, bed.key("a"), pattern(300_000, 1));
    super::write(bed, &key, &content).await?;
    equal(
        "Stat right after committed: size",
        &300_000,
        &answered("Stat", driver.stat_key(&key).await)?.size,
    )?;
    same_bytes("ReadStream", &content, &answered("ReadStream", driver.read_key(&key).await)?)?;
    same_bytes("Get", &content, &answered("Get", driver.get_key(&key).await)?.1)?;
    let request = v1::ListRequest { prefix: bed.prefix(), recursive: true, ..Default::default() };
    let page = answered("List", driver.list(request).await)?;
    if !bed.capabilities().list_is_current {
        return Ok(());
    }
    equal("List right after committed: entries", &1, &page.entries.len()).map_err(|failure| failure.of("L5"))
}

async fn answers_the_object(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("hello").await;
    let upload = answered("WriteCommit", writer.commit_at(5, b"done").await)?;
    let stat = answered("Stat", driver.stat_key(&key).await)?;
    for (what, upload) in [("committed", upload), ("GetUpload", state(&driver, &id).await?)] {
        let got = (upload.state(), upload.key, upload.durable);
        equal(format!("{what}: state, key, durable"), &(v1::UploadState::Committed, key.clone(), 5), &got)?;
        let object = upload.object.ok_or_else(|| Failure::new(what, "the object", "none"))?;
        equal(
            format!("{what}: object's key, size, etag as Stat has them"),
            &(&stat.key, stat.size, &stat.etag),
            &(&object.key, object.size, &object.etag),
        )?;
    }
    Ok(())
}

async fn nothing_is_seen_before(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunks(&pattern(200_000, 2), bed.chunk()).await;
    answered("WriteMark with flush", writer.flush(b"m").await)?;
    let (code, reason) = (Code::NotFound, "KEY_NOT_FOUND");
    refused("Stat before the commit", driver.stat_key(&key).await, code, reason)?;
    refused("Get before the commit", driver.get_key(&key).await, code, reason)?;
    refused("ReadStream before the commit", driver.read_key(&key).await, code, reason)?;
    let request = v1::ListRequest { prefix: bed.prefix(), recursive: true, ..Default::default() };
    let page = answered("List", driver.list(request).await)?;
    ensure(page.entries.is_empty(), "List before the commit", "nothing", format!("{:?}", page.entries))
}

async fn of_no_bytes(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("empty"));
    let upload = super::write(bed, &key, b"").await?;
    equal("committed: durable", &0, &upload.durable)?;
    equal("Stat: size", &0, &answered("Stat", driver.stat_key(&key).await)?.size)?;
    equal("ReadStream: bytes", &0, &answered("ReadStream", driver.read_key(&key).await)?.len())
}

async fn without_a_mark(bed: &Bed) -> Verdict {
    let (driver, key, content) = (bed.driver().await, bed.key("a"), pattern(1_000_000, 3));
    super::write(bed, &key, &content).await?;
    same_bytes("ReadStream", &content, &answered("ReadStream", driver.read_key(&key).await)?)
}

async fn after_resume(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let content = pattern(250_000, 4);
    let mut writer = create(&driver, &id, &key).await?;
    for (counter, end) in [(2, 70_000), (3, 70_001), (4, 250_000)] {
        let offset = usize::try_from(writer.offset).unwrap_or(usize::MAX);
        writer.chunks(&content[offset..end], bed.chunk()).await;
        answered("WriteMark with flush", writer.flush(b"m").await)?;
        drop(writer);
        writer = resume(&driver, &id, counter).await?;
    }
    answered("WriteCommit of what four writers wrote", writer.commit().await)?;
    same_bytes("ReadStream", &content, &answered("ReadStream", driver.read_key(&key).await)?)
}

async fn of_another_size(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("abcde").await;
    answered("WriteMark with flush", writer.flush(b"five").await)?;
    for (counter, size) in [(2, 4), (3, 6), (4, 0)] {
        writer.send(Msg::Commit(v1::WriteCommit { size, bookmark: "bad".into() })).await;
        let sent = format!("WriteCommit of {size} bytes after 5");
        ends_with(&mut writer, &sent, Code::FailedPrecondition, "SIZE_MISMATCH").await?;
        refused("Stat after it", driver.stat_key(&key).await, Code::NotFound, "KEY_NOT_FOUND")?;
        super::is_open_at(&driver, &id, &sent, 5, b"five").await?;
        writer = resume(&driver, &id, counter).await?;
    }
    answered("WriteCommit of 5 bytes after three that failed", writer.commit_at(5, b"").await)?;
    same_bytes("Get", b"abcde", &answered("Get", driver.get_key(&key).await)?.1)
}

async fn over_an_object(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("mine").await;
    answered("Put while the session is open", driver.put_key(&key, "theirs").await)?;
    writer.send(Msg::Commit(v1::WriteCommit { size: 4, bookmark: bytes::Bytes::new() })).await;
    ends_with(&mut writer, "WriteCommit over an object", Code::AlreadyExists, "KEY_EXISTS").await?;
    same_bytes("Get after it", b"theirs", &answered("Get", driver.get_key(&key).await)?.1)?;
    let upload = state(&driver, &id).await?;
    equal("GetUpload after it: state", &v1::UploadState::Open, &upload.state())?;
    // The key is free again: the session can still become what it is for.
    answered("Delete", driver.delete_key(&key, None).await)?;
    let mut writer = resume(&driver, &id, 2).await?;
    writer.chunk(pattern(10, 1)).await;
    answered("WriteCommit once the key is free", writer.commit().await).map(drop)
}

async fn again(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("hello").await;
    let first = answered("WriteCommit", writer.commit_at(5, b"done").await)?;
    for counter in 2..4 {
        let mut writer = resume(&driver, &id, counter).await?;
        equal("resume of a COMMITTED session: state", &v1::UploadState::Committed, &writer.opened.state())?;
        let upload = answered("WriteCommit again", writer.commit_at(5, b"done").await)?;
        equal("WriteCommit again: state", &v1::UploadState::Committed, &upload.state())?;
        equal(
            "WriteCommit again: the object's etag",
            &first.object.as_ref().map(|object| object.etag.clone()),
            &upload.object.as_ref().map(|object| object.etag.clone()),
        )?;
    }
    same_bytes("Get", b"hello", &answered("Get", driver.get_key(&key).await)?.1)
}

async fn again_with_another_size(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("hello").await;
    answered("WriteCommit", writer.commit().await)?;
    let mut writer = resume(&driver, &id, 2).await?;
    writer.send(Msg::Commit(v1::WriteCommit { size: 4, bookmark: bytes::Bytes::new() })).await;
    let sent = "WriteCommit of 4 bytes on a session committed with 5";
    ends_with(&mut writer, sent, Code::FailedPrecondition, "SIZE_MISMATCH").await?;
    equal("GetUpload: state", &v1::UploadState::Committed, &state(&driver, &id).await?.state())?;
    same_bytes("Get", b"hello", &answered("Get", driver.get_key(&key).await)?.1)
}

async fn keeps_its_bookmark(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunk("hello").await;
    answered("WriteMark with flush", writer.flush(b"of the mark").await)?;
    let upload = answered("WriteCommit", writer.commit_at(5, b"of the commit").await)?;
    equal("committed: bookmark", &b"of the commit".to_vec(), &upload.bookmark.to_vec())?;
    let upload = state(&driver, &id).await?;
    equal("GetUpload: bookmark", &b"of the commit".to_vec(), &upload.bookmark.to_vec())
}

/// A mark that is not durable yet has nothing to say once the session is committed, not even at the end of the stream.
async fn voids_a_pending_mark(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunk("hello").await;
    writer.mark(b"of the mark", false).await;
    writer.chunk("!").await;
    answered("WriteCommit with a mark pending", writer.commit_at(6, b"of the commit").await)?;
    answered("the end of the stream after committed", writer.close().await)?;
    let upload = state(&driver, &id).await?;
    equal(
        "GetUpload after a commit with a mark pending, and the end of the stream: state, durable, bookmark",
        &(v1::UploadState::Committed, 6, "of the commit".into()),
        &(upload.state(), upload.durable, String::from_utf8_lossy(&upload.bookmark)),
    )
}

async fn refused_after_commit(bed: &Bed, sent: &str, message: impl FnOnce(u64) -> Msg) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("hello").await;
    answered("WriteCommit", writer.commit_at(5, b"done").await)?;
    let mut writer = resume(&driver, &id, 2).await?;
    writer.send(message(writer.offset)).await;
    ends_with(&mut writer, sent, Code::FailedPrecondition, "UPLOAD_COMMITTED").await?;
    let upload = state(&driver, &id).await?;
    let got = (upload.state(), upload.durable, upload.bookmark.to_vec());
    equal("GetUpload after it", &(v1::UploadState::Committed, 5, b"done".to_vec()), &got)?;
    same_bytes("Get after it", b"hello", &answered("Get", driver.get_key(&key).await)?.1)
}

async fn then_no_bytes(bed: &Bed) -> Verdict {
    refused_after_commit(bed, "a chunk on a COMMITTED session", |offset| {
        Msg::Chunk(v1::WriteChunk { offset, data: "more".into(), crc32c: None })
    })
    .await
}

async fn then_no_marks(bed: &Bed) -> Verdict {
    refused_after_commit(bed, "a mark on a COMMITTED session", |offset| {
        Msg::Mark(v1::WriteMark { offset, bookmark: "bad".into(), flush: true })
    })
    .await
}

async fn large_object(bed: &Bed) -> Verdict {
    let (driver, key, content) = (bed.driver().await, bed.key("large"), pattern(12 << 20, 9));
    super::write(bed, &key, &content).await?;
    same_bytes("ReadStream of 12 MiB", &content, &answered("ReadStream", driver.read_key(&key).await)?)
}

async fn into_a_new_folder(bed: &Bed) -> Verdict {
    let key = bed.key("new/folder/of/its/own/object");
    super::write(bed, &key, b"x").await?;
    super::taken_key_is_refused(&bed.driver().await, &bed.upload_id(), &key).await
}
