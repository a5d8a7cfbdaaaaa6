//! What is put can be read, whole, and a reader never sees a part of it (contract clauses O1 to O5).

use bytes::Bytes;
use futures_util::future::join_all;
use tonic::Code;

use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};

pub(super) const CHECKS: &[Check] = &[
    check!("object.put-then-get", ["O5", "O4"], [], put_then_get),
    check!("object.put-answers-the-object", ["O5", "O1"], [], put_answers_the_object),
    check!("object.stat-tells-size-and-etag", ["O1"], [], stat_tells_size_and_etag),
    check!("object.stat-of-nothing", ["O1"], [], stat_of_nothing),
    check!("object.get-of-nothing", ["O1", "O4"], [], get_of_nothing),
    check!("object.empty", ["O5", "O4"], [], empty),
    check!("object.any-bytes", ["O4"], [], any_bytes),
    check!("object.largest-put", ["O5", "O4", "H9"], [], largest_put),
    check!("object.put-too-large", ["O5"], [], put_too_large),
    check!("object.get-too-large", ["O4"], [], get_too_large),
    check!("object.get-largest", ["O4"], [], get_largest),
    check!("object.overwrite-by-shorter", ["O5", "O6"], [], overwrite_by_shorter),
    check!("object.etag-names-the-content", ["O3"], [], etag_names_the_content),
    check!("object.etag-stays", ["O3"], [], etag_stays),
    check!("object.same-everywhere", ["O1", "O3"], [], same_everywhere),
    check!("object.put-is-atomic-for-readers", ["O5"], [], put_is_atomic_for_readers),
    check!("object.new-key-is-seen-at-once", ["O2"], [], new_key_is_seen_at_once),
    check!("object.new-key-is-seen-at-the-second", ["O2"], [Second], new_key_is_seen_at_the_second),
    check!("object.siblings-are-left-alone", ["K2", "O5"], [], siblings_are_left_alone),
    check!("object.many-at-once", ["O5"], [], many_at_once),
];

async fn put_then_get(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put of 5 bytes", driver.put_key(&key, "hello").await)?;
    let (object, content) = answered("Get", driver.get_key(&key).await)?;
    same_bytes("Get of what was put", b"hello", &content)?;
    equal("Get: object.key", &key, &object.key)?;
    equal("Get: object.size", &5, &object.size)
}

async fn put_answers_the_object(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    let object = answered("Put of 3 bytes", driver.put_key(&key, "abc").await)?;
    equal("Put: object.key", &key, &object.key)?;
    equal("Put: object.size", &3, &object.size)?;
    let stat = answered("Stat", driver.stat_key(&key).await)?;
    equal("Put and Stat: etag", &stat.etag, &object.etag)
}

async fn stat_tells_size_and_etag(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put", driver.put_key(&key, vec![7; 1000]).await)?;
    let object = answered("Stat", driver.stat_key(&key).await)?;
    equal("Stat: object.key", &key, &object.key)?;
    equal("Stat of 1000 bytes: object.size", &1000, &object.size)?;
    ensure(!object.etag.is_empty(), "Stat", "an etag", "an empty one")
}

