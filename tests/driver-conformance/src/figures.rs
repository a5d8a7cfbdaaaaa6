//! How fast a driver is: told at the end of a run, and not judged.

use std::time::Instant;

use bytes::Bytes;
use futures_util::future::try_join_all;

use crate::bed::Bed;
use crate::call::answered;
use crate::reader;
use crate::runner::Run;
use crate::verdict::{Failure, Verdict};
use crate::writer::fence;

const MIB: usize = 1024 * 1024;
/// Of the object that is written and read.
const LARGE: usize = 64 * MIB;
const SMALL: usize = 1024;
const SMALLS: usize = 500;
const SESSIONS: usize = 16;
const EACH: usize = 4 * MIB;

/// One line for each figure.
///
/// # Errors
/// When a call fails.
pub async fn measure(run: &Run) -> Verdict<Vec<String>> {
    let bed = run.bed("figures").await?;
    let data = Bytes::from(vec![0x5a; LARGE]);
    let mut lines = Vec::new();
    let begin = Instant::now();
    write(&bed, "large", &data).await?;
    lines.push(rate("write, one session", LARGE, begin));
    let begin = Instant::now();
    let read = answered("ReadStream", bed.driver().await.read(reader::whole(&bed.key("large"))).await)?;
    let length: usize = read.messages.iter().map(|message| message.data.len()).sum();
    if length != LARGE {
        return Err(Failure::new("ReadStream of 64 MiB", format!("{LARGE} bytes"), length).of("R13"));
    }
    lines.push(rate("read, one stream", LARGE, begin));
    drop(read);
    lines.extend(small_ones(&bed).await?);
    let begin = Instant::now();
    let part = data.slice(..EACH);
    try_join_all((0..SESSIONS).map(|number| {
        let (bed, part) = (&bed, part.clone());
        async move { write(bed, &format!("session-{number}"), &part).await }
    }))
    .await?;
    lines.push(rate(&format!("write, {SESSIONS} sessions at once"), SESSIONS * EACH, begin));
    Ok(lines)
}

async fn write(bed: &Bed, name: &str, data: &Bytes) -> Verdict {
    let id = bed.upload_id();
    let driver = bed.driver().await;
    let mut writer = answered("WriteOpen", driver.create_upload(&id, &bed.key(name), fence(1)).await)?;
    let mut rest = data.clone();
    while !rest.is_empty() {
        writer.chunk(rest.split_to(rest.len().min(bed.chunk()))).await;
    }
    answered("WriteCommit", writer.commit().await)?;
    answered("EndUpload", driver.end(&id, fence(1)).await).map(drop)
}

async fn small_ones(bed: &Bed) -> Verdict<[String; 3]> {
    let driver = bed.driver().await;
    let content = Bytes::from(vec![b'x'; SMALL]);
    let begin = Instant::now();
    for number in 0..SMALLS {
        answered("Put", driver.put_key(&bed.key(&format!("small/{number}")), content.clone()).await)?;
    }
    let puts = per_second("put of 1 KiB", SMALLS, begin);
    let begin = Instant::now();
    for number in 0..SMALLS {
        answered("Get", driver.get_key(&bed.key(&format!("small/{number}"))).await)?;
    }
    let gets = per_second("get of 1 KiB", SMALLS, begin);
    let begin = Instant::now();
    let request = longshore_driver_proto::v1::ListRequest {
        prefix: bed.key("small/"),
        recursive: true,
        ..Default::default()
    };
    let page = answered("List", driver.list(request).await)?;
    Ok([puts, gets, per_second("list, entries", page.entries.len(), begin)])
}

fn rate(what: &str, bytes: usize, begin: Instant) -> String {
    format!("{what:<28} {:>9.1} MiB/s", bytes as f64 / MIB as f64 / begin.elapsed().as_secs_f64())
}

fn per_second(what: &str, count: usize, begin: Instant) -> String {
    format!("{what:<28} {:>9.0} /s", count as f64 / begin.elapsed().as_secs_f64())
}
