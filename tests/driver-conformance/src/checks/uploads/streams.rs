//! Chunks, and the ends of streams (contract clauses U6, U7, U11).

use std::time::Duration;

use bytes::Bytes;
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::write_stream_request::Msg;
use tonic::Code;

use super::{create, ends_with, is_open_at, pattern, resume, state};
use crate::bed::Bed;
use crate::call::{Said, answered};
use crate::check;
use crate::check::Check;
use crate::connection::Connection;
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};
use crate::writer::{self, Writer, fence};

pub(super) const CHECKS: &[Check] = &[
    check!("stream.chunks-of-every-size", ["U6", "U12"], [], chunks_of_every_size),
    check!("stream.many-tiny-chunks", ["U6"], [], many_tiny_chunks),
    check!("stream.empty-chunk", ["U6"], [], empty_chunk),
    check!("stream.gap", ["U6"], [], gap),
    check!("stream.overlap", ["U6"], [], overlap),
    check!("stream.from-zero-again", ["U6"], [], from_zero_again),
    check!("stream.mark-elsewhere", ["U6"], [], mark_elsewhere),
    check!("stream.chunk-of-the-largest-size", ["U7"], [], chunk_of_the_largest_size),
    check!("stream.chunk-too-large", ["U7"], [], chunk_too_large),
    check!("stream.damaged-chunk", ["U7"], [Crc32c], damaged_chunk),
    check!("stream.chunk-with-its-checksum", ["U7"], [Crc32c], chunk_with_its_checksum),
    check!("stream.empty-message", ["U1"], [], empty_message),
    check!("stream.second-open", ["U1"], [], second_open),
    check!("stream.end-without-commit", ["U11"], [], end_without_commit),
    check!("stream.cancelled", ["U11", "D3"], [], cancelled),
    check!("stream.connection-lost", ["U11"], [], connection_lost),
    check!(
        "stream.bytes-behind-the-mark-are-forgotten",
        ["U3", "U11"],
        [],
        bytes_behind_the_mark_are_forgotten
    ),
    check!("stream.offset-mismatch-keeps-the-session", ["U6", "U11"], [], offset_mismatch_keeps_the_session),
    check!("stream.no-progress-unasked", ["U22"], [], no_progress_unasked),
    check!("stream.progress-never-shrinks", ["U22"], [], progress_never_shrinks),
];

/// How long a driver may take to see that a connection is gone.
const NOTICE: Duration = Duration::from_millis(300);

/// 100 bytes, flushed.
async fn begun(bed: &Bed, id: &str, name: &str) -> Verdict<Writer> {
    let mut writer = create(&bed.driver().await, id, &bed.key(name)).await?;
    writer.chunk(pattern(100, 1)).await;
    answered("WriteMark with flush at 100", writer.flush(b"hundred").await)?;
    Ok(writer)
}

/// Enough that a driver whose backend is slow finds something to tell; one that is fast passes without a word.
const TOLD: usize = 24 * 1024 * 1024;

async fn no_progress_unasked(bed: &Bed) -> Verdict {
    written_and_committed(bed, false).await
}

async fn progress_never_shrinks(bed: &Bed) -> Verdict {
    written_and_committed(bed, true).await
}

/// The writer holds what it is told against what it asked for.
async fn written_and_committed(bed: &Bed, progress: bool) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let open = v1::WriteOpen { progress, ..writer::create(&id, &key, fence(1), b"") };
    let mut writer = answered("WriteOpen, create", driver.open_upload(open).await)?;
    writer.chunks(&pattern(TOLD, 3), bed.chunk()).await;
    answered("WriteMark with flush", writer.flush(b"all").await)?;
    answered("WriteCommit", writer.commit().await).map(drop)
}

async fn chunks_of_every_size(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let most = bed.chunk();
    let sizes = [1, 2, 3, 4095, 4096, 4097, 65_535, 65_536, 65_537, most - 1, most, 1, most, 7];
    let content = pattern(sizes.iter().sum(), 2);
    let mut writer = create(&driver, &id, &key).await?;
    let mut at = 0;
    for size in sizes {
        writer.chunk(Bytes::copy_from_slice(&content[at..at + size])).await;
        at += size;
    }
    answered("WriteCommit", writer.commit().await)?;
    let read = answered("ReadStream", driver.read_key(&key).await)?;
    same_bytes("ReadStream of what came in chunks of 14 sizes", &content, &read)
}

