//! ReadStream (contract section R).

use futures_util::future::try_join_all;
use longshore_driver_proto::v1;
use tonic::Code;

use super::uploads::{pattern, write};
use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::connection::Windows;
use crate::reader::{self, Read};
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};

pub(super) const CHECKS: &[Check] = &[
    check!("read.whole", ["R13"], [], whole),
    check!("read.empty-object", ["R12", "R13"], [], empty_object),
    check!("read.object-comes-first-and-once", ["R11"], [], object_comes_first_and_once),
    check!("read.pieces-follow-each-other", ["R11", "R17"], [], pieces_follow_each_other),
    check!("read.pieces-are-not-tiny", ["T7", "R17"], [], pieces_are_not_tiny),
    check!("read.checksums", ["R17"], [], checksums),
    check!("read.offsets", ["R12", "R11"], [RangeRead], offsets),
    check!("read.lengths", ["R12", "R13"], [RangeRead], lengths),
    check!("read.at-the-end", ["R12"], [RangeRead], at_the_end),
    check!("read.past-the-end", ["R12"], [RangeRead], past_the_end),
    check!("read.around-every-edge", ["R12", "R11"], [RangeRead], around_every_edge),
    check!("read.largest-offset", ["R12"], [RangeRead], largest_offset),
    check!("read.without-ranges", ["R16"], [], without_ranges),
    check!("read.if-match-on-the-etag", ["R15"], [], if_match_on_the_etag),
    check!("read.if-match-on-a-stale-etag", ["R15"], [], if_match_on_a_stale_etag),
    check!("read.nothing", ["O1", "R13"], [], nothing),
    check!("read.interleaved", ["R11", "R13"], [RangeRead], interleaved),
    check!("read.slowly", ["R18", "R13"], [], slowly),
    check!("read.beside-a-read-that-stands", ["R18"], [], beside_a_read_that_stands),
    check!("read.while-overwritten", ["R14"], [], while_overwritten),
    check!("read.while-deleted", ["R14"], [], while_deleted),
    check!("read.given-up", ["D3"], [], given_up),
    check!("read.at-the-second", ["O2", "R13"], [Second], at_the_second),
];

const SIZE: usize = 1_500_007;

/// An object of [`SIZE`] bytes.
async fn object(bed: &Bed) -> Verdict<(String, Vec<u8>)> {
    let (key, content) = (bed.key("object"), pattern(SIZE, 1));
    write(bed, &key, &content).await?;
    Ok((key, content))
}

async fn read(bed: &Bed, request: v1::ReadStreamRequest) -> Verdict<Read> {
    let sent = format!("ReadStream at {} of {:?} bytes", request.offset, request.length);
    answered(sent, bed.driver().await.read(request).await)
}

async fn whole(bed: &Bed) -> Verdict {
    let (key, content) = object(bed).await?;
    same_bytes("ReadStream", &content, &read(bed, reader::whole(&key)).await?.bytes())
}

async fn empty_object(bed: &Bed) -> Verdict {
    let key = bed.key("empty");
    answered("Put", bed.driver().await.put_key(&key, "").await)?;
    let read = read(bed, reader::whole(&key)).await?;
    equal("ReadStream of an empty object: bytes", &0, &read.bytes().len())?;
    let object = read
        .object()
        .ok_or_else(|| Failure::new("ReadStream of an empty object", "the object", "none").of("R11"))?;
    equal("ReadStream of an empty object: size", &0, &object.size)
}

async fn object_comes_first_and_once(bed: &Bed) -> Verdict {
    let (key, _) = object(bed).await?;
    let read = read(bed, reader::whole(&key)).await?;
    let object =
        read.object().ok_or_else(|| Failure::new("ReadStream", "the object in the first message", "none"))?;
    equal("ReadStream: the object's key and size", &(&key, SIZE as u64), &(&object.key, object.size))?;
    let later = read.messages.iter().skip(1).filter(|message| message.object.is_some()).count();
    equal("ReadStream: later messages with an object", &0, &later)
}

async fn pieces_follow_each_other(bed: &Bed) -> Verdict {
    let (key, _) = object(bed).await?;
    let read = read(bed, reader::whole(&key)).await?;
    let mut at = 0;
    for message in read.messages.iter().filter(|message| !message.data.is_empty()) {
        equal("ReadStream: offset of the next piece", &at, &message.offset)?;
        at += message.data.len() as u64;
        ensure(
            message.data.len() <= bed.chunk(),
            "ReadStream",
            format!("pieces of at most max_chunk_bytes, {}", bed.chunk()),
            format!("one of {}", message.data.len()),
        )
        .map_err(|failure| failure.of("R17"))?;
    }
    equal("ReadStream: bytes", &(SIZE as u64), &at)
}

