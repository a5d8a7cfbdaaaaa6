//! Delete, a batch whose items stand for themselves (contract clauses O7, E4).

use futures_util::future::join_all;
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::delete_request::Item;
use tonic::Code;

use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::verdict::{Verdict, ensure, equal};

pub(super) const CHECKS: &[Check] = &[
    check!("delete.an-object", ["O7"], [], an_object),
    check!("delete.nothing", ["O7"], [], nothing),
    check!("delete.twice-in-one-batch", ["O7"], [], twice_in_one_batch),
    check!("delete.outcomes-are-in-order", ["O7"], [], outcomes_are_in_order),
    check!("delete.no-items", ["O7"], [], no_items),
    check!("delete.a-thousand", ["O7"], [], a_thousand),
    check!("delete.too-many", ["O7"], [], too_many),
    check!("delete.a-bad-key-among-good-ones", ["E4", "O7"], [], a_bad_key_among_good_ones),
    check!("delete.leaves-what-is-below", ["O7", "K5"], [], leaves_what_is_below),
    check!("delete.if-match-on-the-etag", ["O7"], [DeleteIfMatch], if_match_on_the_etag),
    check!("delete.if-match-on-a-stale-etag", ["O7", "E4"], [DeleteIfMatch], if_match_on_a_stale_etag),
    check!("delete.if-match-on-nothing", ["O7"], [DeleteIfMatch], if_match_on_nothing),
    check!("delete.if-match-race", ["H10"], [DeleteIfMatch], if_match_race),
    check!("delete.one-of-many-says-existed", ["O7"], [], one_of_many_says_existed),
];

fn item(key: String) -> Item {
    Item { key, if_match: None }
}

