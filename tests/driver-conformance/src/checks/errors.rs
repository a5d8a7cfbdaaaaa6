//! How refusals are said, and what a driver says while its backend is away (contract section E, rule R5).

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use longshore_driver_proto::v1;
use longshore_driver_sdk::{Reason, wire};
use tonic::Code;

use super::uploads;
use crate::bed::Bed;
use crate::call::{Call, DOMAIN, Said, answered, refused, timely};
use crate::check;
use crate::check::Check;
use crate::connection::{Windows, handshake};
use crate::hooks::Hook;
use crate::reader;
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};
use crate::writer::fence;

pub(super) const CHECKS: &[Check] = &[
    check!("error.reasons-and-codes", ["E1"], [], reasons_and_codes),
    check!("error.messages-are-for-people", ["E1"], [], messages_are_for_people),
    check!("error.details-are-short", ["E1"], [], details_are_short),
    check!("error.of-the-sixth-thousandth-call", ["E1", "T6"], [], of_many_calls),
    check!("backend.away-is-not-absence", ["O1", "L5", "E1"], [BackendStop], away_is_not_absence),
    check!("backend.away-for-sessions", ["U3", "O1"], [BackendStop], away_for_sessions),
    check!("backend.away-for-writes", ["O9", "O10"], [BackendStop], away_for_writes),
    check!("backend.away-for-a-live-upload", ["U12", "O9"], [BackendStop], away_for_a_live_upload),
    check!("backend.away-for-the-handshake", ["H7"], [BackendStop], away_for_the_handshake),
    check!("backend.away-for-the-probe", ["H12"], [BackendStop], away_for_the_probe),
    check!("backend.back-again", ["O1", "U11"], [BackendStop], back_again),
];

/// One refusal of each kind that can be had without doing harm.
async fn refusals(bed: &Bed) -> Verdict<Vec<(&'static str, Said)>> {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put", driver.put_key(&key, "x").await)?;
    let mut said = Vec::new();
    let mut add = |sent: &'static str, outcome: Call<()>| match outcome {
        Err(refusal) => said.push((sent, refusal)),
        Ok(()) => said.push((sent, Said::from(&tonic::Status::ok("it was not refused")))),
    };
    add("Stat of nothing", driver.stat_key(&bed.key("no")).await.map(drop));
    add("Get of nothing", driver.get_key(&bed.key("no")).await.map(drop));
    add("ReadStream of nothing", driver.read_key(&bed.key("no")).await.map(drop));
    add("Stat of a malformed key", driver.stat_key("//").await.map(drop));
    add(
        "Put without a condition",
        driver.put(v1::PutRequest { key: key.clone(), ..Default::default() }).await.map(drop),
    );
    add("ReadStream behind the end", driver.read(reader::range(&key, 5, None)).await.map(drop));
    add("GetUpload of nothing", driver.upload(&bed.upload_id()).await.map(drop));
    add("resume of nothing", driver.resume_upload(&bed.upload_id(), fence(1)).await.map(drop));
    // At once, or at the commit (U1).
    let taken = match driver.create_upload(&bed.upload_id(), &key, fence(1)).await {
        Ok(mut writer) => writer.commit().await.map(drop),
        Err(said) => Err(said),
    };
    add("create for a taken key", taken);
    Ok(said)
}

async fn reasons_and_codes(bed: &Bed) -> Verdict {
    for (sent, said) in refusals(bed).await? {
        equal(format!("{sent}: ErrorInfo.domain"), &Some(DOMAIN), &said.domain.as_deref())?;
        let reason = said.reason.as_deref().and_then(Reason::parse);
        let reason = reason
            .ok_or_else(|| Failure::new(sent, "a reason of the closed list", format!("{:?}", said.reason)))?;
        equal(
            format!("{sent}: the code that belongs to {}", reason.as_str()),
            &wire::code(reason),
            &said.code,
        )?;
    }
    Ok(())
}

async fn messages_are_for_people(bed: &Bed) -> Verdict {
    for (sent, said) in refusals(bed).await? {
        ensure(
            said.message.len() >= 5,
            sent,
            "a message that says what is wrong",
            format!("{:?}", said.message),
        )?;
    }
    Ok(())
}

