//! Keys (contract section K).

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::put_request::Condition;
use tonic::Code;

use crate::bed::Bed;
use crate::call::{Said, answered, refused};
use crate::check;
use crate::check::Check;
use crate::connection::Connection;
use crate::reader;
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};

pub(super) const CHECKS: &[Check] = &[
    check!("key.every-character", ["K1"], [], every_character),
    check!("key.component-of-255-bytes", ["K1"], [], component_of_255_bytes),
    check!("key.of-1024-bytes", ["K1"], [], of_1024_bytes),
    check!("key.dots-and-dashes", ["K1"], [], dots_and_dashes),
    check!("key.case-matters", ["K2", "K1"], [], case_matters),
    check!("key.malformed", ["K1"], [], malformed),
    check!("key.bad-characters", ["K1"], [], bad_characters),
    check!("key.too-long", ["K1"], [], too_long),
    check!("key.malformed-in-every-call", ["K1"], [], malformed_in_every_call),
    check!("key.reserved-in-every-call", ["K3"], [], reserved_in_every_call),
    check!("key.like-a-reserved-one", ["K3"], [], like_a_reserved_one),
    check!("key.object-and-folder", ["K5"], [], object_and_folder),
    check!("store-id.can-be-read", ["K4"], [], store_id_can_be_read),
    check!("store-id.is-written-once", ["K4"], [], store_id_is_written_once),
    check!("store-id.other-conditions", ["K4"], [], store_id_other_conditions),
    check!("store-id.is-not-deleted-or-moved", ["K4"], [], store_id_is_not_deleted_or_moved),
    check!("store-id.is-no-stream", ["K4"], [], store_id_is_no_stream),
    check!("store-id.bad-ones", ["K4"], [], store_id_bad_ones),
];

const STORE_ID: &str = ".driver/store-id";

async fn works(bed: &Bed, key: &str) -> Verdict {
    let driver = bed.driver().await;
    let short: String = key.chars().take(80).collect();
    answered(format!("Put of key {short:?}"), driver.put_key(key, key.to_owned()).await)?;
    let (object, content) = answered(format!("Get of key {short:?}"), driver.get_key(key).await)?;
    same_bytes(format!("Get of key {short:?}"), key.as_bytes(), &content)?;
    equal("Get: object.key", &key, &object.key.as_str())?;
    answered("Delete", driver.delete_key(key, None).await).map(drop)
}

async fn every_character(bed: &Bed) -> Verdict {
    let all: String = (b'!'..=b'~')
        .map(char::from)
        .filter(|c| c.is_ascii_alphanumeric() || "._+=,@~-".contains(*c))
        .collect();
    works(bed, &bed.key(&all)).await?;
    for character in "._+=,@~-0aZ".chars() {
        works(bed, &bed.key(&format!("x{character}"))).await?;
        works(bed, &bed.key(&format!("{character}x"))).await?;
    }
    Ok(())
}

async fn component_of_255_bytes(bed: &Bed) -> Verdict {
    let long = "c".repeat(255);
    works(bed, &bed.key(&long)).await?;
    works(bed, &bed.key(&format!("{long}/x"))).await?;
    super::uploads::write(bed, &bed.key(&format!("up/{long}")), b"x").await.map(drop)
}

async fn of_1024_bytes(bed: &Bed) -> Verdict {
    let mut key = bed.prefix();
    while key.len() < 1024 {
        let room = (1024 - key.len()).min(201);
        // A key does not end with `/`.
        let part = if room <= 200 || key.len() + room == 1024 {
            "k".repeat(room)
        } else {
            format!("{}/", "k".repeat(room - 1))
        };
        key += &part;
    }
    equal("the key that is tried: length", &1024, &key.len())?;
    works(bed, &key).await
}

async fn dots_and_dashes(bed: &Bed) -> Verdict {
    for name in ["...", "..a", "a..", ".a", "-", "--", "~", "@", "=", ".tmp", "lost+found", "a.tmp~"] {
        works(bed, &bed.key(name)).await?;
    }
    Ok(())
}

async fn case_matters(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let names = ["case", "Case", "CASE", "folder/x", "Folder/x", "FOLDER/X"];
    for name in names {
        answered("Put", driver.put_key(&bed.key(name), name).await)?;
    }
    for name in names {
        let (_, content) = answered("Get", driver.get_key(&bed.key(name)).await)?;
        same_bytes(format!("Get of {name}, beside names of other case"), name.as_bytes(), &content)?;
    }
    answered("Delete of case", driver.delete_key(&bed.key("case"), None).await)?;
    answered("Stat of Case after Delete of case", driver.stat_key(&bed.key("Case")).await).map(drop)
}

async fn is_invalid(driver: &Connection, key: &str) -> Verdict {
    let shown: String = key.chars().take(60).collect();
    let (code, reason) = (Code::InvalidArgument, "INVALID_KEY");
    refused(format!("Put of key {shown:?}"), driver.put_key(key, "x").await, code, reason)?;
    refused(format!("Stat of key {shown:?}"), driver.stat_key(key).await, code, reason)?;
    refused(format!("Get of key {shown:?}"), driver.get_key(key).await, code, reason).map(drop)
}

