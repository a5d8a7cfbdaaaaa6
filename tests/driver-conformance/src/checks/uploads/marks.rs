//! Marks and acks (contract clauses U8 to U10).

use longshore_driver_proto::v1::write_stream_response::Msg as Answer;

use super::{create, is_open_at, pattern, state};
use crate::bed::Bed;
use crate::call::answered;
use crate::check;
use crate::check::Check;
use crate::verdict::{Failure, Verdict, ensure, equal};

pub(super) const CHECKS: &[Check] = &[
    check!("mark.flush-is-acked-where-it-was", ["U9"], [], flush_is_acked_where_it_was),
    check!("mark.flush-sets-offset-and-bookmark", ["U8", "U9"], [], flush_sets_offset_and_bookmark),
    check!("mark.at-zero", ["U8"], [], at_zero),
    check!("mark.last-of-several-at-one-offset", ["U8"], [], last_of_several_at_one_offset),
    check!("mark.without-flush-keeps-pairs", ["U8", "U9"], [], without_flush_keeps_pairs),
    check!("mark.durable-never-shrinks", ["U8", "U9"], [], durable_never_shrinks),
    check!("mark.durable-is-a-mark", ["U8"], [], durable_is_a_mark),
    check!("mark.acks-are-sparse", ["U9", "T7"], [], acks_are_sparse),
    check!("mark.at-the-drivers-multiples", ["U10"], [], at_the_drivers_multiples),
    check!("mark.read-by-others-while-live", ["U8"], [], read_by_others_while_live),
];

async fn flush_is_acked_where_it_was(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    for (round, size) in [1_usize, 70_000, 5, 200_000].into_iter().enumerate() {
        writer.chunks(&pattern(size, 1), bed.chunk()).await;
        let ack = answered("WriteMark with flush", writer.flush(&[round as u8]).await)?;
        equal(
            format!("WriteMark with flush at {}: ack received, durable", writer.offset),
            &(writer.offset, writer.offset),
            &(ack.received, ack.durable),
        )?;
    }
    Ok(())
}

async fn flush_sets_offset_and_bookmark(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    for number in 1..=5_u64 {
        writer.chunk(pattern(1000, 2)).await;
        let bookmark = format!("mark {number}");
        answered("WriteMark with flush", writer.flush(bookmark.as_bytes()).await)?;
        is_open_at(&driver, &id, "a flush", number * 1000, bookmark.as_bytes()).await?;
    }
    Ok(())
}

async fn at_zero(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    answered("WriteMark with flush at 0", writer.flush(b"still nothing").await)?;
    is_open_at(&driver, &id, "a flush at 0", 0, b"still nothing").await
}

async fn last_of_several_at_one_offset(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunk("abc").await;
    writer.mark(b"one", false).await;
    writer.mark(b"two", false).await;
    answered("the third mark at 3, with flush", writer.flush(b"three").await)?;
    is_open_at(&driver, &id, "three marks at one offset", 3, b"three").await?;
    answered("a fourth", writer.flush(b"").await)?;
    is_open_at(&driver, &id, "a fourth, with an empty bookmark", 3, b"").await
}

/// Whatever is durable, offset and bookmark belong together.
async fn without_flush_keeps_pairs(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    for _ in 0..20 {
        writer.chunk(pattern(3000, 3)).await;
        let bookmark = writer.offset.to_string();
        writer.mark(bookmark.as_bytes(), false).await;
        let upload = state(&driver, &id).await?;
        let wanted = if upload.durable == 0 { String::new() } else { upload.durable.to_string() };
        equal(
            format!("GetUpload at {}: bookmark of the durable offset {}", writer.offset, upload.durable),
            &wanted.as_bytes().to_vec(),
            &upload.bookmark.to_vec(),
        )?;
    }
    let _ = writer.close().await;
    let upload = state(&driver, &id).await?;
    let wanted = if upload.durable == 0 { String::new() } else { upload.durable.to_string() };
    equal("GetUpload after the stream: bookmark", &wanted.as_bytes().to_vec(), &upload.bookmark.to_vec())
}