async fn details_are_short(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let long = bed.key(&"k/".repeat(300));
    let long = long.trim_end_matches('/');
    let mut all = refusals(bed).await?;
    if let Err(said) = driver.stat_key(long).await {
        all.push(("Stat of nothing, at a long key", said));
    }
    for (sent, said) in all {
        ensure(
            said.details < 4096 && said.message.len() < 4096,
            sent,
            "message and details below 4 KiB each",
            format!("{} and {} bytes", said.message.len(), said.details),
        )?;
    }
    Ok(())
}

/// Many calls at once: each gets the answer to its own question.
/// More than these a slow backend may not answer within a call's deadline.
const AT_ONCE: usize = 100;

async fn of_many_calls(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    for number in (0..600).step_by(3) {
        answered("Put", driver.put_key(&bed.key(&format!("k{number}")), vec![1; number]).await)?;
    }
    let keys: Vec<_> = (0..600).map(|number| bed.key(&format!("k{number}"))).collect();
    let mut stats = Vec::new();
    for keys in keys.chunks(AT_ONCE) {
        stats.extend(join_all(keys.iter().map(|key| driver.stat_key(key))).await);
    }
    for (number, stat) in stats.into_iter().enumerate() {
        let got = match stat {
            Ok(object) => Some(object.size),
            Err(said) if said.is(Code::NotFound, "KEY_NOT_FOUND") => None,
            Err(said) => return Err(Failure::new("one of 600 Stats", "an answer", said)),
        };
        let wanted = (number % 3 == 0).then_some(number as u64);
        equal("one of 600 Stats: size", &wanted, &got)?;
    }
    Ok(())
}

/// Runs `work` with the backend stopped, and starts it again whatever comes of it.
async fn while_away(bed: &Bed, work: impl AsyncFnOnce() -> Verdict) -> Verdict {
    bed.hook(Hook::BackendStop).await?;
    let outcome = work().await;
    bed.hook(Hook::BackendStart).await?;
    outcome
}

/// An error, and none that states something of the store.
fn honest<T>(sent: &str, outcome: Call<T>) -> Verdict {
    let said = match outcome {
        Ok(_) => return Err(Failure::new(format!("{sent}, with the backend stopped"), "an error", "OK")),
        Err(said) => said,
    };
    ensure(
        matches!(said.code, Code::Unavailable | Code::DeadlineExceeded | Code::Internal),
        format!("{sent}, with the backend stopped"),
        "Unavailable / BACKEND_UNAVAILABLE",
        said,
    )
}

/// What a driver still holds open may be told of.
fn true_or_honest<T>(sent: &str, outcome: Call<T>) -> Verdict {
    if outcome.is_ok() { Ok(()) } else { honest(sent, outcome) }
}

async fn away_is_not_absence(bed: &Bed) -> Verdict {
    let (driver, here, never) = (bed.driver().await, bed.key("here"), bed.key("never"));
    answered("Put", driver.put_key(&here, "x").await)?;
    while_away(bed, async || {
        honest("Stat", driver.stat_key(&never).await)?;
        honest("Get", driver.get_key(&never).await)?;
        honest("ReadStream", driver.read_key(&never).await)?;
        true_or_honest("Stat", driver.stat_key(&here).await)?;
        true_or_honest("Get", driver.get_key(&here).await)?;
        true_or_honest("ReadStream", driver.read_key(&here).await)?;
        let list =
            |prefix: String| driver.list(v1::ListRequest { prefix, recursive: true, ..Default::default() });
        honest("List of where nothing is", list(bed.key("never/")).await)?;
        let page = list(bed.prefix()).await;
        ensure(
            page.as_ref().map_or(true, |page| !page.entries.is_empty()),
            "List of where an object is, with the backend stopped",
            "the object, or an error",
            "an empty page",
        )?;
        let outcome = driver.delete_key(&never, None).await;
        let said_so = outcome.as_ref().is_ok_and(|outcome| outcome.code == 0);
        ensure(!said_so, "Delete, with the backend stopped", "an outcome with a code", format!("{outcome:?}"))
    })
    .await
}