async fn an_object(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put", driver.put_key(&key, "x").await)?;
    let outcome = answered("Delete", driver.delete_key(&key, None).await)?;
    equal("Delete of an object: existed, code", &(true, 0), &(outcome.existed, outcome.code))?;
    refused("Stat after Delete", driver.stat_key(&key).await, Code::NotFound, "KEY_NOT_FOUND")?;
    refused("Get after Delete", driver.get_key(&key).await, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn nothing(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    for name in ["never", "never/deep/er"] {
        let outcome = answered("Delete", driver.delete_key(&bed.key(name), None).await)?;
        equal("Delete of nothing: existed, code", &(false, 0), &(outcome.existed, outcome.code))?;
    }
    Ok(())
}

async fn twice_in_one_batch(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put", driver.put_key(&key, "x").await)?;
    let request = v1::DeleteRequest { items: vec![item(key.clone()), item(key)] };
    let answer = answered("Delete of one key twice", driver.delete(request).await)?;
    let codes: Vec<_> = answer.outcomes.iter().map(|outcome| outcome.code).collect();
    equal("Delete of one key twice: codes", &vec![0, 0], &codes)?;
    let existed = answer.outcomes.iter().filter(|outcome| outcome.existed).count();
    ensure(existed >= 1, "Delete of one key twice", "existed once", "existed never")
}

async fn outcomes_are_in_order(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    for number in (0..20).step_by(3) {
        answered("Put", driver.put_key(&bed.key(&format!("k{number}")), "x").await)?;
    }
    let items = (0..20).rev().map(|number| item(bed.key(&format!("k{number}")))).collect();
    let answer =
        answered("Delete of 20 keys, 7 of them there", driver.delete(v1::DeleteRequest { items }).await)?;
    let wanted: Vec<_> = (0..20).rev().map(|number| number % 3 == 0).collect();
    let got: Vec<_> = answer.outcomes.iter().map(|outcome| outcome.existed).collect();
    equal("Delete of 20 keys: existed, in the order asked", &wanted, &got)
}

async fn no_items(bed: &Bed) -> Verdict {
    let answer =
        answered("Delete of no keys", bed.driver().await.delete(v1::DeleteRequest::default()).await)?;
    equal("Delete of no keys: outcomes", &0, &answer.outcomes.len())
}

async fn a_thousand(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let key = |number: usize| bed.key(&format!("d/{number:04}"));
    let puts = [0, 1, 500, 998, 999];
    for number in puts {
        answered("Put", driver.put_key(&key(number), "x").await)?;
    }
    let items: Vec<_> = (0..1000).map(|number| item(key(number))).collect();
    let answer = answered("Delete of 1000 keys", driver.delete(v1::DeleteRequest { items }).await)?;
    equal("Delete of 1000 keys: outcomes", &1000, &answer.outcomes.len())?;
    let existed: Vec<_> =
        answer.outcomes.iter().enumerate().filter(|(_, outcome)| outcome.existed).map(|(at, _)| at).collect();
    equal("Delete of 1000 keys: which existed", &puts.to_vec(), &existed)
}

async fn too_many(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("kept"));
    answered("Put", driver.put_key(&key, "x").await)?;
    let mut items = vec![item(key.clone())];
    items.extend((0..1000).map(|number| item(bed.key(&format!("d/{number}")))));
    let delete = driver.delete(v1::DeleteRequest { items }).await;
    refused("Delete of 1001 keys", delete, Code::InvalidArgument, "REQUEST_NOT_UNDERSTOOD")?;
    answered("Stat of the first of 1001 keys, which were refused", driver.stat_key(&key).await).map(drop)
}

async fn a_bad_key_among_good_ones(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let (first, last) = (bed.key("first"), bed.key("last"));
    for key in [&first, &last] {
        answered("Put", driver.put_key(key, "x").await)?;
    }
    let items = vec![item(first.clone()), item("a//b".to_owned()), item(last.clone())];
    let answer =
        answered("Delete of a good, a bad and a good key", driver.delete(v1::DeleteRequest { items }).await)?;
    let got: Vec<_> = answer
        .outcomes
        .iter()
        .map(|outcome| (outcome.existed, outcome.code, outcome.reason.clone()))
        .collect();
    let fine = (true, 0, String::new());
    let bad = (false, Code::InvalidArgument as i32, "INVALID_KEY".to_owned());
    equal(
        "Delete of a good, a bad and a good key: existed, code, reason",
        &vec![fine.clone(), bad, fine],
        &got,
    )?;
    refused("Stat of the last", driver.stat_key(&last).await, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn leaves_what_is_below(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("folder/a"));
    answered("Put", driver.put_key(&key, "x").await)?;
    let outcome = answered("Delete of a prefix of it", driver.delete_key(&bed.key("folder"), None).await)?;
    ensure(
        !outcome.existed,
        "Delete of `folder`, where `folder/a` is the only key",
        "existed = false",
        format!("{outcome:?}"),
    )?;
    answered("Stat of folder/a after Delete of folder", driver.stat_key(&key).await).map(drop)
}

async fn if_match_on_the_etag(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    let object = answered("Put", driver.put_key(&key, "x").await)?;
    let outcome = answered("Delete with the etag", driver.delete_key(&key, Some(&object.etag)).await)?;
    equal("Delete with the etag: existed, code", &(true, 0), &(outcome.existed, outcome.code))?;
    refused("Stat after it", driver.stat_key(&key).await, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn if_match_on_a_stale_etag(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    let object = answered("Put", driver.put_key(&key, "one").await)?;
    answered("Put", driver.put_key(&key, "two").await)?;
    let outcome = answered("Delete with a stale etag", driver.delete_key(&key, Some(&object.etag)).await)?;
    let wanted = (Code::FailedPrecondition as i32, "PRECONDITION_FAILED".to_owned());
    equal("Delete with a stale etag: code, reason", &wanted, &(outcome.code, outcome.reason))?;
    answered("Stat after it", driver.stat_key(&key).await).map(drop)
}

async fn if_match_on_nothing(bed: &Bed) -> Verdict {
    let outcome =
        answered("Delete with an etag", bed.driver().await.delete_key(&bed.key("a"), Some("e")).await)?;
    equal("Delete with an etag, of nothing: existed, code", &(false, 0), &(outcome.existed, outcome.code))
}

/// A delete and a put that both rest on one etag: one of them holds.
async fn if_match_race(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    for round in 0..8 {
        let key = bed.key(&format!("race-{round}"));
        let object = answered("Put", driver.put_key(&key, "x").await)?;
        let deletes = (0..8).map(|_| driver.delete_key(&key, Some(&object.etag)));
        let mut existed = 0;
        for outcome in join_all(deletes).await {
            let outcome = answered("one of 8 Deletes with one etag at once", outcome)?;
            existed += usize::from(outcome.existed);
        }
        ensure(
            existed == 1,
            "8 Deletes with one etag at once",
            "existed = true for one of them",
            format!("for {existed}"),
        )?;
    }
    Ok(())
}

async fn one_of_many_says_existed(bed: &Bed) -> Verdict {
    let (driver, key) = (bed.driver().await, bed.key("a"));
    answered("Put", driver.put_key(&key, "x").await)?;
    for outcome in join_all((0..8).map(|_| driver.delete_key(&key, None))).await {
        let outcome = answered("one of 8 Deletes at once", outcome)?;
        equal("one of 8 Deletes at once: code", &0, &outcome.code)?;
    }
    refused("Stat after 8 Deletes", driver.stat_key(&key).await, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}
