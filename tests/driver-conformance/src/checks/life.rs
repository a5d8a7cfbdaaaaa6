//! Drain and SIGTERM (contract section D).

use std::time::Duration;

use longshore_driver_proto::v1;
use tonic::Code;

use super::uploads;
use crate::bed::Bed;
use crate::call::{Said, answered, refused, timely};
use crate::check;
use crate::check::Check;
use crate::hooks::Hook;
use crate::verdict::{Verdict, equal, same_bytes};
use crate::writer::fence;

pub(super) const CHECKS: &[Check] = &[
    check!("life.drain-refuses-new-sessions", ["D4"], [Terminate], drain_refuses_new_sessions),
    check!("life.drain-lets-the-rest-go-on", ["D4"], [Terminate], drain_lets_the_rest_go_on),
    check!("life.drain-makes-marks-durable", ["D4"], [Terminate], drain_makes_marks_durable),
    check!("life.terminate-exits-with-zero", ["D5"], [Terminate], terminate_exits_with_zero),
    check!("life.terminate-makes-marks-durable", ["D5"], [Terminate, Restart], terminate_makes_marks_durable),
    check!("life.terminate-keeps-sessions", ["D5", "U11"], [Terminate, Restart], terminate_keeps_sessions),
];

/// A mark without flush has no answer: after so long, the driver has it.
const SEEN: Duration = Duration::from_millis(300);

/// A driver that was drained stays so: the next check gets a new process.
async fn renew(bed: &Bed) -> Verdict {
    bed.hook(Hook::Terminate).await?;
    bed.hook(Hook::Start).await?;
    bed.reconnect().await.map(drop)
}

async fn drain(bed: &Bed) -> Verdict<u32> {
    let request = v1::DrainRequest { grace: Some(prost_types::Duration { seconds: 5, nanos: 0 }) };
    let answer = Said::of(bed.driver().await.identity.clone().drain(timely(request)).await);
    Ok(answered("Drain", answer)?.sessions_left_open)
}

async fn drained(bed: &Bed, work: impl AsyncFnOnce() -> Verdict) -> Verdict {
    let outcome = work().await;
    renew(bed).await?;
    outcome
}

async fn drain_refuses_new_sessions(bed: &Bed) -> Verdict {
    drained(bed, async || {
        drain(bed).await?;
        let driver = bed.driver().await;
        let open = driver.create_upload(&bed.upload_id(), &bed.key("a"), fence(1)).await;
        refused("create after Drain", open.map(|writer| writer.opened), Code::Unavailable, "DRAINING")
            .map(drop)
    })
    .await
}

async fn drain_lets_the_rest_go_on(bed: &Bed) -> Verdict {
    drained(bed, async || {
        let (driver, id) = (bed.driver().await, bed.upload_id());
        let writer = answered("create", driver.create_upload(&id, &bed.key("a"), fence(1)).await)?;
        let _ = writer.close().await;
        drain(bed).await?;
        objects_go_on(bed).await?;
        sessions_go_on(bed, &id).await?;
        let mut writer = answered("resume after Drain", driver.resume_upload(&id, fence(2)).await)?;
        writer.chunk("abc").await;
        answered("WriteCommit after Drain", writer.commit().await).map(drop)
    })
    .await
}

async fn objects_go_on(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("b"));
    answered("Put after Drain", driver.put_key(&key, "x").await)?;
    answered("Stat after Drain", driver.stat_key(&key).await)?;
    same_bytes("Get after Drain", b"x", &answered("Get after Drain", driver.get_key(&key).await)?.1)?;
    same_bytes("ReadStream", b"x", &answered("ReadStream after Drain", driver.read_key(&key).await)?)?;
    let request = v1::ListRequest { prefix: bed.prefix(), recursive: true, ..Default::default() };
    answered("List after Drain", driver.list(request).await)?;
    let outcome = answered("Delete after Drain", driver.delete_key(&key, None).await)?;
    equal("Delete after Drain: code", &0, &outcome.code)
}

async fn sessions_go_on(bed: &Bed, id: &str) -> Verdict {
    let driver = bed.driver().await;
    answered("GetUpload after Drain", driver.upload(id).await)?;
    answered("ListUploads after Drain", driver.list_uploads(v1::ListUploadsRequest::default()).await)?;
    answered("EndUpload after Drain", driver.end(&bed.upload_id(), fence(1)).await).map(drop)
}

async fn drain_makes_marks_durable(bed: &Bed) -> Verdict {
    drained(bed, async || {
        let (driver, id) = (bed.driver().await, bed.upload_id());
        let mut writer = answered("create", driver.create_upload(&id, &bed.key("a"), fence(1)).await)?;
        writer.chunk("abcde").await;
        writer.mark(b"five", false).await;
        tokio::time::sleep(SEEN).await;
        equal("Drain beside one live stream: sessions_left_open", &1, &drain(bed).await?)?;
        uploads_durable(bed, "Drain", &id, 5, b"five").await
    })
    .await
}

async fn uploads_durable(bed: &Bed, after: &str, id: &str, durable: u64, bookmark: &[u8]) -> Verdict {
    let upload = answered("GetUpload", bed.driver().await.upload(id).await)?;
    equal(
        format!("GetUpload after {after}: durable, bookmark"),
        &(durable, bookmark.to_vec()),
        &(upload.durable, upload.bookmark.to_vec()),
    )
}

async fn terminate_exits_with_zero(bed: &Bed) -> Verdict {
    answered("Put", bed.driver().await.put_key(&bed.key("a"), "x").await)?;
    renew(bed).await
}

/// The stream is live when the signal comes, and ends a moment later: a driver may wait for that.
async fn terminate_makes_marks_durable(bed: &Bed) -> Verdict {
    const LIVE: Duration = Duration::from_secs(1);
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = answered("create", driver.create_upload(&id, &bed.key("a"), fence(1)).await)?;
    writer.chunk("abcde").await;
    writer.mark(b"five", false).await;
    tokio::time::sleep(SEEN).await;
    let (ended, ()) = tokio::join!(bed.hook(Hook::Terminate), async {
        tokio::time::sleep(LIVE).await;
        drop(writer);
    });
    bed.hook(Hook::Start).await?;
    bed.reconnect().await?;
    ended?;
    uploads_durable(bed, "SIGTERM", &id, 5, b"five").await
}

async fn terminate_keeps_sessions(bed: &Bed) -> Verdict {
    let (id, key, content) = (bed.upload_id(), bed.key("a"), uploads::pattern(200_000, 1));
    let driver = bed.driver().await;
    let mut writer = answered("create", driver.create_upload(&id, &key, fence(1)).await)?;
    writer.chunks(&content, bed.chunk()).await;
    answered("WriteMark with flush", writer.flush(b"m").await)?;
    let _ = writer.close().await;
    renew(bed).await?;
    let driver = bed.driver().await;
    let mut writer = answered("resume after SIGTERM", driver.resume_upload(&id, fence(2)).await)?;
    equal("resume after SIGTERM: durable", &200_000, &writer.offset)?;
    answered("WriteCommit", writer.commit().await)?;
    same_bytes("ReadStream", &content, &answered("ReadStream", driver.read_key(&key).await)?)
}
