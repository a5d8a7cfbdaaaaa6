//! Upload sessions (contract section U).

mod commits;
mod crashes;
mod ends;
mod fences;
mod marks;
mod opens;
mod shared;
mod storms;
mod streams;

use longshore_driver_proto::v1;
use tonic::Code;

use crate::bed::Bed;
use crate::call::{Said, answered, refused};
use crate::check::Check;
use crate::connection::Connection;
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};
use crate::writer::{Writer, fence};

/// In the order of the contract.
pub(super) fn checks() -> Vec<Check> {
    [
        opens::CHECKS,
        streams::CHECKS,
        marks::CHECKS,
        commits::CHECKS,
        fences::CHECKS,
        ends::CHECKS,
        crashes::CHECKS,
        shared::CHECKS,
        storms::CHECKS,
    ]
    .concat()
}

/// Bytes that differ from place to place, so that a piece in the wrong place shows.
pub(super) fn pattern(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed).wrapping_mul(2_654_435_761).wrapping_add(12345);
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// Writes an object by a session, from create to end.
pub(super) async fn write(bed: &Bed, key: &str, content: &[u8]) -> Verdict<v1::Upload> {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, key).await?;
    writer.chunks(content, bed.chunk()).await;
    let upload = answered(format!("WriteCommit of {} bytes", content.len()), writer.commit().await)?;
    answered("EndUpload of a committed session", driver.end(&id, fence(1)).await)?;
    Ok(upload)
}

/// A key that has an object is refused to a new session, at once or at its commit.
pub(super) async fn taken_key_is_refused(driver: &Connection, id: &str, key: &str) -> Verdict {
    let refused_as_taken = |sent, said| refused(sent, said, Code::AlreadyExists, "KEY_EXISTS").map(drop);
    match driver.create_upload(id, key, fence(1)).await {
        Err(said) => return refused_as_taken("create for a key that has an object", Err(said)),
        Ok(mut writer) => {
            refused_as_taken("WriteCommit for a key that has an object", writer.commit().await)?;
        }
    }
    answered("EndUpload", driver.end(id, fence(1)).await).map(drop)
}

/// A new session of writer 1.
async fn create(driver: &Connection, id: &str, key: &str) -> Verdict<Writer> {
    answered("WriteOpen, create", driver.create_upload(id, key, fence(1)).await)
}

/// The same session, by another writer.
async fn resume(driver: &Connection, id: &str, counter: u64) -> Verdict<Writer> {
    answered("WriteOpen, resume", driver.resume_upload(id, fence(counter)).await)
}

/// The durable state.
async fn state(driver: &Connection, id: &str) -> Verdict<v1::Upload> {
    answered("GetUpload", driver.upload(id).await)
}

/// As many sessions as there are contents, by turns at these instances, commit to one key at once: exactly one wins, and
/// what it wrote is there.
async fn race_of_commits(bed: &Bed, drivers: &[Connection], key: &str, contents: &[Vec<u8>]) -> Verdict {
    let mut writers = Vec::new();
    for number in 0..contents.len() {
        writers.push(create(&drivers[number % drivers.len()], &bed.upload_id(), key).await?);
    }
    let mut race = tokio::task::JoinSet::new();
    for ((number, content), mut writer) in contents.iter().cloned().enumerate().zip(writers) {
        race.spawn(async move {
            writer.chunk(content).await;
            (number, writer.commit().await.map(drop))
        });
    }
    let mut won = Vec::new();
    for (number, outcome) in race.join_all().await {
        match outcome {
            Ok(()) => won.push(number),
            Err(said) => {
                refused::<()>("WriteCommit in a race", Err(said), Code::AlreadyExists, "KEY_EXISTS")?;
            }
        }
    }
    let sent = format!("{} commits to one key at {} instances", contents.len(), drivers.len());
    ensure(won.len() == 1, sent, "one that wins", format!("{won:?}"))?;
    let (_, content) = answered("Get", drivers[0].get_key(key).await)?;
    same_bytes("Get: what the winner wrote", &contents[won[0]], &content)
}

/// What the stream ends with must be this.
async fn ends_with(writer: &mut Writer, sent: &str, code: Code, reason: &str) -> Verdict<Said> {
    let said = writer.fails().await.map_err(|got| Failure::new(sent, format!("{code:?} / {reason}"), got))?;
    refused::<()>(sent, Err(said), code, reason)
}

/// The session is OPEN at this offset with this bookmark.
async fn is_open_at(driver: &Connection, id: &str, sent: &str, durable: u64, bookmark: &[u8]) -> Verdict {
    let upload = state(driver, id).await?;
    let got = (upload.state(), upload.durable, upload.bookmark.to_vec());
    equal(
        format!("GetUpload after {sent}: state, durable, bookmark"),
        &(v1::UploadState::Open, durable, bookmark.to_vec()),
        &got,
    )
}
