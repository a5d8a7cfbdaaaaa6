//! Conditions of Put, also under a race (contract clauses O6, H10).

use futures_util::future::join_all;
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::put_request::Condition;
use tonic::Code;

use crate::bed::Bed;
use crate::call::{Call, Said, answered, refused, unsupported};
use crate::check;
use crate::check::Check;
use crate::connection::Connection;
use crate::verdict::{Failure, Verdict, ensure, equal, same_bytes};

pub(super) const CHECKS: &[Check] = &[
    check!("put.without-a-condition", ["O6"], [], without_a_condition),
    check!("put.always-creates-and-overwrites", ["O6"], [], always_creates_and_overwrites),
    check!("put.undeclared-conditions", ["O6", "H8"], [], undeclared_conditions),
    check!("put.if-absent-on-nothing", ["O6"], [PutIfAbsent], if_absent_on_nothing),
    check!("put.if-absent-on-an-object", ["O6"], [PutIfAbsent], if_absent_on_an_object),
    check!("put.if-absent-after-delete", ["O6", "O7"], [PutIfAbsent], if_absent_after_delete),
    check!("put.if-absent-race", ["H10", "O6"], [PutIfAbsent], if_absent_race),
    check!("put.if-absent-race-over-two", ["H10", "O6"], [PutIfAbsent, Second], if_absent_race_over_two),
    check!("put.if-match-on-the-etag", ["O6"], [PutIfMatch], if_match_on_the_etag),
    check!("put.if-match-on-a-stale-etag", ["O6"], [PutIfMatch], if_match_on_a_stale_etag),
    check!("put.if-match-on-nothing", ["O6"], [PutIfMatch], if_match_on_nothing),
    check!("put.if-match-counter", ["H10", "O6"], [PutIfMatch], if_match_counter),
    check!("put.if-match-counter-over-two", ["H10", "O6"], [PutIfMatch, Second], if_match_counter_over_two),
];