async fn durable_never_shrinks(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    let mut least = 0;
    for round in 0..20 {
        writer.chunk(pattern(2000, 4)).await;
        if round % 3 == 0 {
            least = answered("WriteMark with flush", writer.flush(b"f").await)?.durable;
        } else {
            writer.mark(b"m", false).await;
        }
        let durable = state(&driver, &id).await?.durable;
        ensure(
            durable >= least && durable <= writer.offset,
            format!("GetUpload after an ack of {least}, with {} sent", writer.offset),
            format!("durable from {least} to {}", writer.offset),
            durable,
        )?;
        least = durable;
    }
    Ok(())
}

/// Durable offsets are offsets of marks and nothing else.
async fn durable_is_a_mark(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunk(pattern(1234, 5)).await;
    answered("WriteMark with flush at 1234", writer.flush(b"mark").await)?;
    writer.chunks(&pattern(bed.chunk() * 6, 6), bed.chunk()).await;
    let _ = writer.close().await;
    is_open_at(&driver, &id, "many bytes behind the last mark", 1234, b"mark").await
}

async fn acks_are_sparse(bed: &Bed) -> Verdict {
    const MARKS: usize = 300;
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    for _ in 0..MARKS {
        writer.chunk("0123456789").await;
        writer.mark(b"m", false).await;
    }
    writer.mark(b"end", true).await;
    let (mut acks, mut last) = (0, 0);
    loop {
        let answer = answered("WriteMark with flush after 300 marks", writer.next().await)?;
        let Some(Answer::Ack(ack)) = answer else {
            return Err(Failure::new("WriteMark with flush after 300 marks", "acks", format!("{answer:?}")));
        };
        acks += 1;
        ensure(
            ack.durable >= last && ack.received >= ack.durable,
            "acks in their order",
            format!("durable of at least {last}, and received of at least that"),
            format!("{ack:?}"),
        )?;
        last = ack.durable;
        if last == writer.offset {
            break;
        }
    }
    ensure(
        acks <= MARKS / 2,
        "300 small marks without flush, then one with",
        "few acks: only what makes something durable is acked",
        format!("{acks} acks"),
    )
}

async fn at_the_drivers_multiples(bed: &Bed) -> Verdict {
    let (driver, id, key) = (bed.driver().await, bed.upload_id(), bed.key("a"));
    let mut writer = create(&driver, &id, &key).await?;
    // A driver without a wish takes any.
    let every = match writer.opened.mark_every {
        0 => 100_000,
        every => usize::try_from(every).unwrap_or(usize::MAX).min(16 << 20),
    };
    for number in 1..=3 {
        writer.chunks(&pattern(every, number), bed.chunk()).await;
        writer.mark(&[number], false).await;
    }
    answered("WriteMark with flush", writer.flush(b"end").await)?;
    answered("WriteCommit", writer.commit().await)?;
    let content = [pattern(every, 1), pattern(every, 2), pattern(every, 3)].concat();
    let read = answered("ReadStream", driver.read_key(&key).await)?;
    crate::verdict::same_bytes("ReadStream", &content, &read)
}

async fn read_by_others_while_live(bed: &Bed) -> Verdict {
    let (driver, id) = (bed.driver().await, bed.upload_id());
    let other = bed.connect(crate::connection::Windows::default()).await?;
    let mut writer = create(&driver, &id, &bed.key("a")).await?;
    writer.chunk("abc").await;
    answered("WriteMark with flush", writer.flush(b"three").await)?;
    is_open_at(&other, &id, "a flush, on another connection", 3, b"three").await?;
    writer.chunk("def").await;
    answered("WriteCommit by the writer, who was not disturbed", writer.commit().await).map(drop)
}
