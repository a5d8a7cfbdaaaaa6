//! Sessions and two instances on one store (contract clauses U19, U20).

use longshore_driver_proto::v1;
use tonic::Code;

use super::{create, is_open_at, pattern, resume, state};
use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::verdict::{Verdict, ensure, equal, same_bytes};
use crate::writer::fence;

pub(super) const CHECKS: &[Check] = &[
    check!("shared.seen-at-the-second", ["U19"], [UploadsShared, Second], seen_at_the_second),
    check!("shared.resumed-at-the-second", ["U19"], [UploadsShared, Second], resumed_at_the_second),
    check!(
        "shared.taken-over-from-a-live-writer",
        ["U19", "U4"],
        [UploadsShared, Second],
        taken_over_from_a_live_writer
    ),
    check!("shared.ended-at-the-second", ["U16", "U19"], [UploadsShared, Second], ended_at_the_second),
    check!(
        "shared.committed-is-known-at-the-second",
        ["U13", "U19"],
        [UploadsShared, Second],
        committed_is_known_at_the_second
    ),
    check!("shared.race-of-commits", ["U12", "U20"], [UploadsShared, PutIfAbsent, Second], race_of_commits),
    check!("shared.fence-of-the-other", ["U4", "U19"], [UploadsShared, Second], fence_of_the_other),
    check!("shared.object-of-the-other", ["O2", "U12"], [Second], object_of_the_other),
];

async fn seen_at_the_second(bed: &Bed) -> Verdict {
    let (driver, second, id) = (bed.driver().await, bed.second()?, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunk("abc").await;
    answered("WriteMark with flush", writer.flush(b"three").await)?;
    is_open_at(&second, &id, "a flush at the first instance", 3, b"three").await
}

async fn resumed_at_the_second(bed: &Bed) -> Verdict {
    let (driver, second, id, key) = (bed.driver().await, bed.second()?, bed.upload_id(), bed.key("a"));
    let content = pattern(400_000, 1);
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunks(&content[..150_000], bed.chunk()).await;
    answered("WriteMark with flush", writer.flush(b"m").await)?;
    let _ = writer.close().await;
    let mut writer = resume(&second, &id, 2).await?;
    equal("resume at the second instance: durable", &150_000, &writer.offset)?;
    writer.chunks(&content[150_000..], bed.chunk()).await;
    answered("WriteCommit at the second", writer.commit().await)?;
    same_bytes("ReadStream at the first", &content, &answered("ReadStream", driver.read_key(&key).await)?)
}

/// It takes over, or says CONFLICT; both never write.
async fn taken_over_from_a_live_writer(bed: &Bed) -> Verdict {
    let (driver, second, id, key) = (bed.driver().await, bed.second()?, bed.upload_id(), bed.key("a"));
    let mut old = create(&driver, &id, &key).await?;
    old.chunk("abc").await;
    answered("WriteMark with flush", old.flush(b"three").await)?;
    match second.resume_upload(&id, fence(2)).await {
        Err(said) => {
            refused::<()>("resume at the second, under a live writer", Err(said), Code::Aborted, "CONFLICT")?;
            old.chunk("old").await;
            answered("WriteCommit at the first, which kept it", old.commit().await)?;
            same_bytes("Get", b"abcold", &answered("Get", driver.get_key(&key).await)?.1)
        }
        Ok(mut new) => {
            old.chunk("old").await;
            old.mark(b"bad", true).await;
            let ended = old.fails().await;
            ensure(
                ended.as_ref().is_ok_and(|said| said.code == Code::Aborted),
                "a flush at the first, whose session was taken over",
                "Aborted / FENCED",
                format!("{ended:?}"),
            )?;
            new.chunk("new").await;
            answered("WriteCommit at the second", new.commit().await)?;
            same_bytes("Get", b"abcnew", &answered("Get", driver.get_key(&key).await)?.1)
        }
    }
}

async fn ended_at_the_second(bed: &Bed) -> Verdict {
    let (driver, second, id) = (bed.driver().await, bed.second()?, bed.upload_id());
    let writer = create(&driver, &id, &bed.key("a")).await?;
    let _ = writer.close().await;
    ensure(
        answered("EndUpload at the second", second.end(&id, fence(2)).await)?,
        "EndUpload at the second",
        "existed = true",
        "false",
    )?;
    refused("GetUpload at the first", driver.upload(&id).await, Code::NotFound, "UPLOAD_UNKNOWN")?;
    let open = driver.resume_upload(&id, fence(3)).await.map(|writer| writer.opened);
    refused("resume at the first", open, Code::NotFound, "UPLOAD_UNKNOWN").map(drop)
}

async fn committed_is_known_at_the_second(bed: &Bed) -> Verdict {
    let (driver, second, id) = (bed.driver().await, bed.second()?, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunk("hello").await;
    answered("WriteCommit at the first", writer.commit_at(5, b"done").await)?;
    equal(
        "GetUpload at the second: state",
        &v1::UploadState::Committed,
        &state(&second, &id).await?.state(),
    )?;
    let mut writer = resume(&second, &id, 2).await?;
    answered("WriteCommit again, at the second", writer.commit_at(5, b"done").await).map(drop)
}

async fn race_of_commits(bed: &Bed) -> Verdict {
    let drivers = [bed.driver().await, bed.second()?];
    let contents: Vec<_> = (0..8).map(|number| format!("writer {number}").into_bytes()).collect();
    for round in 0..5 {
        super::race_of_commits(bed, &drivers, &bed.key(&format!("k{round}")), &contents).await?;
    }
    Ok(())
}

async fn fence_of_the_other(bed: &Bed) -> Verdict {
    let (driver, second, id) = (bed.driver().await, bed.second()?, bed.upload_id());
    let writer = create(&driver, &id, &bed.key("a")).await?;
    let _ = writer.close().await;
    let writer = resume(&second, &id, 7).await?;
    let _ = writer.close().await;
    let open = driver.resume_upload(&id, fence(6)).await.map(|writer| writer.opened);
    refused("resume at the first with fence 6, after 7 at the second", open, Code::Aborted, "FENCED")
        .map(drop)
}

async fn object_of_the_other(bed: &Bed) -> Verdict {
    let (key, content) = (bed.key("new/a"), pattern(100_000, 4));
    super::write(bed, &key, &content).await?;
    let second = bed.second()?;
    same_bytes("ReadStream at the second", &content, &answered("ReadStream", second.read_key(&key).await)?)?;
    super::taken_key_is_refused(&second, &bed.upload_id(), &key).await
}