async fn malformed(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let base = bed.key("x");
    for key in ["", "/", "//", ".", "..", "../x", "./x"] {
        is_invalid(&driver, key).await?;
    }
    for end in ["/", "//y", "/./y", "/../y", "/..", "/."] {
        is_invalid(&driver, &format!("{base}{end}")).await?;
    }
    is_invalid(&driver, &format!("/{base}")).await
}

async fn bad_characters(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    for character in ['\0', ' ', '%', '\\', ':', '*', '?', '"', '#', '\n', '\u{7f}', '\u{e9}', '\u{1F980}'] {
        is_invalid(&driver, &bed.key(&format!("a{character}b"))).await?;
    }
    Ok(())
}

async fn too_long(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    is_invalid(&driver, &bed.key(&"c".repeat(256))).await?;
    let mut key = bed.prefix();
    while key.len() < 1025 {
        let room = (1025 - key.len()).min(101);
        key +=
            &if key.len() + room == 1025 { "k".repeat(room) } else { format!("{}/", "k".repeat(room - 1)) };
    }
    is_invalid(&driver, &key).await
}

/// What each call that takes a key says of this one; of Delete, the outcome.
async fn every_call(bed: &Bed, key: &str) -> Verdict {
    let driver = bed.driver().await;
    let (code, reason) = (Code::InvalidArgument, "INVALID_KEY");
    refused(format!("Stat of {key:?}"), driver.stat_key(key).await, code, reason)?;
    refused(format!("Get of {key:?}"), driver.get_key(key).await, code, reason)?;
    refused(format!("Put of {key:?}"), driver.put_key(key, "x").await, code, reason)?;
    refused(format!("ReadStream of {key:?}"), driver.read(reader::whole(key)).await, code, reason)?;
    let outcome = answered("Delete", driver.delete_key(key, None).await)?;
    equal(
        format!("Delete of {key:?}: code, reason"),
        &(code as i32, reason.to_owned()),
        &(outcome.code, outcome.reason),
    )?;
    let open = driver.create_upload(&bed.upload_id(), key, crate::writer::fence(1)).await;
    refused(format!("create for {key:?}"), open.map(|writer| writer.opened), code, reason)?;
    if bed.capabilities().sign_get {
        let request = v1::SignRequest { key: key.to_owned(), ..Default::default() };
        refused(format!("Sign of {key:?}"), driver.sign(request).await, code, reason)?;
    }
    if bed.capabilities().r#move() == v1::MoveCost::Unspecified {
        return Ok(());
    }
    let request = v1::MoveRequest { from: bed.key("from"), to: key.to_owned() };
    answered("Put", driver.put_key(&bed.key("from"), "x").await)?;
    refused(format!("Move to {key:?}"), driver.r#move(request).await, code, reason)?;
    let request = v1::MoveRequest { from: key.to_owned(), to: bed.key("to") };
    refused(format!("Move from {key:?}"), driver.r#move(request).await, code, reason).map(drop)
}

async fn malformed_in_every_call(bed: &Bed) -> Verdict {
    every_call(bed, &format!("{}//x", bed.key("a"))).await?;
    every_call(bed, &format!("{}/../x", bed.key("a"))).await
}

async fn reserved_in_every_call(bed: &Bed) -> Verdict {
    every_call(bed, ".driver").await?;
    every_call(bed, ".driver/longshore-driver-check").await?;
    let driver = bed.driver().await;
    for prefix in [".driver/", ".driver/uploads/"] {
        let request = v1::ListRequest { prefix: prefix.to_owned(), recursive: true, ..Default::default() };
        match driver.list(request).await {
            Ok(page) => ensure(
                page.entries.is_empty(),
                format!("List of {prefix}"),
                "nothing",
                format!("{:?}", page.entries),
            )?,
            Err(said) => {
                refused::<()>(format!("List of {prefix}"), Err(said), Code::InvalidArgument, "INVALID_KEY")
                    .map(drop)?;
            }
        }
    }
    Ok(())
}

async fn like_a_reserved_one(bed: &Bed) -> Verdict {
    // Outside the kit's own folder for a moment: only the first component is reserved.
    let name = format!(".driverless/{}", bed.key("x"));
    works(bed, &name).await?;
    works(bed, &bed.key(".driver/x")).await
}

/// Both work, or the second is refused and the first stays.
async fn object_and_folder(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    for (first, second) in [("a", "a/b"), ("c/d", "c")] {
        answered("Put", driver.put_key(&bed.key(first), "first").await)?;
        match driver.put_key(&bed.key(second), "second").await {
            Ok(_) => {
                same_bytes("Get", b"second", &answered("Get", driver.get_key(&bed.key(second)).await)?.1)?;
            }
            Err(said) => {
                let sent = format!("Put of {second} beside {first}");
                refused::<()>(sent, Err(said), Code::FailedPrecondition, "KEY_CONFLICT")?;
            }
        }
        same_bytes("Get", b"first", &answered("Get", driver.get_key(&bed.key(first)).await)?.1)?;
    }
    Ok(())
}

async fn id(driver: &Connection) -> Verdict<Option<bytes::Bytes>> {
    match driver.get_key(STORE_ID).await {
        Ok((_, content)) => Ok(Some(content)),
        Err(said) if said.is(Code::NotFound, "KEY_NOT_FOUND") => Ok(None),
        Err(said) => Err(Failure::new("Get of .driver/store-id", "the id, or KEY_NOT_FOUND", said)),
    }
}

async fn store_id_can_be_read(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let Some(content) = id(&driver).await? else {
        return refused(
            "Stat of .driver/store-id",
            driver.stat_key(STORE_ID).await,
            Code::NotFound,
            "KEY_NOT_FOUND",
        )
        .map(drop);
    };
    let text = String::from_utf8_lossy(&content).trim_end().to_owned();
    equal("Get of .driver/store-id, and Handshake: store_id", &bed.greeting.store_id, &text)?;
    let stat = answered("Stat of .driver/store-id", driver.stat_key(STORE_ID).await)?;
    equal("Stat of .driver/store-id: size", &(content.len() as u64), &stat.size)
}

async fn store_id_is_written_once(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let before = id(&driver).await?;
    ensure(
        before.is_some(),
        "Put of .driver/store-id with if_absent, at the begin of the run",
        "an id in the store",
        "none",
    )?;
    let put = driver.put_new(STORE_ID, "another").await;
    refused(
        "Put of .driver/store-id, which is there, with if_absent",
        put,
        Code::AlreadyExists,
        "KEY_EXISTS",
    )?;
    equal("Get of .driver/store-id after it", &before, &id(&driver).await?)
}

async fn store_id_other_conditions(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let before = id(&driver).await?;
    let put = driver.put_key(STORE_ID, "another").await;
    refused("Put of .driver/store-id, always", put, Code::Unimplemented, "NOT_SUPPORTED")?;
    let etag = driver.stat_key(STORE_ID).await.map(|object| object.etag).unwrap_or_default();
    let put = driver.put_if(STORE_ID, "another", Condition::IfMatch(etag)).await;
    refused("Put of .driver/store-id with if_match", put, Code::Unimplemented, "NOT_SUPPORTED")?;
    equal("Get of .driver/store-id after it", &before, &id(&driver).await?)
}

async fn store_id_is_not_deleted_or_moved(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let before = id(&driver).await?;
    let outcome = answered("Delete of .driver/store-id", driver.delete_key(STORE_ID, None).await)?;
    equal(
        "Delete of .driver/store-id: code, reason",
        &(Code::InvalidArgument as i32, "INVALID_KEY".to_owned()),
        &(outcome.code, outcome.reason),
    )?;
    let moves = [(STORE_ID.to_owned(), bed.key("to")), (bed.key("from"), STORE_ID.to_owned())];
    for (from, to) in moves.into_iter().filter(|_| bed.capabilities().r#move() != v1::MoveCost::Unspecified) {
        let sent = format!("Move from {from} to {to}");
        let moved = driver.r#move(v1::MoveRequest { from, to }).await;
        refused(sent, moved, Code::InvalidArgument, "INVALID_KEY")?;
    }
    equal("Get of .driver/store-id after it", &before, &id(&driver).await?)
}

async fn store_id_is_no_stream(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let read = driver.read(reader::whole(STORE_ID)).await;
    refused("ReadStream of .driver/store-id", read, Code::InvalidArgument, "INVALID_KEY")?;
    let open = driver.create_upload(&bed.upload_id(), STORE_ID, crate::writer::fence(1)).await;
    refused(
        "create for .driver/store-id",
        open.map(|writer| writer.opened),
        Code::InvalidArgument,
        "INVALID_KEY",
    )
    .map(drop)
}

async fn store_id_bad_ones(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let before = id(&driver).await?;
    for bad in crate::new_store::none() {
        let put = driver.put_new(STORE_ID, bad.clone()).await;
        // Where there is one already, either is true.
        let fits = |said: &Said| {
            said.is(Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD")
                || (before.is_some() && said.is(Code::AlreadyExists, "KEY_EXISTS"))
        };
        let sent = format!("Put of the store id {bad:?}");
        ensure(
            put.as_ref().is_err_and(fits),
            sent,
            "InvalidArgument / REQUEST_NOT_UNDERSTOOD",
            format!("{put:?}"),
        )?;
    }
    for (bad, put) in bed.new_store.iter().flat_map(|new| &new.bad_ids) {
        let sent =
            format!("Put of the store id {bad:?}, where there was none (to see it again, take a new one)");
        refused(sent, put.clone(), Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD")?;
    }
    equal("Get of .driver/store-id after it", &before, &id(&driver).await?)
}
