//! Eight clients do all that clients do, at two cores with a driver each over one store. Every request stands in a ledger,
//! and afterwards it must be possible that all the answers are true: what was acknowledged is there, what was deleted is
//! not served, a tag shows what a push left it at, and no byte is wrong.

mod content;
mod ledger;
mod mix;
mod register;
mod upload;
mod user;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::{Client, Random, Registry, figure};
use content::Content;
use ledger::Ledger;
pub use register::Deletes;
use user::{User, tag_name};

const CLIENTS: usize = 8;
const REPOSITORIES: [&str; 2] = ["load/one", "load/two"];
const TAGS: usize = 4;

/// At two cores over one store; `where_it_is` in what is told of it. `lag`: what was written shows so much later in a listing.
pub async fn mixed_load(
    where_it_is: &str,
    cores: &[Registry; 2],
    deletes: Deletes,
    duration: Duration,
    lag: Duration,
) {
    let mut random = Random::announced(&format!("mixed load over {where_it_is}"));
    let content = Arc::new(Content::random(&mut random));
    let ledger = Arc::new(Ledger::new());
    let user = |here: usize, random: Random| User {
        cores: [cores[here].client(), cores[1 - here].client()],
        ledger: Arc::clone(&ledger),
        content: Arc::clone(&content),
        random,
        failures: BTreeMap::new(),
    };
    let users = (0..CLIENTS).map(|number| user(number % 2, random.split())).collect();
    let failures = all_work(users, Instant::now() + duration).await;
    tokio::time::sleep(lag).await;
    for here in [0, 1] {
        let mut user = user(here, random.split());
        for (number, repository) in REPOSITORIES.iter().enumerate() {
            let served: Vec<_> = user.read_all(number).await.into_iter().map(tag_name).collect();
            let listed = listed_tags(&cores[here].client(), repository).await;
            assert_eq!(listed, served, "{where_it_is}: the tags of {repository} at core {here}");
        }
    }
    for (what, count) in ledger.figures() {
        figure!("load over {where_it_is}: {count} {what}");
    }
    figure!("load over {where_it_is}: failures: {failures:?}");
    let blobs_of: Vec<_> = content.images.iter().map(|image| image.blobs.clone()).collect();
    let found = ledger.contradictions(deletes, lag, &blobs_of);
    assert!(
        found.is_empty(),
        "{where_it_is}: {} contradictions\n{}",
        found.len(),
        found[..found.len().min(5)].join("\n")
    );
}

/// Ends all of them when one fails; gives the failures of all.
async fn all_work(users: Vec<User>, until: Instant) -> BTreeMap<String, usize> {
    let mut tasks = JoinSet::new();
    for mut user in users {
        tasks.spawn(async move {
            user.work(until).await;
            user.failures
        });
    }
    let mut failures = BTreeMap::new();
    while let Some(ended) = tasks.join_next().await {
        let counted = ended.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
        for (what, count) in counted {
            *failures.entry(what).or_insert(0) += count;
        }
    }
    failures
}

async fn listed_tags(client: &Client, repository: &str) -> Vec<String> {
    let answer = client.get(&format!("/v2/{repository}/tags/list")).send().await.expect("a list of tags");
    let list: serde_json::Value = answer.json().await.expect("JSON");
    let tags = list["tags"].as_array().expect("tags").iter().filter_map(|tag| tag.as_str());
    tags.map(str::to_owned).collect()
}