async fn away_for_sessions(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let writer = answered("create", driver.create_upload(&id, &bed.key("a"), fence(1)).await)?;
    let _ = writer.close().await;
    while_away(bed, async || {
        // Sessions may lie elsewhere than objects: then they are there, and others are not.
        if let Ok(upload) = driver.upload(&id).await {
            equal("the session that GetUpload shows", &id, &upload.upload_id)?;
            let unknown = driver.upload(&bed.upload_id()).await;
            refused("GetUpload of no session", unknown, Code::NotFound, "UPLOAD_UNKNOWN")?;
            return answered("EndUpload", driver.end(&id, fence(2)).await).map(drop);
        }
        for id in [&id, &bed.upload_id()] {
            honest("GetUpload", driver.upload(id).await)?;
            honest("resume", driver.resume_upload(id, fence(2)).await)?;
            honest("EndUpload", driver.end(id, fence(2)).await)?;
        }
        honest("ListUploads", driver.list_uploads(v1::ListUploadsRequest::default()).await)
    })
    .await
}

async fn away_for_writes(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put", driver.put_key(&key, "before").await)?;
    // A backend that is silent may have the request, and do it later: TIMEOUT says so (O11).
    let is_unknown = AtomicBool::new(false);
    while_away(bed, async || {
        let put = driver.put_key(&key, "while away").await;
        let late = put.as_ref().is_err_and(|said| said.code == Code::DeadlineExceeded);
        is_unknown.store(late, Ordering::Relaxed);
        honest("Put", put)?;
        honest("create", driver.create_upload(&bed.upload_id(), &bed.key("b"), fence(1)).await)
    })
    .await?;
    let (_, content) = answered("Get after the backend came back", driver.get_key(&key).await)?;
    if is_unknown.load(Ordering::Relaxed) && content == b"while away"[..] {
        return Ok(());
    }
    same_bytes("Get after a Put that failed while the backend was away", b"before", &content)
}

async fn away_for_a_live_upload(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let content = uploads::pattern(100_000, 1);
    let mut writer = answered("create", driver.create_upload(&id, &key, fence(1)).await)?;
    writer.chunks(&content, bed.chunk()).await;
    answered("WriteMark with flush", writer.flush(b"m").await)?;
    while_away(bed, async || honest("WriteCommit", writer.commit().await)).await?;
    let mut writer =
        answered("resume after the backend came back", driver.resume_upload(&id, fence(2)).await)?;
    equal("resume after it: durable", &100_000, &writer.offset)?;
    answered("WriteCommit after it", writer.commit().await)?;
    same_bytes("ReadStream", &content, &answered("ReadStream", driver.read_key(&key).await)?)
}

/// It fails, or, if the id was read before, says the right one: never an empty one.
async fn away_for_the_handshake(bed: &Bed) -> Verdict {
    let wanted = bed.greeting.store_id.clone();
    while_away(bed, async || match bed.connect(Windows::default()).await?.handshake_with(handshake()).await {
        Ok(answer) => equal("Handshake, with the backend stopped: store_id", &wanted, &answer.store_id),
        Err(said) => honest::<()>("Handshake", Err(said)),
    })
    .await
}

async fn away_for_the_probe(bed: &Bed) -> Verdict {
    let mut identity = bed.driver().await.identity;
    while_away(bed, async || match Said::of(identity.probe(timely(v1::ProbeRequest {})).await) {
        Err(_) => Ok(()),
        Ok(answer) => ensure(
            answer.state() != v1::probe_response::State::Ready,
            "Probe, with the backend stopped",
            "an error, or a state that is not READY",
            format!("{:?}", answer.state()),
        ),
    })
    .await
}

/// Everything is there once more, without a restart.
async fn back_again(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    answered("Put", driver.put_key(&key, "steady").await)?;
    let mut writer = answered("create", driver.create_upload(&id, &bed.key("b"), fence(1)).await)?;
    writer.chunk("abc").await;
    answered("WriteMark with flush", writer.flush(b"three").await)?;
    let _ = writer.close().await;
    while_away(bed, async || honest("Stat", driver.stat_key(&bed.key("never")).await)).await?;
    let (_, content) = answered("Get after the backend came back", driver.get_key(&key).await)?;
    same_bytes("Get after the backend came back", b"steady", &content)?;
    let upload = answered("GetUpload after it", driver.upload(&id).await)?;
    equal(
        "GetUpload after it: durable, bookmark",
        &(3, b"three".to_vec()),
        &(upload.durable, upload.bookmark.to_vec()),
    )?;
    answered("Put after it", driver.put_key(&bed.key("c"), "x").await).map(drop)
}
