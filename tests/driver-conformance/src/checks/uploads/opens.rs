//! How a session begins (contract clauses U1 to U3, U5, U21).

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::write_stream_request::Msg;
use tonic::Code;

use super::{create, ends_with, is_open_at, resume, state, taken_key_is_refused};
use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::verdict::{Verdict, ensure, equal};
use crate::writer::{self, fence};

pub(super) const CHECKS: &[Check] = &[
    check!("open.create-answers-the-session", ["U1"], [], create_answers_the_session),
    check!("open.create-is-seen-by-get-upload", ["U1"], [], create_is_seen_by_get_upload),
    check!("open.create-shows-no-object", ["U12", "U1"], [], create_shows_no_object),
    check!("open.taken-id", ["U1"], [], taken_id),
    check!("open.taken-key", ["U1"], [], taken_key),
    check!("open.same-create-again", ["U2"], [], same_create_again),
    check!("open.create-again-with-another-key", ["U2", "U1"], [], create_again_with_another_key),
    check!("open.create-again-with-another-fence", ["U2", "U1"], [], create_again_with_another_fence),
    check!("open.create-again-after-durable-bytes", ["U2"], [], create_again_after_durable_bytes),
    check!("open.two-sessions-for-one-key", ["U1"], [], two_sessions_for_one_key),
    check!("open.resume-of-nothing", ["U3"], [], resume_of_nothing),
    check!("open.resume-answers-the-session", ["U3", "U8"], [], resume_answers_the_session),
    check!("open.without-a-mode", ["U1"], [], without_a_mode),
    check!("open.without-a-fence", ["U4"], [], without_a_fence),
    check!("open.bad-ids", ["U21"], [], bad_ids),
    check!("open.bad-keys", ["K1", "U1"], [], bad_keys),
    check!("open.bookmark-of-4096-bytes", ["U5"], [], bookmark_of_4096_bytes),
    check!("open.bookmark-too-long", ["U5"], [], bookmark_too_long),
    check!("open.first-message-is-no-open", ["U1"], [], first_message_is_no_open),
    check!("open.get-upload-of-nothing", ["U3"], [], get_upload_of_nothing),
];

async fn create_answers_the_session(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let open = writer::create(&id, &key, fence(7), b"first");
    let writer = answered("WriteOpen, create", driver.open_upload(open).await)?;
    let upload = writer.opened.clone();
    equal("opened: upload_id", &id, &upload.upload_id)?;
    equal("opened: key", &key, &upload.key)?;
    equal("opened: state", &v1::UploadState::Open, &upload.state())?;
    equal("opened: durable", &0, &upload.durable)?;
    equal("opened: bookmark", &b"first".to_vec(), &upload.bookmark.to_vec())?;
    equal("opened: fence", &Some(fence(7)), &upload.fence)
}

async fn create_is_seen_by_get_upload(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let open = writer::create(&id, &key, fence(1), b"at zero");
    let writer = answered("WriteOpen, create", driver.open_upload(open).await)?;
    is_open_at(&driver, &id, "create", 0, b"at zero").await?;
    drop(writer);
    let upload = state(&driver, &id).await?;
    equal("GetUpload: key", &key, &upload.key)?;
    ensure(upload.updated.is_some(), "GetUpload", "`updated`", "none")
}

async fn create_shows_no_object(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let _writer = create(&driver, &id, &key).await?;
    refused("Stat of an open session's key", driver.stat_key(&key).await, Code::NotFound, "KEY_NOT_FOUND")?;
    let request = v1::ListRequest { prefix: bed.prefix(), recursive: true, ..Default::default() };
    let page = answered("List", driver.list(request).await)?;
    ensure(
        page.entries.is_empty(),
        "List beside an open session",
        "no entries",
        format!("{:?}", page.entries),
    )
}

async fn taken_id(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    create(&driver, &id, &bed.key("a")).await?.close().await.map_err(|said| {
        crate::verdict::Failure::new("the end of a stream without a commit", "OK", said).of("U11")
    })?;
    let again = driver.create_upload(&id, &bed.key("b"), fence(2)).await.map(|writer| writer.opened);
    refused("create of an id that is taken", again, Code::AlreadyExists, "UPLOAD_EXISTS").map(drop)
}