async fn pieces_are_not_tiny(bed: &Bed) -> Verdict {
    let (key, _) = object(bed).await?;
    let read = read(bed, reader::whole(&key)).await?;
    let pieces = read.messages.iter().filter(|message| !message.data.is_empty()).count();
    ensure(
        pieces <= SIZE / (64 * 1024) + 2,
        format!("ReadStream of {SIZE} bytes"),
        "pieces of 64 KiB or more",
        format!("{pieces} pieces"),
    )
}

async fn checksums(bed: &Bed) -> Verdict {
    let (key, _) = object(bed).await?;
    let read = read(bed, reader::whole(&key)).await?;
    for message in &read.messages {
        if let Some(sum) = message.crc32c {
            equal("ReadStream: crc32c of a piece", &crc32c::crc32c(&message.data), &sum)?;
        }
    }
    Ok(())
}

async fn ranges(bed: &Bed, wanted: &[(usize, Option<usize>)]) -> Verdict {
    let (key, content) = object(bed).await?;
    for (offset, length) in wanted {
        let request = reader::range(&key, *offset as u64, length.map(|length| length as u64));
        let read = read(bed, request).await?;
        let end = length.map_or(SIZE, |length| SIZE.min(offset + length));
        let sent = format!("ReadStream at {offset} of {length:?} bytes, of {SIZE}");
        same_bytes(&sent, &content[*offset..end], &read.bytes())?;
        if let Some(first) = read.messages.iter().find(|message| !message.data.is_empty()) {
            equal(format!("{sent}: offset of the first piece"), &(*offset as u64), &first.offset)
                .map_err(|failure| failure.of("R11"))?;
        }
        let size = read.object().map(|object| object.size);
        equal(format!("{sent}: size of the object"), &Some(SIZE as u64), &size)?;
    }
    Ok(())
}

async fn offsets(bed: &Bed) -> Verdict {
    ranges(bed, &[(0, None), (1, None), (SIZE / 2, None), (SIZE - 1, None), (SIZE - 100_000, None)]).await
}

async fn lengths(bed: &Bed) -> Verdict {
    ranges(
        bed,
        &[
            (0, Some(1)),
            (0, Some(0)),
            (5, Some(0)),
            (0, Some(SIZE)),
            (0, Some(SIZE + 1)),
            (7, Some(SIZE)),
            (SIZE - 1, Some(1)),
            (SIZE - 1, Some(9)),
            (1000, Some(500_000)),
        ],
    )
    .await
}

async fn at_the_end(bed: &Bed) -> Verdict {
    ranges(bed, &[(SIZE, None), (SIZE, Some(0)), (SIZE, Some(10))]).await
}

async fn past_the_end(bed: &Bed) -> Verdict {
    let (key, _) = object(bed).await?;
    let read = bed.driver().await.read(reader::range(&key, SIZE as u64 + 1, None)).await;
    let said = refused("ReadStream one byte behind the end", read, Code::OutOfRange, "OFFSET_PAST_END")?;
    equal("ReadStream behind the end: metadata `size`", &Some(SIZE as u64), &said.number("size"))
}

async fn around_every_edge(bed: &Bed) -> Verdict {
    let piece = bed.chunk();
    let edges = (1..=SIZE / piece).flat_map(|number| {
        let edge = number * piece;
        [(edge - 1, Some(2)), (edge, Some(1)), (edge - 1, Some(1)), (edge - 1, Some(piece + 2))]
    });
    ranges(bed, &edges.collect::<Vec<_>>()).await
}

async fn largest_offset(bed: &Bed) -> Verdict {
    let (key, content) = object(bed).await?;
    let read_all = read(bed, reader::range(&key, 0, Some(u64::MAX))).await?;
    same_bytes("ReadStream at 0 of 2^64-1 bytes", &content, &read_all.bytes())?;
    let last = read(bed, reader::range(&key, 10, Some(u64::MAX))).await?;
    same_bytes("ReadStream at 10 of 2^64-1 bytes", &content[10..], &last.bytes())?;
    let past = bed.driver().await.read(reader::range(&key, u64::MAX, None)).await;
    refused("ReadStream at 2^64-1", past, Code::OutOfRange, "OFFSET_PAST_END").map(drop)
}

/// What does not rest on the capability works without it.
async fn without_ranges(bed: &Bed) -> Verdict {
    let (key, content) = object(bed).await?;
    let request = v1::ReadStreamRequest { key, offset: 0, length: None, if_match: String::new() };
    same_bytes("ReadStream at 0 without a length", &content, &read(bed, request).await?.bytes())
}

async fn if_match_on_the_etag(bed: &Bed) -> Verdict {
    let (key, content) = object(bed).await?;
    let etag = answered("Stat", bed.driver().await.stat_key(&key).await)?.etag;
    let request = v1::ReadStreamRequest { if_match: etag, ..reader::whole(&key) };
    same_bytes("ReadStream with the etag", &content, &read(bed, request).await?.bytes())
}

