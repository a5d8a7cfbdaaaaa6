//! What was acknowledged survives a kill of the driver (contract clauses O9, O10).

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::put_request::Condition;
use tonic::Code;

use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::hooks::Hook;
use crate::verdict::{Failure, Verdict, equal, same_bytes};

pub(super) const CHECKS: &[Check] = &[
    check!("durable.put-survives-a-kill", ["O9"], [Restart], put_survives_a_kill),
    check!(
        "durable.conditional-put-survives-a-kill",
        ["O9"],
        [Restart, PutIfAbsent],
        conditional_put_survives_a_kill
    ),
    check!("durable.overwrite-survives-a-kill", ["O9"], [Restart], overwrite_survives_a_kill),
    check!("durable.delete-survives-a-kill", ["O9"], [Restart], delete_survives_a_kill),
    check!("durable.move-survives-a-kill", ["O9"], [Restart, Move], move_survives_a_kill),
    check!("durable.etag-survives-a-kill", ["O3", "O9"], [Restart], etag_survives_a_kill),
    check!("durable.condition-after-a-kill", ["O6", "O9"], [Restart, PutIfMatch], condition_after_a_kill),
    check!("durable.kill-during-puts", ["O5", "O9"], [Restart], kill_during_puts),
];

async fn put_survives_a_kill(bed: &Bed) -> Verdict {
    let keys: Vec<_> = (0..10).map(|number| bed.key(&format!("new/{number}/key"))).collect();
    let driver = bed.driver().await;
    for key in &keys {
        answered("Put", driver.put_key(key, key.clone().into_bytes()).await)?;
    }
    bed.restart().await?;
    for key in &keys {
        let (_, content) = answered("Get after kill -9", bed.driver().await.get_key(key).await)?;
        same_bytes("Get after kill -9", key.as_bytes(), &content)?;
    }
    Ok(())
}

/// Written under a condition, each that the driver has.
async fn conditional_put_survives_a_kill(bed: &Bed) -> Verdict {
    let (driver, new, changed) = (bed.driver().await, bed.key("new"), bed.key("changed"));
    answered("Put with if_absent", driver.put_new(&new, "new").await)?;
    let mut wanted = vec![(new, "new")];
    if bed.capabilities().put_if_match {
        let old = answered("Put", driver.put_key(&changed, "old").await)?;
        let put = driver.put_if(&changed, "changed", Condition::IfMatch(old.etag)).await;
        answered("Put with if_match", put)?;
        wanted.push((changed, "changed"));
    }
    bed.restart().await?;
    for (key, content) in wanted {
        let (_, got) = answered("Get after kill -9", bed.driver().await.get_key(&key).await)?;
        same_bytes("Get after a Put with a condition and kill -9", content.as_bytes(), &got)?;
    }
    Ok(())
}

async fn overwrite_survives_a_kill(bed: &Bed) -> Verdict {
    let key = bed.key("a");
    answered("Put", bed.driver().await.put_key(&key, "old").await)?;
    answered("Put", bed.driver().await.put_key(&key, "new and longer").await)?;
    bed.restart().await?;
    let (_, content) = answered("Get after kill -9", bed.driver().await.get_key(&key).await)?;
    same_bytes("Get after kill -9", b"new and longer", &content)
}

async fn delete_survives_a_kill(bed: &Bed) -> Verdict {
    let (kept, gone) = (bed.key("kept"), bed.key("gone"));
    for key in [&kept, &gone] {
        answered("Put", bed.driver().await.put_key(key, "x").await)?;
    }
    answered("Delete", bed.driver().await.delete_key(&gone, None).await)?;
    bed.restart().await?;
    let driver = bed.driver().await;
    refused("Stat of what was deleted", driver.stat_key(&gone).await, Code::NotFound, "KEY_NOT_FOUND")?;
    answered("Stat of what was not", driver.stat_key(&kept).await).map(drop)
}

async fn move_survives_a_kill(bed: &Bed) -> Verdict {
    let (from, to) = (bed.key("from"), bed.key("new/to"));
    answered("Put", bed.driver().await.put_key(&from, "x").await)?;
    let request = v1::MoveRequest { from: from.clone(), to: to.clone() };
    answered("Move", bed.driver().await.r#move(request).await)?;
    bed.restart().await?;
    let driver = bed.driver().await;
    answered("Stat of the new key after kill -9", driver.stat_key(&to).await)?;
    refused("Stat of the old key", driver.stat_key(&from).await, Code::NotFound, "KEY_NOT_FOUND").map(drop)
}

async fn etag_survives_a_kill(bed: &Bed) -> Verdict {
    let key = bed.key("a");
    let before = answered("Put", bed.driver().await.put_key(&key, "x").await)?;
    bed.restart().await?;
    let after = answered("Stat after kill -9", bed.driver().await.stat_key(&key).await)?;
    equal("Stat before and after kill -9: etag", &before.etag, &after.etag)
}

async fn condition_after_a_kill(bed: &Bed) -> Verdict {
    let key = bed.key("a");
    let stale = answered("Put", bed.driver().await.put_key(&key, "one").await)?;
    let object = answered("Put", bed.driver().await.put_key(&key, "two").await)?;
    bed.restart().await?;
    let driver = bed.driver().await;
    let put = driver.put_if(&key, "bad", Condition::IfMatch(stale.etag)).await;
    refused("Put with a stale etag after kill -9", put, Code::FailedPrecondition, "PRECONDITION_FAILED")?;
    let put = driver.put_if(&key, "three", Condition::IfMatch(object.etag)).await;
    answered("Put with the etag after kill -9", put).map(drop)
}

/// Each key is as it was, or as one of the Puts that were under way left it.
async fn kill_during_puts(bed: &Bed) -> Verdict {
    const KEYS: usize = 8;
    let version = |number: usize| vec![b'a' + (number % 26) as u8; 60_000 + number];
    let mut writers = tokio::task::JoinSet::new();
    for at in 0..KEYS {
        let (driver, key) = (bed.driver().await, bed.key(&format!("k{at}")));
        answered("Put", driver.put_key(&key, version(0)).await)?;
        writers.spawn(async move {
            let mut acknowledged = 0;
            for number in 1..10_000 {
                match driver.put_key(&key, version(number)).await {
                    Ok(_) => acknowledged = number,
                    Err(_) => break,
                }
            }
            (key, acknowledged)
        });
    }
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    bed.hook(Hook::Kill).await?;
    let ended = writers.join_all().await;
    bed.hook(Hook::Start).await?;
    bed.reconnect().await?;
    for (key, acknowledged) in ended {
        let (_, content) = answered("Get after a kill during Puts", bed.driver().await.get_key(&key).await)?;
        let fits = [acknowledged, acknowledged + 1].iter().any(|number| content == version(*number));
        if !fits {
            let wanted = format!("version {acknowledged}, which was acknowledged, or the next, whole");
            let got = format!("{} bytes that begin with {:?}", content.len(), content.first());
            return Err(Failure::new("Get after a kill during Puts", wanted, got));
        }
    }
    Ok(())
}