async fn many_tiny_chunks(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let content = pattern(1500, 3);
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunks(&content, 1).await;
    answered("WriteCommit after 1500 chunks of one byte", writer.commit().await)?;
    same_bytes("Get", &content, &answered("Get", driver.get_key(&key).await)?.1)
}

async fn empty_chunk(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    writer.chunk("ab").await;
    writer.chunk("").await;
    writer.chunk("c").await;
    answered("WriteCommit after an empty chunk", writer.commit().await)?;
    same_bytes("Get", b"abc", &answered("Get", driver.get_key(&key).await)?.1)
}

async fn refused_chunk(
    bed: &Bed,
    name: &str,
    chunk: v1::WriteChunk,
    code: Code,
    reason: &str,
) -> Verdict<Said> {
    let id = bed.upload_id();
    let mut writer = begun(bed, &id, name).await?;
    let sent =
        format!("a chunk of {} bytes at offset {}, where 100 are expected", chunk.data.len(), chunk.offset);
    writer.send(Msg::Chunk(chunk)).await;
    let said = ends_with(&mut writer, &sent, code, reason).await?;
    let driver = bed.driver().await;
    is_open_at(&driver, &id, &sent, 100, b"hundred").await?;
    let mut writer = resume(&driver, &id, 2).await?;
    answered("WriteCommit after it", writer.commit_at(100, b"").await)?;
    let read = answered("ReadStream", driver.read_key(&bed.key(name)).await)?;
    same_bytes(format!("ReadStream after {sent}"), &pattern(100, 1), &read)?;
    Ok(said)
}

async fn wrong_offset(bed: &Bed, offset: u64) -> Verdict {
    let chunk = v1::WriteChunk { offset, data: "bad".into(), crc32c: None };
    let said = refused_chunk(bed, "a", chunk, Code::OutOfRange, "OFFSET_MISMATCH").await?;
    equal(
        format!("a chunk at {offset}: metadata `received` and `durable`"),
        &(Some(100), Some(100)),
        &(said.number("received"), said.number("durable")),
    )
}

async fn gap(bed: &Bed) -> Verdict {
    wrong_offset(bed, 101).await
}

async fn overlap(bed: &Bed) -> Verdict {
    wrong_offset(bed, 99).await
}

async fn from_zero_again(bed: &Bed) -> Verdict {
    wrong_offset(bed, 0).await
}

async fn mark_elsewhere(bed: &Bed) -> Verdict {
    let id = bed.upload_id();
    for (counter, offset) in [(1, 99), (2, 101)] {
        let mut writer = if counter == 1 {
            begun(bed, &id, "a").await?
        } else {
            resume(&bed.driver().await, &id, counter).await?
        };
        let mark = v1::WriteMark { offset, bookmark: "bad".into(), flush: true };
        writer.send(Msg::Mark(mark)).await;
        let sent = format!("a mark at {offset}, where 100 bytes were received");
        ends_with(&mut writer, &sent, Code::OutOfRange, "OFFSET_MISMATCH").await?;
        is_open_at(&bed.driver().await, &id, &sent, 100, b"hundred").await?;
    }
    Ok(())
}

async fn chunk_of_the_largest_size(bed: &Bed) -> Verdict {
    let content = pattern(bed.chunk(), 4);
    super::write(bed, &bed.key("a"), &content).await?;
    let read = answered("ReadStream", bed.driver().await.read_key(&bed.key("a")).await)?;
    same_bytes("ReadStream of one chunk of the largest size", &content, &read)
}

async fn chunk_too_large(bed: &Bed) -> Verdict {
    let chunk = v1::WriteChunk { offset: 100, data: vec![1; bed.chunk() + 1].into(), crc32c: None };
    refused_chunk(bed, "a", chunk, Code::FailedPrecondition, "TOO_LARGE").await.map(drop)
}

async fn damaged_chunk(bed: &Bed) -> Verdict {
    let data = pattern(5000, 5);
    let crc32c = Some(crc32c::crc32c(&data) ^ 1);
    let chunk = v1::WriteChunk { offset: 100, data: data.into(), crc32c };
    refused_chunk(bed, "a", chunk, Code::DataLoss, "CHECKSUM_MISMATCH").await.map(drop)
}