async fn if_match_on_a_stale_etag(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    let old = answered("Put", driver.put_key(&key, "one").await)?;
    answered("Put", driver.put_key(&key, "two").await)?;
    let request = v1::ReadStreamRequest { if_match: old.etag, ..reader::whole(&key) };
    let read = driver.read(request).await;
    refused("ReadStream with a stale etag", read, Code::FailedPrecondition, "PRECONDITION_FAILED").map(drop)
}

async fn nothing(bed: &Bed) -> Verdict {
    let read = bed.driver().await.read(reader::whole(&bed.key("nothing"))).await;
    refused("ReadStream of nothing", read, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn interleaved(bed: &Bed) -> Verdict {
    let (key, content) = &object(bed).await?;
    try_join_all((0..16_usize).map(|number| async move {
        for round in 0..3 {
            let offset = (number * 104_729 + round * 15_485) % SIZE;
            let length = 1 + (number * 65_537 + round) % 400_000;
            let read = read(bed, reader::range(key, offset as u64, Some(length as u64))).await?;
            let end = SIZE.min(offset + length);
            same_bytes(
                format!("ReadStream at {offset} of {length}, one of 16"),
                &content[offset..end],
                &read.bytes(),
            )?;
        }
        Ok(())
    }))
    .await
    .map(drop)
}

async fn slowly(bed: &Bed) -> Verdict {
    let (key, content) = object(bed).await?;
    let driver = bed.connect(Windows { stream: 65_535, connection: 1 << 20 }).await?;
    let mut stream = answered("ReadStream", driver.open_read(reader::whole(&key)).await)?;
    let mut read = Read::default();
    while let Some(message) = answered("the next piece of a slow read", reader::next(&mut stream).await)? {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        read.messages.push(message);
    }
    same_bytes("ReadStream, slowly, with windows of 64 KiB", &content, &read.bytes())
}

async fn beside_a_read_that_stands(bed: &Bed) -> Verdict {
    let (key, content) = object(bed).await?;
    let driver = bed.driver().await;
    let mut standing = Vec::new();
    for _ in 0..4 {
        standing.push(answered("ReadStream that nobody reads", driver.open_read(reader::whole(&key)).await)?);
    }
    same_bytes(
        "ReadStream beside four that stand",
        &content,
        &answered("ReadStream", driver.read_key(&key).await)?,
    )?;
    answered("Put beside them", driver.put_key(&bed.key("b"), "x").await)?;
    for mut stream in standing {
        let mut read = Read::default();
        while let Some(message) = answered("a read that stood", reader::next(&mut stream).await)? {
            read.messages.push(message);
        }
        same_bytes("a read that stood for a while", &content, &read.bytes())?;
    }
    Ok(())
}

/// Of a content larger than what lies in flow control, so that the end is read after the change.
async fn changed(bed: &Bed, sent: &str, change: impl AsyncFnOnce(&str) -> Verdict) -> Verdict {
    let (key, old) = (bed.key("large"), pattern(8 << 20, 7));
    write(bed, &key, &old).await?;
    let driver = bed.connect(Windows { stream: 65_535, connection: 1 << 20 }).await?;
    let mut stream = answered("ReadStream", driver.open_read(reader::whole(&key)).await)?;
    let mut read = Read::default();
    if let Some(message) = answered("the first piece", reader::next(&mut stream).await)? {
        read.messages.push(message);
    }
    change(&key).await?;
    loop {
        match reader::next(&mut stream).await {
            Ok(Some(message)) => read.messages.push(message),
            // The old content, whole, or an error.
            Ok(None) => return same_bytes(sent, &old, &read.bytes()),
            Err(_) => {
                let got = read.bytes();
                return same_bytes(sent, &old[..got.len().min(old.len())], &got);
            }
        }
    }
}

async fn while_overwritten(bed: &Bed) -> Verdict {
    changed(bed, "ReadStream of an object that is overwritten meanwhile: the old bytes", async |key| {
        for round in 0..3 {
            answered("Put over it", bed.driver().await.put_key(key, pattern(3 << 20, 50 + round)).await)?;
        }
        Ok(())
    })
    .await
}

async fn while_deleted(bed: &Bed) -> Verdict {
    changed(bed, "ReadStream of an object that is deleted meanwhile: the old bytes", async |key| {
        answered("Delete", bed.driver().await.delete_key(key, None).await)?;
        answered("Put of another", bed.driver().await.put_key(key, pattern(3 << 20, 60)).await).map(drop)
    })
    .await
}

async fn given_up(bed: &Bed) -> Verdict {
    let (key, content) = object(bed).await?;
    let driver = bed.driver().await;
    for _ in 0..50 {
        drop(answered("ReadStream", driver.open_read(reader::whole(&key)).await)?);
    }
    let read = answered("ReadStream after 50 that were given up", driver.read_key(&key).await)?;
    same_bytes("ReadStream after 50 that were given up", &content, &read)
}

async fn at_the_second(bed: &Bed) -> Verdict {
    let (key, content) = object(bed).await?;
    let read = answered("ReadStream at the second", bed.second()?.read_key(&key).await)?;
    same_bytes("ReadStream at the second", &content, &read)
}