async fn without_a_condition(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    let request = v1::PutRequest { key: key.clone(), content: "x".into(), condition: None };
    let put = driver.put(request).await;
    refused("Put with the condition unset", put, Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD")?;
    refused("Stat after it", driver.stat_key(&key).await, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn always_creates_and_overwrites(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put, always, of a new key", driver.put_key(&key, "one").await)?;
    answered("Put, always, of the same key", driver.put_key(&key, "two").await)?;
    let (_, content) = answered("Get", driver.get_key(&key).await)?;
    same_bytes("Get after the second Put", b"two", &content)
}

async fn undeclared_conditions(bed: &Bed) -> Verdict {
    let (driver, has) = (bed.driver().await, bed.capabilities());
    answered("Put", driver.put_key(&bed.key("from"), "x").await)?;
    if !has.put_if_absent {
        unsupported("Put with if_absent", driver.put_new(&bed.key("a"), "x").await)?;
    }
    if !has.put_if_match {
        let put = driver.put_if(&bed.key("a"), "x", Condition::IfMatch("e".to_owned())).await;
        unsupported("Put with if_match", put)?;
    }
    if !has.delete_if_match {
        let outcome = answered("Delete with if_match", driver.delete_key(&bed.key("a"), Some("e")).await)?;
        equal("Delete with if_match: reason", &"NOT_SUPPORTED".to_owned(), &outcome.reason)?;
    }
    if has.r#move() == v1::MoveCost::Unspecified {
        let request = v1::MoveRequest { from: bed.key("from"), to: bed.key("to") };
        unsupported("Move, which was not declared", driver.r#move(request).await)?;
    }
    Ok(())
}

async fn if_absent_on_nothing(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put with if_absent of a new key", driver.put_new(&key, "x").await)?;
    let (_, content) = answered("Get", driver.get_key(&key).await)?;
    same_bytes("Get", b"x", &content)
}

async fn if_absent_on_an_object(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put", driver.put_key(&key, "first").await)?;
    let put = driver.put_new(&key, "second").await;
    refused("Put with if_absent over an object", put, Code::AlreadyExists, "KEY_EXISTS")?;
    let (_, content) = answered("Get", driver.get_key(&key).await)?;
    same_bytes("Get after a Put with if_absent that failed", b"first", &content)
}

async fn if_absent_after_delete(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put", driver.put_key(&key, "first").await)?;
    answered("Delete", driver.delete_key(&key, None).await)?;
    answered("Put with if_absent after Delete", driver.put_new(&key, "second").await).map(drop)
}

/// Exactly one wins, and what it wrote is there.
fn one_winner(sent: &str, outcomes: Vec<Call<v1::Object>>) -> Verdict<usize> {
    let mut winners = Vec::new();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(_) => winners.push(number),
            Err(said) if said.is(Code::AlreadyExists, "KEY_EXISTS") => {}
            Err(said) => return Err(Failure::new(sent, "OK, or AlreadyExists / KEY_EXISTS", said)),
        }
    }
    match winners[..] {
        [winner] => Ok(winner),
        _ => Err(Failure::new(sent, "one that wins", format!("{} that won", winners.len()))),
    }
}

async fn absent_race(bed: &Bed, drivers: &[Connection]) -> Verdict {
    for round in 0..4 {
        let key = bed.key(&format!("race-{round}"));
        let puts = (0..32).map(|number| drivers[number % drivers.len()].put_new(&key, format!("w{number}")));
        let winner = one_winner("32 Puts with if_absent of one key at once", join_all(puts).await)?;
        let (_, content) = answered("Get", drivers[0].get_key(&key).await)?;
        same_bytes("Get after the race: what the winner wrote", format!("w{winner}").as_bytes(), &content)?;
    }
    Ok(())
}

async fn if_absent_race(bed: &Bed) -> Verdict {
    absent_race(bed, &[bed.driver().await]).await
}

async fn if_absent_race_over_two(bed: &Bed) -> Verdict {
    absent_race(bed, &[bed.driver().await, bed.second()?]).await
}

async fn if_match_on_the_etag(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    let first = answered("Put", driver.put_key(&key, "one").await)?;
    let put = driver.put_if(&key, "two", Condition::IfMatch(first.etag)).await;
    let second = answered("Put with the present etag", put)?;
    let put = driver.put_if(&key, "three", Condition::IfMatch(second.etag)).await;
    answered("Put with the etag that the Put before answered", put)?;
    let (_, content) = answered("Get", driver.get_key(&key).await)?;
    same_bytes("Get", b"three", &content)
}

async fn if_match_on_a_stale_etag(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    let first = answered("Put", driver.put_key(&key, "one").await)?;
    answered("Put", driver.put_key(&key, "two").await)?;
    let put = driver.put_if(&key, "bad", Condition::IfMatch(first.etag)).await;
    refused("Put with a stale etag", put, Code::FailedPrecondition, "PRECONDITION_FAILED")?;
    let (_, content) = answered("Get", driver.get_key(&key).await)?;
    same_bytes("Get after a Put with a stale etag", b"two", &content)
}

async fn if_match_on_nothing(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    let put = driver.put_if(&key, "bad", Condition::IfMatch("no-such-etag".to_owned())).await;
    refused("Put with if_match of a new key", put, Code::FailedPrecondition, "PRECONDITION_FAILED")?;
    refused("Stat after it", driver.stat_key(&key).await, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

/// Adds one, and tries again when somebody else was faster.
async fn increment(driver: &Connection, key: &str) -> Verdict {
    const TRIES: usize = 400;
    for _ in 0..TRIES {
        let (object, content) = answered("Get", driver.get_key(key).await)?;
        let text = String::from_utf8_lossy(&content).into_owned();
        let number: u64 = text
            .parse()
            .map_err(|_| Failure::new("Get of a counter", "a number", format!("{text:?}")).of("O5"))?;
        let put = driver.put_if(key, (number + 1).to_string(), Condition::IfMatch(object.etag)).await;
        match put {
            Ok(_) => return Ok(()),
            Err(said) if is_lost_race(&said) => {}
            Err(said) => {
                return Err(Failure::new(
                    "Put with if_match",
                    "OK, or PRECONDITION_FAILED, or CONFLICT",
                    said,
                ));
            }
        }
    }
    Err(Failure::new("Put with if_match, again and again", "one that holds", format!("none of {TRIES}")))
}

fn is_lost_race(said: &Said) -> bool {
    said.is(Code::FailedPrecondition, "PRECONDITION_FAILED") || said.is(Code::Aborted, "CONFLICT")
}

async fn counter(bed: &Bed, drivers: &[Connection]) -> Verdict {
    const WRITERS: usize = 8;
    const EACH: usize = 5;
    let key = bed.key("counter");
    answered("Put", drivers[0].put_key(&key, "0").await)?;
    let writers = (0..WRITERS).map(|number| {
        let (driver, key) = (&drivers[number % drivers.len()], &key);
        async move {
            for _ in 0..EACH {
                increment(driver, key).await?;
            }
            Ok(())
        }
    });
    for outcome in join_all(writers).await {
        outcome?;
    }
    let (_, content) = answered("Get", drivers[0].get_key(&key).await)?;
    let wanted = (WRITERS * EACH).to_string();
    ensure(
        content == wanted.as_bytes(),
        format!("{WRITERS} writers that add one with if_match, {EACH} times each"),
        wanted,
        String::from_utf8_lossy(&content),
    )
}

async fn if_match_counter(bed: &Bed) -> Verdict {
    counter(bed, &[bed.driver().await]).await
}

async fn if_match_counter_over_two(bed: &Bed) -> Verdict {
    counter(bed, &[bed.driver().await, bed.second()?]).await
}
