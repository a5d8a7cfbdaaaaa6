//! How sessions end, and how they are listed (contract clauses U15 to U18).

use std::time::{Duration, SystemTime};

use longshore_driver_proto::v1;
use tonic::Code;

use super::{create, ends_with, resume, state};
use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::connection::Connection;
use crate::verdict::{Verdict, ensure, equal, same_bytes};
use crate::writer::fence;

pub(super) const CHECKS: &[Check] = &[
    check!("end.open-session", ["U16"], [], open_session),
    check!("end.committed-session", ["U16", "U15"], [], committed_session),
    check!("end.nothing", ["U16"], [], nothing),
    check!("end.twice", ["U16"], [], twice),
    check!("end.smaller-fence", ["U16"], [], smaller_fence),
    check!("end.shuts-out-a-live-writer", ["U16"], [], shuts_out_a_live_writer),
    check!("end.id-can-be-used-again", ["U16", "U1"], [], id_can_be_used_again),
    check!("end.without-a-fence", ["U16"], [], without_a_fence),
    check!("sessions.in-the-order-of-ids", ["U18"], [], in_the_order_of_ids),
    check!("sessions.start-after-is-exclusive", ["U18"], [], start_after_is_exclusive),
    check!("sessions.paged", ["U18"], [], paged),
    check!("sessions.more-is-exact", ["U18"], [], more_is_exact),
    check!("sessions.idle-since", ["U18"], [], idle_since),
    check!("sessions.as-get-upload-has-them", ["U18", "U8"], [], as_get_upload_has_them),
    check!("sessions.live-ones-are-kept", ["U17", "H9"], [], live_ones_are_kept),
];

