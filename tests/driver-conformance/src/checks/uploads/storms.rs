//! Many sessions at once (contract clauses U1, U12, R18).

use futures_util::future::try_join_all;
use longshore_driver_proto::v1;
use tonic::Code;

use super::{create, pattern};
use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::verdict::{Verdict, ensure, same_bytes};
use crate::writer::fence;

pub(super) const CHECKS: &[Check] = &[
    check!("storm.sessions-at-once", ["U12", "U6"], [], sessions_at_once),
    check!("storm.reads-between-writes", ["R13", "U12"], [], reads_between_writes),
    check!("storm.creates-of-one-id", ["U1", "U2"], [], creates_of_one_id),
    check!("storm.commits-to-one-key", ["U12"], [], commits_to_one_key),
    check!("storm.a-put-and-a-commit", ["U12", "O6"], [PutIfAbsent], a_put_and_a_commit),
    check!("storm.a-delete-and-a-commit", ["U12", "O7"], [], a_delete_and_a_commit),
];

async fn sessions_at_once(bed: &Bed) -> Verdict {
    let driver = &bed.driver().await;
    try_join_all((0..32_u8).map(|number| async move {
        let (key, content) = (bed.key(&format!("k{number}")), pattern(1 << 20, number));
        let mut writer = create(driver, &bed.upload_id(), &key).await?;
        for part in content.chunks(300_000) {
            writer.chunks(part, 100_000).await;
            answered("WriteMark with flush", writer.flush(&[number]).await)?;
        }
        answered("WriteCommit, one of 32 sessions", writer.commit().await)?;
        let read = answered("ReadStream", driver.read_key(&key).await)?;
        same_bytes("ReadStream of one of 32 sessions", &content, &read)
    }))
    .await
    .map(drop)
}

async fn reads_between_writes(bed: &Bed) -> Verdict {
    let (driver, content) = (&bed.driver().await, &pattern(2 << 20, 99));
    super::write(bed, &bed.key("read"), content).await?;
    let reads = try_join_all((0..8).map(|number| async move {
        for round in 0..4 {
            let offset = number * 100_003 + round * 7;
            let request = crate::reader::range(&bed.key("read"), offset as u64, Some(300_000));
            let request =
                if bed.capabilities().range_read { request } else { crate::reader::whole(&bed.key("read")) };
            let from = if bed.capabilities().range_read { offset } else { 0 };
            let to = if bed.capabilities().range_read { offset + 300_000 } else { content.len() };
            let read = answered("ReadStream between writes", driver.read(request).await)?;
            same_bytes("ReadStream between writes", &content[from..to], &read.bytes())?;
        }
        Ok(())
    }));
    let writes = try_join_all((0..8_u8).map(|number| async move {
        super::write(bed, &bed.key(&format!("w{number}")), &pattern(1 << 20, number)).await
    }));
    let (read, written) = tokio::join!(reads, writes);
    read.map(drop).and(written.map(drop))
}

async fn creates_of_one_id(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut race = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (driver, id, key) = (driver.clone(), id.clone(), bed.key(&format!("k{number}")));
        race.spawn(async move {
            (key.clone(), driver.create_upload(&id, &key, fence(1)).await.map(|writer| writer.opened))
        });
    }
    let mut won = Vec::new();
    for (key, outcome) in race.join_all().await {
        match outcome {
            Ok(_) => won.push(key),
            Err(said) if said.is(Code::Aborted, "CONFLICT") || said.is(Code::Aborted, "FENCED") => {}
            Err(said) => {
                refused::<()>("create of one id in a race", Err(said), Code::AlreadyExists, "UPLOAD_EXISTS")?;
            }
        }
    }
    ensure(won.len() <= 1, "16 creates of one id for 16 keys", "one that wins", format!("{won:?}"))?;
    // The winner may have been put out by another before it heard: the session is there all the same, with one key.
    let upload = super::state(&driver, &id).await?;
    let sent = "GetUpload after 16 creates of one id: the winner's key";
    crate::verdict::equal(sent, &won.first().unwrap_or(&upload.key), &&upload.key)?;
    drop(super::resume(&driver, &id, 2).await?);
    Ok(())
}

async fn commits_to_one_key(bed: &Bed) -> Verdict {
    let contents: Vec<_> = (0..16).map(|number| pattern(50_000, number)).collect();
    super::race_of_commits(bed, &[bed.driver().await], &bed.key("one"), &contents).await
}

async fn a_put_and_a_commit(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    for round in 0..8 {
        let key = bed.key(&format!("k{round}"));
        let mut writer = create(&driver, &bed.upload_id(), &key).await?;
        writer.chunk("commit").await;
        let (put, commit) = tokio::join!(driver.put_new(&key, "put"), writer.commit());
        let won = (put.is_ok(), commit.is_ok());
        ensure(
            won.0 != won.1,
            "a Put with if_absent and a commit at once",
            "one that wins",
            format!("{won:?}"),
        )?;
        let wanted: &[u8] = if won.0 { b"put" } else { b"commit" };
        same_bytes("Get: what the winner wrote", wanted, &answered("Get", driver.get_key(&key).await)?.1)?;
    }
    Ok(())
}

async fn a_delete_and_a_commit(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    for round in 0..8 {
        let (key, id) = (bed.key(&format!("k{round}")), bed.upload_id());
        let mut writer = create(&driver, &id, &key).await?;
        writer.chunk("commit").await;
        let (deleted, commit) = tokio::join!(driver.delete_key(&key, None), writer.commit());
        answered("WriteCommit beside a Delete", commit)?;
        let deleted = answered("Delete beside a commit", deleted)?.existed;
        let there = driver.stat_key(&key).await.is_ok();
        ensure(
            there != deleted,
            "a Delete and a commit at once",
            "an object, unless the Delete says that it existed",
            format!("existed = {deleted}, object there = {there}"),
        )?;
        let upload = super::state(&driver, &id).await?;
        crate::verdict::equal("GetUpload: state", &v1::UploadState::Committed, &upload.state())?;
    }
    Ok(())
}
