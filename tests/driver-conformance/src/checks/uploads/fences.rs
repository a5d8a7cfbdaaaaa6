//! Which writer a session listens to (contract clauses U4, U16).

use longshore_driver_proto::v1;
use tonic::Code;

use super::{create, ends_with, is_open_at, resume, state};
use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};
use crate::writer::fence;

pub(super) const CHECKS: &[Check] = &[
    check!("fence.smaller-is-refused", ["U4"], [], smaller_is_refused),
    check!("fence.equal-is-the-same-writer", ["U4"], [], equal_is_the_same_writer),
    check!("fence.owners-in-byte-order", ["U4"], [], owners_in_byte_order),
    check!("fence.larger-evicts-a-live-writer", ["U4"], [], larger_evicts_a_live_writer),
    check!("fence.an-idle-writer-is-told", ["U4"], [], an_idle_writer_is_told),
    check!("fence.evicted-changes-nothing", ["U4"], [], evicted_changes_nothing),
    check!("fence.is-kept", ["U4"], [], is_kept),
    check!("fence.one-of-many-newcomers-wins", ["U4"], [], one_of_many_newcomers_wins),
    check!("fence.smaller-on-a-committed-session", ["U4", "U13"], [], smaller_on_a_committed_session),
];

async fn smaller_is_refused(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunk("abc").await;
    answered("WriteMark with flush", writer.flush(b"three").await)?;
    drop(writer);
    drop(resume(&driver, &id, 9).await?);
    for counter in [1, 8] {
        let open = driver.resume_upload(&id, fence(counter)).await.map(|writer| writer.opened);
        refused(format!("resume with fence {counter} after 9"), open, Code::Aborted, "FENCED")?;
    }
    is_open_at(&driver, &id, "a resume that was fenced", 3, b"three").await
}

async fn equal_is_the_same_writer(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    drop(create(&driver, &id, &bed.key("a")).await?);
    drop(resume(&driver, &id, 5).await?);
    let mut writer = resume(&driver, &id, 5).await?;
    writer.chunk("x").await;
    answered("WriteCommit of a writer that came back", writer.commit().await).map(drop)
}

async fn owners_in_byte_order(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let by = |owner: &str| v1::Fence { counter: 1, owner: owner.to_owned() };
    let open = |owner: &'static str| {
        let (driver, id) = (driver.clone(), id.clone());
        async move { driver.resume_upload(&id, by(owner)).await.map(|writer| writer.opened) }
    };
    let create = driver.create_upload(&id, &bed.key("a"), by("B")).await;
    drop(answered("create by owner B", create)?);
    refused("resume by owner A, of the same counter", open("A").await, Code::Aborted, "FENCED")?;
    answered("resume by owner BA", open("BA").await)?;
    answered("resume by owner a", open("a").await)?;
    refused("resume by owner Z, which sorts before a", open("Z").await, Code::Aborted, "FENCED")?;
    let larger = v1::Fence { counter: 2, owner: "0".to_owned() };
    let resumed = driver.resume_upload(&id, larger).await.map(|writer| writer.opened);
    answered("resume by owner 0 with a larger counter", resumed).map(drop)
}

async fn larger_evicts_a_live_writer(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut old = create(&driver, &id, &key).await?;
    old.chunk("abc").await;
    answered("WriteMark with flush", old.flush(b"three").await)?;
    let mut new = resume(&driver, &id, 2).await?;
    equal("resume over a live writer: durable", &3, &new.offset)?;
    old.chunk("old").await;
    old.mark(b"bad", true).await;
    ends_with(&mut old, "a flush by a writer that was evicted", Code::Aborted, "FENCED").await?;
    new.chunk("new").await;
    answered("WriteCommit by the new writer", new.commit().await)?;
    same_bytes("Get", b"abcnew", &answered("Get", driver.get_key(&key).await)?.1)
}

async fn an_idle_writer_is_told(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut old = create(&driver, &id, &bed.key("a")).await?;
    let _new = resume(&driver, &id, 2).await?;
    ends_with(&mut old, "nothing, while another writer took the session over", Code::Aborted, "FENCED")
        .await
        .map(drop)
}

async fn evicted_changes_nothing(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut old = create(&driver, &id, &key).await?;
    old.chunk("abc").await;
    answered("WriteMark with flush", old.flush(b"three").await)?;
    let mut new = resume(&driver, &id, 2).await?;
    // All of it is under way before the old writer can have heard.
    old.chunk("zzzz").await;
    old.mark(b"bad", true).await;
    old.send(v1::write_stream_request::Msg::Commit(v1::WriteCommit { size: 7, bookmark: "bad".into() }))
        .await;
    let ended = old.fails().await;
    ensure(
        ended.as_ref().is_ok_and(|said| said.is(Code::Aborted, "FENCED")),
        "chunk, flush and commit by a writer that was evicted",
        "Aborted / FENCED",
        format!("{ended:?}"),
    )?;
    refused("Stat after it", driver.stat_key(&key).await, Code::NotFound, "KEY_NOT_FOUND")?;
    is_open_at(&driver, &id, "messages of an evicted writer", 3, b"three").await?;
    new.chunk("d").await;
    answered("WriteCommit", new.commit().await)?;
    same_bytes("Get", b"abcd", &answered("Get", driver.get_key(&key).await)?.1)
}

async fn is_kept(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    drop(create(&driver, &id, &bed.key("a")).await?);
    let theirs = v1::Fence { counter: 77, owner: "somebody else".to_owned() };
    let opened = driver.resume_upload(&id, theirs.clone()).await.map(|writer| writer.opened);
    answered("resume", opened)?;
    equal("GetUpload: fence", &Some(theirs), &state(&driver, &id).await?.fence)
}

async fn one_of_many_newcomers_wins(bed: &Bed) -> Verdict {
    const NEWCOMERS: u64 = 8;
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    drop(create(&driver, &id, &key).await?);
    let mut race = tokio::task::JoinSet::new();
    for counter in 2..2 + NEWCOMERS {
        let (driver, id) = (driver.clone(), id.clone());
        race.spawn(async move {
            let mut writer = driver.resume_upload(&id, fence(counter)).await.ok()?;
            writer.chunks(&[counter as u8; 20_000], 1000).await;
            writer.commit_at(20_000, b"").await.ok().map(|_| counter)
        });
    }
    let won: Vec<u64> = race.join_all().await.into_iter().flatten().collect();
    match won[..] {
        [winner] => {
            let (_, content) = answered("Get", driver.get_key(&key).await)?;
            same_bytes("Get: what the winner wrote", &[winner as u8; 20_000], &content)
        }
        // All were evicted by the last, which lost its session to nobody: it must have won.
        _ => Err(Failure::new(
            format!("{NEWCOMERS} writers that resume one session and commit at once"),
            "one that commits",
            format!("{} that did", won.len()),
        )),
    }
}

async fn smaller_on_a_committed_session(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    drop(create(&driver, &id, &bed.key("a")).await?);
    let mut writer = resume(&driver, &id, 5).await?;
    writer.chunk("x").await;
    answered("WriteCommit", writer.commit().await)?;
    let open = driver.resume_upload(&id, fence(4)).await.map(|writer| writer.opened);
    refused("resume of a COMMITTED session with a smaller fence", open, Code::Aborted, "FENCED").map(drop)
}