async fn chunk_with_its_checksum(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let content = pattern(5000, 6);
    let mut writer = create(&driver, &id, &key).await?;
    let crc32c = Some(crc32c::crc32c(&content));
    writer.send(Msg::Chunk(v1::WriteChunk { offset: 0, data: content.clone().into(), crc32c })).await;
    answered("WriteCommit after a chunk with its crc32c", writer.commit_at(5000, b"").await)?;
    same_bytes("Get", &content, &answered("Get", driver.get_key(&key).await)?.1)
}

async fn empty_message(bed: &Bed) -> Verdict {
    let id = bed.upload_id();
    let mut writer = begun(bed, &id, "a").await?;
    writer.send_raw(v1::WriteStreamRequest { msg: None }).await;
    let sent = "a message with its oneof unset";
    ends_with(&mut writer, sent, Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD").await?;
    is_open_at(&bed.driver().await, &id, sent, 100, b"hundred").await
}

async fn second_open(bed: &Bed) -> Verdict {
    let id = bed.upload_id();
    let mut writer = begun(bed, &id, "a").await?;
    writer.send(Msg::Open(writer::resume(&id, fence(2)))).await;
    let sent = "a second open in one stream";
    ends_with(&mut writer, sent, Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD").await?;
    is_open_at(&bed.driver().await, &id, sent, 100, b"hundred").await
}

/// OPEN at a mark, and the bytes before it are those that were sent.
async fn goes_on(bed: &Bed, id: &str, name: &str) -> Verdict {
    let driver = bed.driver().await;
    let mut writer = resume(&driver, id, 2).await?;
    let content = [pattern(100, 1), b"more".to_vec()].concat();
    ensure(
        writer.offset == 100,
        "resume of a session whose only mark is at 100",
        "durable = 100",
        writer.offset,
    )?;
    writer.chunk("more").await;
    answered("WriteCommit", writer.commit().await)?;
    let read = answered("ReadStream", driver.read_key(&bed.key(name)).await)?;
    same_bytes("ReadStream of a session that was gone on with", &content, &read)
}

async fn end_without_commit(bed: &Bed) -> Verdict {
    let id = bed.upload_id();
    let writer = begun(bed, &id, "a").await?;
    let closed = writer.close().await;
    closed.map_err(|said| Failure::new("the end of a stream without a commit", "OK", said))?;
    is_open_at(&bed.driver().await, &id, "the end of its stream", 100, b"hundred").await?;
    goes_on(bed, &id, "a").await
}

async fn cancelled(bed: &Bed) -> Verdict {
    let id = bed.upload_id();
    drop(begun(bed, &id, "a").await?);
    goes_on(bed, &id, "a").await
}

async fn connection_lost(bed: &Bed) -> Verdict {
    let id = bed.upload_id();
    let (other, cut) = Connection::dial_to_cut(&bed.target.endpoint, bed.target.trusted).await?;
    let mut writer = create(&other, &id, &bed.key("a")).await?;
    writer.chunk(pattern(100, 1)).await;
    answered("WriteMark with flush", writer.flush(b"hundred").await)?;
    writer.chunk("lost, or not").await;
    cut.now().await;
    // Only now: a stream that is dropped on a connection that stands is ended in order.
    drop((writer, other));
    tokio::time::sleep(NOTICE).await;
    is_open_at(&bed.driver().await, &id, "the loss of its connection", 100, b"hundred").await?;
    goes_on(bed, &id, "a").await
}

async fn bytes_behind_the_mark_are_forgotten(bed: &Bed) -> Verdict {
    let id = bed.upload_id();
    let mut writer = begun(bed, &id, "a").await?;
    writer.chunk(vec![0xee; 50_000]).await;
    let _ = writer.close().await;
    goes_on(bed, &id, "a").await
}

async fn offset_mismatch_keeps_the_session(bed: &Bed) -> Verdict {
    let id = bed.upload_id();
    let mut writer = begun(bed, &id, "a").await?;
    writer.chunk(vec![0xee; 10]).await;
    writer.send(Msg::Chunk(v1::WriteChunk { offset: 5, data: "x".into(), crc32c: None })).await;
    let said = ends_with(&mut writer, "a chunk at offset 5", Code::OutOfRange, "OFFSET_MISMATCH").await?;
    equal("a chunk at 5 after 110: metadata `received`", &Some(110), &said.number("received"))?;
    equal("a chunk at 5: metadata `durable`", &Some(100), &said.number("durable"))?;
    let upload = state(&bed.driver().await, &id).await?;
    equal("GetUpload: durable", &100, &upload.durable)?;
    goes_on(bed, &id, "a").await
}