async fn taken_key(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    answered("Put", driver.put_key(&key, "x").await)?;
    taken_key_is_refused(&driver, &id, &key).await?;
    refused("GetUpload after it", driver.upload(&id).await, Code::NotFound, "UPLOAD_UNKNOWN")?;
    equal("Get", &b"x".to_vec(), &answered("Get", driver.get_key(&key).await)?.1.to_vec())
}

async fn same_create_again(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    drop(create(&driver, &id, &key).await?);
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("hello").await;
    answered("WriteCommit after the same create twice", writer.commit().await)?;
    equal("Get", &5, &answered("Get", driver.get_key(&key).await)?.1.len())
}

async fn create_again_with_another_key(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    drop(create(&driver, &id, &key).await?);
    let again = driver.create_upload(&id, &bed.key("b"), fence(1)).await.map(|writer| writer.opened);
    refused("the same create with another key", again, Code::AlreadyExists, "UPLOAD_EXISTS")?;
    equal("GetUpload: key", &key, &state(&driver, &id).await?.key)
}

async fn create_again_with_another_fence(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    drop(create(&driver, &id, &key).await?);
    let again = driver.create_upload(&id, &key, fence(2)).await.map(|writer| writer.opened);
    refused("the same create with another fence", again, Code::AlreadyExists, "UPLOAD_EXISTS")?;
    equal("GetUpload: fence", &Some(fence(1)), &state(&driver, &id).await?.fence)
}

async fn create_again_after_durable_bytes(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("precious").await;
    answered("WriteMark with flush", writer.flush(b"eight").await)?;
    drop(writer);
    let again = driver.create_upload(&id, &key, fence(1)).await.map(|writer| writer.opened);
    refused("the same create after durable bytes", again, Code::AlreadyExists, "UPLOAD_EXISTS")?;
    is_open_at(&driver, &id, "a create that was refused", 8, b"eight").await
}

async fn two_sessions_for_one_key(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    let (one, two) = (bed.upload_id(), bed.upload_id());
    let mut first = create(&driver, &one, &key).await?;
    let mut second = create(&driver, &two, &key).await?;
    first.chunk("first").await;
    second.chunk("second!").await;
    answered("WriteCommit of the first", first.commit().await)?;
    second.send(Msg::Commit(v1::WriteCommit { size: 7, bookmark: bytes::Bytes::new() })).await;
    ends_with(&mut second, "WriteCommit of the second", Code::AlreadyExists, "KEY_EXISTS").await?;
    let (_, content) = answered("Get", driver.get_key(&key).await)?;
    crate::verdict::same_bytes("Get: what the first wrote", b"first", &content)
}

async fn resume_of_nothing(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    for _ in 0..2 {
        let open = driver.resume_upload(&id, fence(1)).await.map(|writer| writer.opened);
        refused("resume of an unknown session", open, Code::NotFound, "UPLOAD_UNKNOWN")?;
    }
    refused("GetUpload after it", driver.upload(&id).await, Code::NotFound, "UPLOAD_UNKNOWN").map(drop)
}

async fn resume_answers_the_session(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk(vec![1; 1000]).await;
    answered("WriteMark with flush", writer.flush(b"thousand").await)?;
    drop(writer);
    let upload = resume(&driver, &id, 2).await?.opened.clone();
    let got = (upload.key.clone(), upload.durable, upload.bookmark.to_vec(), upload.state());
    equal(
        "resume: key, durable, bookmark, state",
        &(key, 1000, b"thousand".to_vec(), v1::UploadState::Open),
        &got,
    )?;
    equal("resume: fence", &Some(fence(2)), &upload.fence)
}