async fn stat_of_nothing(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    answered("Put of a neighbour", driver.put_key(&bed.key("ab"), "x").await)?;
    for name in ["a", "abc", "ab-", "deep/er"] {
        let stat = driver.stat_key(&bed.key(name)).await;
        refused(format!("Stat of {name}, beside ab"), stat, Code::NotFound, "KEY_NOT_FOUND")?;
    }
    let folder = driver.stat_key(bed.prefix().trim_end_matches('/')).await;
    refused("Stat of what is only a prefix of keys", folder, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn get_of_nothing(bed: &Bed) -> Verdict {
    let get = bed.driver().await.get_key(&bed.key("nothing")).await;
    refused("Get of a key that was never written", get, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn empty(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("empty"));
    let object = answered("Put of nothing", driver.put_key(&key, "").await)?;
    equal("Put of nothing: size", &0, &object.size)?;
    let (object, content) = answered("Get of an empty object", driver.get_key(&key).await)?;
    equal("Get of an empty object: size", &(0, 0), &(object.size, content.len()))?;
    ensure(!object.etag.is_empty(), "Get of an empty object", "an etag", "none")
        .map_err(|failure| failure.of("O1"))
}

async fn any_bytes(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("bytes"));
    let content: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    answered("Put of all 256 bytes", driver.put_key(&key, content.clone()).await)?;
    let (_, got) = answered("Get", driver.get_key(&key).await)?;
    same_bytes("Get of all 256 bytes", &content, &got)
}

async fn largest_put(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("large"));
    let content = Bytes::from(vec![0xa5; bed.limits().max_inline_bytes.min(4_259_840) as usize]);
    let sent = format!("Put of {} bytes", content.len());
    answered(&sent, driver.put_key(&key, content.clone()).await)?;
    let (_, got) = answered("Get of it", driver.get_key(&key).await)?;
    same_bytes(sent, &content, &got)
}

async fn put_too_large(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("large"));
    let size = bed.limits().max_inline_bytes as usize + 1;
    if size > 5 * 1024 * 1024 - 4096 {
        // No message could carry it (rule R6).
        return Ok(());
    }
    let put = driver.put_key(&key, vec![1; size]).await;
    refused(format!("Put of {size} bytes"), put, Code::FailedPrecondition, "TOO_LARGE")?;
    let stat = driver.stat_key(&key).await;
    refused("Stat after a Put that was refused", stat, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn upload(bed: &Bed, name: &str, size: usize) -> Verdict {
    super::super::uploads::write(bed, &bed.key(name), &vec![9; size]).await.map(drop)
}

async fn get_too_large(bed: &Bed) -> Verdict {
    let size = bed.limits().max_inline_bytes as usize + 1;
    upload(bed, "large", size).await?;
    let get = bed.driver().await.get_key(&bed.key("large")).await;
    refused(format!("Get of an object of {size} bytes"), get, Code::FailedPrecondition, "TOO_LARGE").map(drop)
}

async fn get_largest(bed: &Bed) -> Verdict {
    let size = bed.limits().max_inline_bytes.min(4_259_840) as usize;
    upload(bed, "large", size).await?;
    let (object, content) = answered(
        format!("Get of an object of {size} bytes"),
        bed.driver().await.get_key(&bed.key("large")).await,
    )?;
    equal("Get: size", &(size as u64, size), &(object.size, content.len()))
}

async fn overwrite_by_shorter(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put of 300000 bytes", driver.put_key(&key, vec![1; 300_000]).await)?;
    answered("Put of 2 bytes over it", driver.put_key(&key, "xy").await)?;
    let (object, content) = answered("Get", driver.get_key(&key).await)?;
    same_bytes("Get after a shorter Put", b"xy", &content)?;
    equal("Get after a shorter Put: size", &2, &object.size)
}

async fn etag_names_the_content(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    let mut etags = Vec::new();
    for content in ["aaaa", "aaab", "aaac", "aaad", "aaae", "aaaf"] {
        let object = answered("Put", driver.put_key(&key, content).await)?;
        let stat = answered("Stat", driver.stat_key(&key).await)?;
        equal("Stat after Put: etag", &object.etag, &stat.etag)?;
        ensure(
            !etags.contains(&stat.etag),
            "six Puts of different bytes of equal length, within one tick of the clock",
            "six different etags",
            format!("{} again, after {etags:?}", stat.etag),
        )?;
        etags.push(stat.etag);
    }
    Ok(())
}

async fn etag_stays(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put", driver.put_key(&key, "steady").await)?;
    let first = answered("Stat", driver.stat_key(&key).await)?.etag;
    answered("Put of another key", driver.put_key(&bed.key("b"), "other").await)?;
    let (object, _) = answered("Get", driver.get_key(&key).await)?;
    equal("Get: etag", &first, &object.etag)?;
    equal("Stat again: etag", &first, &answered("Stat", driver.stat_key(&key).await)?.etag)
}

/// Stat, Get, ReadStream and List speak of one object.
async fn same_everywhere(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    upload(bed, "a", 100_000).await?;
    let stat = answered("Stat", driver.stat_key(&key).await)?;
    let (get, _) = answered("Get", driver.get_key(&key).await)?;
    let read = answered("ReadStream", driver.read(crate::reader::whole(&key)).await)?;
    let seen =
        |object: &longshore_driver_proto::v1::Object| (object.key.clone(), object.size, object.etag.clone());
    equal("Get and Stat", &seen(&stat), &seen(&get))?;
    let read = read.object().ok_or_else(|| Failure::new("ReadStream", "an object", "none").of("R11"))?;
    equal("ReadStream and Stat", &seen(&stat), &seen(read))
}

async fn put_is_atomic_for_readers(bed: &Bed) -> Verdict {
    const ROUNDS: usize = 60;
    let (driver, key) = (bed.driver().await, bed.key("flip"));
    let version = |number: usize| vec![number as u8; 40_000 + 1000 * (number % 7)];
    answered("Put", driver.put_key(&key, version(0)).await)?;
    let writes = async {
        for number in 1..=ROUNDS {
            answered("Put", driver.put_key(&key, version(number)).await)?;
        }
        Ok(())
    };
    let reads = async {
        for _ in 0..ROUNDS {
            let (object, content) = answered("Get during Puts", driver.get_key(&key).await)?;
            let number = usize::from(content.first().copied().unwrap_or(255));
            let whole = content == version(number) && object.size == content.len() as u64;
            ensure(
                whole,
                "Get while Puts overwrite the key",
                "one version, whole",
                format!("{} bytes that begin with {number}; size {}", content.len(), object.size),
            )?;
        }
        Ok(())
    };
    let (written, read) = tokio::join!(writes, reads);
    written.and(read)
}

async fn seen(bed: &Bed, at: &crate::connection::Connection, key: &str) -> Verdict {
    answered("Put", bed.driver().await.put_key(key, "new").await)?;
    answered("Stat right after Put", at.stat_key(key).await)?;
    let (_, content) = answered("Get right after Put", at.get_key(key).await)?;
    same_bytes("Get right after Put", b"new", &content)?;
    let read = answered("ReadStream right after Put", at.read_key(key).await)?;
    same_bytes("ReadStream right after Put", b"new", &read)
}

async fn new_key_is_seen_at_once(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    for number in 0..20 {
        seen(bed, &driver, &bed.key(&format!("deep/{number}/key"))).await?;
    }
    Ok(())
}

async fn new_key_is_seen_at_the_second(bed: &Bed) -> Verdict {
    let second = bed.second()?;
    for number in 0..20 {
        seen(bed, &second, &bed.key(&format!("deep/{number}/key"))).await?;
    }
    Ok(())
}

async fn siblings_are_left_alone(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let names = ["tag_1", "tag_10", "tag_1-", "Tag_1", "tag/1", "tag_1.x"];
    for name in names {
        answered("Put", driver.put_key(&bed.key(name), name.as_bytes().to_vec()).await)?;
    }
    answered("Put over tag_1", driver.put_key(&bed.key("tag_1"), "new").await)?;
    for name in &names[1..] {
        let (_, content) = answered(format!("Get of {name}"), driver.get_key(&bed.key(name)).await)?;
        same_bytes(format!("Get of {name} after a Put of tag_1"), name.as_bytes(), &content)?;
    }
    answered("Delete of tag_1", driver.delete_key(&bed.key("tag_1"), None).await)?;
    for name in &names[1..] {
        answered(format!("Stat of {name} after Delete of tag_1"), driver.stat_key(&bed.key(name)).await)?;
    }
    Ok(())
}

async fn many_at_once(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let keys: Vec<_> = (0..64).map(|number| bed.key(&format!("many/{number}"))).collect();
    let puts = keys.iter().map(|key| driver.put_key(key, key.clone().into_bytes()));
    for put in join_all(puts).await {
        answered("one of 64 Puts at once", put)?;
    }
    let gets = join_all(keys.iter().map(|key| driver.get_key(key))).await;
    for (key, get) in keys.iter().zip(gets) {
        let (_, content) = answered("one of 64 Gets at once", get)?;
        same_bytes(format!("Get of {key}, one of 64 at once"), key.as_bytes(), &content)?;
    }
    Ok(())
}