async fn open_session(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("abc").await;
    answered("WriteMark with flush", writer.flush(b"m").await)?;
    drop(writer);
    ensure(answered("EndUpload", driver.end(&id, fence(1)).await)?, "EndUpload", "existed = true", "false")?;
    refused("GetUpload after it", driver.upload(&id).await, Code::NotFound, "UPLOAD_UNKNOWN")?;
    let open = driver.resume_upload(&id, fence(2)).await.map(|writer| writer.opened);
    refused("resume after it", open, Code::NotFound, "UPLOAD_UNKNOWN")?;
    refused("Stat after it", driver.stat_key(&key).await, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn committed_session(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("abc").await;
    answered("WriteCommit", writer.commit().await)?;
    let existed = answered("EndUpload of a COMMITTED session", driver.end(&id, fence(1)).await)?;
    ensure(existed, "EndUpload of a COMMITTED session", "existed = true", "false")?;
    refused("GetUpload after it", driver.upload(&id).await, Code::NotFound, "UPLOAD_UNKNOWN")?;
    same_bytes("Get after it", b"abc", &answered("Get", driver.get_key(&key).await)?.1)
}

async fn nothing(bed: &Bed) -> Verdict {
    let existed = answered(
        "EndUpload of an unknown session",
        bed.driver().await.end(&bed.upload_id(), fence(1)).await,
    )?;
    ensure(!existed, "EndUpload of an unknown session", "existed = false", "true")
}

async fn twice(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    drop(create(&driver, &id, &bed.key("a")).await?);
    let first = answered("EndUpload", driver.end(&id, fence(1)).await)?;
    let second = answered("EndUpload again", driver.end(&id, fence(1)).await)?;
    equal("EndUpload twice: existed", &(true, false), &(first, second))
}

async fn smaller_fence(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    drop(create(&driver, &id, &bed.key("a")).await?);
    drop(resume(&driver, &id, 5).await?);
    refused("EndUpload with fence 4 after 5", driver.end(&id, fence(4)).await, Code::Aborted, "FENCED")?;
    equal("GetUpload after it: state", &v1::UploadState::Open, &state(&driver, &id).await?.state())
}

async fn shuts_out_a_live_writer(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("abc").await;
    answered("WriteMark with flush", writer.flush(b"m").await)?;
    let existed = answered("EndUpload under a live writer", driver.end(&id, fence(2)).await)?;
    ensure(existed, "EndUpload under a live writer", "existed = true", "false")?;
    writer.chunk("def").await;
    writer.mark(b"bad", true).await;
    let sent = "a flush by the writer of a session that was ended";
    ends_with(&mut writer, sent, Code::Aborted, "FENCED").await?;
    refused("GetUpload after it", driver.upload(&id).await, Code::NotFound, "UPLOAD_UNKNOWN")?;
    refused("Stat after it", driver.stat_key(&key).await, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn id_can_be_used_again(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunk("old bytes").await;
    answered("WriteMark with flush", writer.flush(b"old").await)?;
    drop(writer);
    answered("EndUpload", driver.end(&id, fence(1)).await)?;
    let mut writer = create(&driver, &id, &bed.key("b")).await?;
    equal("create after EndUpload: durable", &0, &writer.offset)?;
    writer.chunk("new").await;
    answered("WriteCommit", writer.commit().await)?;
    same_bytes("Get", b"new", &answered("Get", driver.get_key(&bed.key("b")).await)?.1)
}

async fn without_a_fence(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    drop(create(&driver, &id, &bed.key("a")).await?);
    let request = v1::EndUploadRequest { upload_id: id.clone(), fence: None };
    let ended = driver.end_upload(request).await;
    refused("EndUpload without a fence", ended, Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD")?;
    equal("GetUpload after it: state", &v1::UploadState::Open, &state(&driver, &id).await?.state())
}

/// Sessions of this check in ListUploads, from the first that sorts behind `after`.
async fn list(driver: &Connection, after: &str, limit: u32) -> Verdict<v1::ListUploadsResponse> {
    let request = v1::ListUploadsRequest { start_after: after.to_owned(), limit, idle_since: None };
    answered("ListUploads", driver.list_uploads(request).await)
}

fn ids(page: &v1::ListUploadsResponse) -> Vec<String> {
    page.uploads.iter().map(|upload| upload.upload_id.clone()).collect()
}

/// Sessions whose ids begin alike, so that no other check's lie between them.
async fn several(bed: &Bed, count: usize) -> Verdict<Vec<String>> {
    let driver = bed.driver().await;
    let begin = bed.upload_id()[..28].to_owned();
    let mut made = Vec::new();
    // Not in their order.
    for number in (0..count).map(|number| (number * 7) % count) {
        let id = format!("{begin}{number:04x}");
        drop(create(&driver, &id, &bed.key(&format!("k{number}"))).await?);
        made.push(id);
    }
    made.sort();
    Ok(made)
}

fn before(first: &str) -> String {
    format!("{}{}", &first[..28], "    ")
}

async fn in_the_order_of_ids(bed: &Bed) -> Verdict {
    let made = several(bed, 20).await?;
    let page = list(&bed.driver().await, &before(&made[0]), 0).await?;
    let all = ids(&page);
    let mut sorted = all.clone();
    sorted.sort();
    equal("ListUploads: in the order of ids", &sorted, &all)?;
    let got: Vec<_> = all.into_iter().filter(|id| made.contains(id)).collect();
    equal("ListUploads: the 20 sessions that were made", &made, &got)
}

async fn start_after_is_exclusive(bed: &Bed) -> Verdict {
    let made = several(bed, 3).await?;
    let page = list(&bed.driver().await, &made[0], 1).await?;
    equal("ListUploads after the first of three, one entry", &made[1..2].to_vec(), &ids(&page))
}

async fn paged(bed: &Bed) -> Verdict {
    let made = several(bed, 10).await?;
    let driver = bed.driver().await;
    let (mut got, mut after) = (Vec::new(), before(&made[0]));
    loop {
        let page = list(&driver, &after, 3).await?;
        ensure(page.uploads.len() <= 3, "ListUploads with limit 3", "at most 3", page.uploads.len())?;
        ensure(
            !page.more || !page.uploads.is_empty(),
            "ListUploads",
            "an entry where `more` is set",
            "none",
        )?;
        let Some(last) = page.uploads.last() else { break };
        last.upload_id.clone_into(&mut after);
        got.extend(ids(&page).into_iter().filter(|id| made.contains(id)));
        if !page.more || got.len() >= made.len() {
            break;
        }
    }
    equal("ListUploads in pages of 3", &made, &got)
}

/// The ids of all sessions, in pages.
async fn every_id(driver: &Connection) -> Verdict<Vec<String>> {
    let mut all = Vec::new();
    loop {
        let page = list(driver, all.last().map_or("", String::as_str), 0).await?;
        let (before, more) = (all.len(), page.more);
        all.extend(ids(&page));
        if !more || all.len() == before {
            return Ok(all);
        }
    }
}

/// A page that ends with the last session says so. Others make and end sessions meanwhile: it is asked where the last
/// ones were the same before and after.
async fn more_is_exact(bed: &Bed) -> Verdict {
    const TRIES: usize = 50;
    several(bed, 3).await?;
    let driver = bed.driver().await;
    for _ in 0..TRIES {
        let all = every_id(&driver).await?;
        let after = all.len().checked_sub(3).map_or("", |at| all[at].as_str());
        let before = list(&driver, after, 0).await?;
        let count = ids(&before).len() as u32;
        let full = list(&driver, after, count).await?;
        let short = list(&driver, after, count.saturating_sub(1).max(1)).await?;
        if count < 2 || before.more || ids(&before) != ids(&list(&driver, after, 0).await?) {
            continue;
        }
        equal("ListUploads of the last sessions, as many as there are: more", &false, &full.more)?;
        return equal("ListUploads of the last sessions but one: more", &true, &short.more);
    }
    Ok(())
}

async fn idle_since(bed: &Bed) -> Verdict {
    let made = several(bed, 2).await?;
    let driver = bed.driver().await;
    let asked = |since: SystemTime| {
        let (driver, after) = (driver.clone(), before(&made[0]));
        async move {
            let request =
                v1::ListUploadsRequest { start_after: after, limit: 0, idle_since: Some(since.into()) };
            answered("ListUploads with idle_since", driver.list_uploads(request).await)
        }
    };
    let hour = Duration::from_secs(3600);
    let (past, future) = (asked(SystemTime::now() - hour).await?, asked(SystemTime::now() + hour).await?);
    let ours = |page: &v1::ListUploadsResponse| ids(page).into_iter().filter(|id| made.contains(id)).count();
    equal("ListUploads idle since an hour ago, of sessions just made", &0, &ours(&past))?;
    equal("ListUploads idle since an hour from now", &2, &ours(&future))
}

async fn as_get_upload_has_them(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunk("abc").await;
    answered("WriteMark with flush", writer.flush(b"three").await)?;
    for _ in 0..2 {
        let mut after = id.clone();
        after.truncate(31);
        let page = list(&driver, &after, 0).await?;
        let listed = page.uploads.into_iter().find(|upload| upload.upload_id == id);
        let seen =
            |upload: v1::Upload| (upload.state(), upload.key, upload.durable, upload.bookmark, upload.fence);
        let wanted = seen(state(&driver, &id).await?);
        equal("ListUploads and GetUpload", &Some(wanted), &listed.map(seen))?;
        let _ = writer.commit_at(3, b"done").await;
    }
    Ok(())
}

async fn live_ones_are_kept(bed: &Bed) -> Verdict {
    let ttl = bed.limits().upload_ttl.unwrap_or_default();
    ensure(ttl.seconds >= 24 * 3600, "Handshake", "`upload_ttl` of at least 24 h", format!("{ttl:?}"))?;
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    writer.chunk("x").await;
    if let Err(said) = writer.flush(b"m").await {
        return ends_with(&mut writer, "a flush after 2 s of rest", said.code, "OK").await.map(drop);
    }
    answered("WriteCommit after 2 s of rest", writer.commit().await).map(drop)
}
