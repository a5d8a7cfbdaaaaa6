//! Move: never over an object, and nothing is lost on the way (contract clause O8).

use futures_util::future::join_all;
use longshore_driver_proto::v1;
use tonic::Code;

use crate::bed::Bed;
use crate::call::{Call, answered, refused};
use crate::check;
use crate::check::Check;
use crate::connection::Connection;
use crate::verdict::{Verdict, ensure, equal, same_bytes};

pub(super) const CHECKS: &[Check] = &[
    check!("move.an-object", ["O8"], [Move], an_object),
    check!("move.over-an-object", ["O8"], [Move], over_an_object),
    check!("move.nothing", ["O8", "O1"], [Move], nothing),
    check!("move.to-itself", ["O8"], [Move], to_itself),
    check!("move.into-a-new-folder", ["O8"], [Move], into_a_new_folder),
    check!("move.race-to-one-key", ["O8"], [Move], race_to_one_key),
    check!("move.race-from-one-key", ["O8"], [Move], race_from_one_key),
];

async fn rename(driver: &Connection, from: &str, to: &str) -> Call<v1::Object> {
    let request = v1::MoveRequest { from: from.to_owned(), to: to.to_owned() };
    driver.r#move(request).await.map(|answer| answer.object.unwrap_or_default())
}

async fn an_object(bed: &Bed) -> Verdict {
    let (driver, from, to) = (bed.driver().await, bed.key("from"), bed.key("to"));
    answered("Put", driver.put_key(&from, "content").await)?;
    let object = answered("Move", rename(&driver, &from, &to).await)?;
    equal("Move: object.key", &to, &object.key)?;
    equal("Move: object.size", &7, &object.size)?;
    let (got, content) = answered("Get of the new key", driver.get_key(&to).await)?;
    same_bytes("Get of the new key", b"content", &content)?;
    equal("Move and Get: etag", &got.etag, &object.etag)?;
    refused("Stat of the old key", driver.stat_key(&from).await, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn over_an_object(bed: &Bed) -> Verdict {
    let (driver, from, to) = (bed.driver().await, bed.key("from"), bed.key("to"));
    answered("Put", driver.put_key(&from, "mine").await)?;
    answered("Put", driver.put_key(&to, "theirs").await)?;
    let moved = rename(&driver, &from, &to).await;
    refused("Move over an object", moved, Code::AlreadyExists, "KEY_EXISTS")?;
    for (key, wanted) in [(&from, &b"mine"[..]), (&to, b"theirs")] {
        let (_, content) = answered("Get", driver.get_key(key).await)?;
        same_bytes("Get of both keys after a Move that was refused", wanted, &content)?;
    }
    Ok(())
}

async fn nothing(bed: &Bed) -> Verdict {
    let (driver, to) = (bed.driver().await, bed.key("to"));
    let moved = rename(&driver, &bed.key("nothing"), &to).await;
    refused("Move of nothing", moved, Code::NotFound, "KEY_NOT_FOUND")?;
    refused("Stat of the new key", driver.stat_key(&to).await, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn to_itself(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put", driver.put_key(&key, "still here").await)?;
    let moved = rename(&driver, &key, &key).await;
    refused("Move of an object to its own key", moved, Code::AlreadyExists, "KEY_EXISTS")?;
    let (_, content) = answered("Get after it", driver.get_key(&key).await)?;
    same_bytes("Get after a Move of a key to itself", b"still here", &content)
}

async fn into_a_new_folder(bed: &Bed) -> Verdict {
    let (driver, from, to) = (bed.driver().await, bed.key("old/er/from"), bed.key("new/er/to"));
    answered("Put", driver.put_key(&from, "x").await)?;
    answered("Move", rename(&driver, &from, &to).await)?;
    answered("Stat of the new key", driver.stat_key(&to).await).map(drop)
}

async fn race_to_one_key(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    for round in 0..4 {
        let to = bed.key(&format!("to-{round}"));
        let from: Vec<_> = (0..8).map(|number| bed.key(&format!("from-{round}-{number}"))).collect();
        for key in &from {
            answered("Put", driver.put_key(key, key.clone().into_bytes()).await)?;
        }
        let outcomes = join_all(from.iter().map(|key| rename(&driver, key, &to))).await;
        let won: Vec<_> = from.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).collect();
        ensure(
            won.len() == 1,
            "8 Moves to one key at once",
            "one that wins",
            format!("{} that won", won.len()),
        )?;
        for (key, outcome) in from.iter().zip(&outcomes) {
            let place = if outcome.is_ok() { &to } else { key };
            let (_, content) = answered("Get of each object after the race", driver.get_key(place).await)?;
            same_bytes("Get of each object after the race", key.as_bytes(), &content)?;
        }
    }
    Ok(())
}

async fn race_from_one_key(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    for round in 0..4 {
        let from = bed.key(&format!("from-{round}"));
        answered("Put", driver.put_key(&from, "one").await)?;
        let to: Vec<_> = (0..8).map(|number| bed.key(&format!("to-{round}-{number}"))).collect();
        let outcomes = join_all(to.iter().map(|key| rename(&driver, &from, key))).await;
        let mut there = 0;
        for key in &to {
            there += usize::from(driver.stat_key(key).await.is_ok());
        }
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        equal("8 Moves of one key at once: that won, and objects after", &(1, 1), &(won, there))?;
    }
    Ok(())
}
