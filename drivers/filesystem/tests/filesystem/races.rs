//! Conditions under concurrency, through two driver instances on one root: their locks are as strange to each other as
//! those of two processes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use longshore_driver_sdk::{Condition, Driver, Reason};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn of_sixty_four_puts_of_an_absent_key_one_wins() {
    let store = store().await;
    let other = reopen(&store.root).await;
    let drivers = [&store.driver, &other];
    for round in 0..10 {
        let at = key(&format!("r/{round}"));
        let puts = (0..64_usize).map(|n| {
            let (driver, at) = (drivers[n % 2], at.clone());
            async move { driver.put(&at, Bytes::from(n.to_string()), Condition::IfAbsent).await }
        });
        let outcomes = join_all(puts).await;
        let winners: Vec<_> = (0..64).filter(|n| outcomes[*n].is_ok()).collect();
        assert_eq!(winners.len(), 1);
        assert!(
            outcomes.into_iter().filter_map(Result::err).all(|error| error.reason() == Reason::KeyExists)
        );
        assert_eq!(read_all(&store.driver, &at).await.unwrap(), winners[0].to_string().as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn no_update_of_a_counter_is_lost() {
    let store = store().await;
    let drivers = [Arc::new(store.driver), Arc::new(reopen(&store.root).await)];
    drivers[0].put(&key("n"), bytes("0"), Condition::Always).await.unwrap();
    let tasks = (0..16_usize).map(|n| {
        let driver = Arc::clone(&drivers[n % 2]);
        tokio::spawn(async move {
            let mut left = 10;
            while left > 0 {
                let (object, content) = driver.get(&key("n")).await.unwrap();
                let value: u32 = std::str::from_utf8(&content).unwrap().parse().unwrap();
                let condition = Condition::IfMatch(object.etag.unwrap());
                match driver.put(&key("n"), Bytes::from((value + 1).to_string()), condition).await {
                    Ok(_) => left -= 1,
                    Err(error) => assert_eq!(error.reason(), Reason::PreconditionFailed),
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert_eq!(read_all(&*drivers[1], &key("n")).await.unwrap(), b"160");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn puts_and_deletes_in_one_folder_do_not_hinder_each_other() {
    let store = store().await;
    let tasks = (0..16_usize).map(|n| {
        let driver = &store.driver;
        async move {
            let at = key(&format!("deep/er/folder/{n}"));
            for _ in 0..40 {
                driver.put(&at, bytes("x"), Condition::Always).await.unwrap();
                assert!(driver.delete(&at, None).await.unwrap());
            }
        }
    });
    join_all(tasks).await;
    assert!(!store.root.join("deep").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn readers_see_whole_versions_only() {
    let store = store().await;
    let versions: Vec<Bytes> = (0..4_u8).map(|n| Bytes::from(vec![n; 100_000 + usize::from(n)])).collect();
    store.driver.put(&key("a"), versions[0].clone(), Condition::Always).await.unwrap();
    let write = async {
        for round in 0..100 {
            store.driver.put(&key("a"), versions[round % 4].clone(), Condition::Always).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..200 {
            let found = store.driver.get(&key("a")).await.unwrap().1;
            assert!(versions.contains(&found));
        }
    };
    futures_util::join!(write, read);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn of_many_commits_to_one_key_one_wins() {
    let store = store().await;
    let commits = (1..=16_u8).map(|n| {
        let driver = &store.driver;
        async move {
            let (_, mut stream) = create(driver, n, 1, "one/key").await?;
            stream.write(Bytes::from(vec![n; 1000])).await?;
            stream.commit(1000, Bytes::new()).await
        }
    });
    let outcomes = join_all(commits).await;
    let winners: Vec<_> = (1..=16_u8).filter(|n| outcomes[usize::from(*n) - 1].is_ok()).collect();
    assert_eq!(winners.len(), 1);
    assert!(read_all(&store.driver, &key("one/key")).await.unwrap() == vec![winners[0]; 1000]);
}