async fn without_a_mode(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let open = v1::WriteOpen { upload_id: id.clone(), fence: Some(fence(1)), ..Default::default() };
    let opened = driver.open_upload(open).await.map(|writer| writer.opened);
    refused("WriteOpen with the mode unset", opened, Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD")?;
    refused("GetUpload after it", driver.upload(&id).await, Code::NotFound, "UPLOAD_UNKNOWN").map(drop)
}

async fn without_a_fence(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let open =
        v1::WriteOpen { fence: None, ..writer::create(&bed.upload_id(), &bed.key("a"), fence(1), b"") };
    let opened = driver.open_upload(open).await.map(|writer| writer.opened);
    refused("WriteOpen without a fence", opened, Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD").map(drop)
}

async fn bad_ids(bed: &Bed) -> Verdict {
    let (driver, good) = (bed.driver().await, bed.upload_id());
    let (code, reason) = (Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD");
    let bad = [
        String::new(),
        good[1..].to_owned(),
        format!("{good}0"),
        format!("{}F", &good[1..]),
        format!("../{}", &good[3..]),
    ];
    for id in &bad {
        let open = driver.create_upload(id, &bed.key("a"), fence(1)).await.map(|writer| writer.opened);
        refused(format!("create of upload {id:?}"), open, code, reason)?;
        let open = driver.resume_upload(id, fence(1)).await.map(|writer| writer.opened);
        refused(format!("resume of upload {id:?}"), open, code, reason)?;
        refused(format!("GetUpload of {id:?}"), driver.upload(id).await, code, reason)?;
        refused(format!("EndUpload of {id:?}"), driver.end(id, fence(1)).await, code, reason)?;
    }
    Ok(())
}

async fn bad_keys(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    for key in ["", "/a", "a//b", "a/../b", ".driver/x", ".driver/store-id", "a b"] {
        let open = driver.create_upload(&id, key, fence(1)).await.map(|writer| writer.opened);
        refused(format!("create for key {key:?}"), open, Code::InvalidArgument, "INVALID_KEY")?;
    }
    refused("GetUpload after it", driver.upload(&id).await, Code::NotFound, "UPLOAD_UNKNOWN").map(drop)
}

async fn bookmark_of_4096_bytes(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let bookmark = super::pattern(4096, 3);
    let mut writer = answered(
        "create with a bookmark of 4096 bytes",
        driver.open_upload(writer::create(&id, &key, fence(1), &bookmark)).await,
    )?;
    is_open_at(&driver, &id, "create", 0, &bookmark).await?;
    writer.chunk("x").await;
    let bookmark = super::pattern(4096, 4);
    answered("WriteMark with a bookmark of 4096 bytes", writer.flush(&bookmark).await)?;
    is_open_at(&driver, &id, "a flush", 1, &bookmark).await?;
    let bookmark = super::pattern(4096, 5);
    answered("WriteCommit with a bookmark of 4096 bytes", writer.commit_at(1, &bookmark).await)?;
    equal("GetUpload: bookmark", &bookmark, &state(&driver, &id).await?.bookmark.to_vec())
}

async fn bookmark_too_long(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let (code, reason, long) = (Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD", vec![1; 4097]);
    let open =
        driver.open_upload(writer::create(&id, &key, fence(1), &long)).await.map(|writer| writer.opened);
    refused("create with a bookmark of 4097 bytes", open, code, reason)?;
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("abc").await;
    writer.mark(&long, true).await;
    ends_with(&mut writer, "WriteMark with a bookmark of 4097 bytes", code, reason).await?;
    let mut writer = resume(&driver, &id, 2).await?;
    let offset = writer.offset;
    writer.send(Msg::Commit(v1::WriteCommit { size: offset, bookmark: long.into() })).await;
    ends_with(&mut writer, "WriteCommit with a bookmark of 4097 bytes", code, reason).await?;
    equal("GetUpload: state", &v1::UploadState::Open, &state(&driver, &id).await?.state())
}

async fn first_message_is_no_open(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let chunk = v1::WriteChunk { offset: 0, data: "x".into(), crc32c: None };
    let mark = v1::WriteMark { offset: 0, bookmark: bytes::Bytes::new(), flush: true };
    let commit = v1::WriteCommit { size: 0, bookmark: bytes::Bytes::new() };
    for (what, first) in
        [("a chunk", Msg::Chunk(chunk)), ("a mark", Msg::Mark(mark)), ("a commit", Msg::Commit(commit))]
    {
        let sent = format!("a write stream that begins with {what}");
        let mut writer = match driver.write_stream(first).await {
            Ok(writer) => writer,
            Err(said) => {
                refused::<()>(&sent, Err(said), Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD")?;
                continue;
            }
        };
        ends_with(&mut writer, &sent, Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD").await?;
    }
    Ok(())
}

async fn get_upload_of_nothing(bed: &Bed) -> Verdict {
    let upload = bed.driver().await.upload(&bed.upload_id()).await;
    refused("GetUpload of an unknown session", upload, Code::NotFound, "UPLOAD_UNKNOWN").map(drop)
}
