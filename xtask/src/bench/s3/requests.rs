//! How many requests a push and a pull cost, from the server's access log: ours and distribution's.

use super::Bench;
use crate::bench::client::{self, REPOSITORY};
use crate::bench::load::{manifest, noise};
use crate::bench::ratio::{Bound, Check};
use crate::bench::remove;
use crate::bench::server::{Kind, Server};
use crate::console;
use crate::s3_servers::versitygw::{Purpose, Request, Versitygw};

pub(crate) const PART: &str = "requests";
pub(crate) const LAYER: usize = 256 << 20;
const TAG: &str = "v1";
/// What looks only whether the store is still itself.
const WITNESS: &str = ".driver/store-id";

/// In the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    PushLayer,
    PushConfiguration,
    PushManifest,
    GetByTag,
    GetLayer,
}

/// What one step cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    pub(crate) requests: usize,
    pub(crate) health: usize,
    /// Of the requests, those that move bytes inside the store.
    pub(crate) copies: usize,
}

pub(crate) struct Counts {
    pub(crate) ours: Vec<Cost>,
    pub(crate) distribution: Vec<Cost>,
}

impl Step {
    pub(crate) const ALL: [Self; 5] =
        [Self::PushLayer, Self::PushConfiguration, Self::PushManifest, Self::GetByTag, Self::GetLayer];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PushLayer => "push of a layer of 256 MiB, as docker does it",
            Self::PushConfiguration => "push of a configuration, by POST and PUT",
            Self::PushManifest => "push of a manifest",
            Self::GetByTag => "GET of a manifest by tag",
            Self::GetLayer => "GET of the layer",
        }
    }

    fn bound(self) -> Option<(&'static str, f64)> {
        match self {
            Self::PushLayer => Some(("requests of the push of a layer", 32.0)),
            // Bounded together.
            Self::PushConfiguration | Self::PushManifest => None,
            Self::GetByTag => Some(("requests of a GET by tag", 2.0)),
            Self::GetLayer => Some(("requests of a GET of a layer", 2.0)),
        }
    }
}

impl Counts {
    #[expect(clippy::cast_precision_loss, reason = "a few requests")]
    pub(crate) fn check(&self) -> Vec<Check> {
        let bounded = Step::ALL.iter().zip(&self.ours).filter_map(|(step, cost)| {
            let (what, most) = step.bound()?;
            Some(Check::new(what, Bound::AtMost(most), cost.requests as f64))
        });
        let of = |step| {
            let found = Step::ALL.iter().zip(&self.ours).find(|(one, _)| **one == step);
            found.map_or(0, |(_, cost)| cost.requests)
        };
        let with_configuration = Check::new(
            "requests of the push of a manifest and its configuration",
            Bound::AtMost(14.0),
            (of(Step::PushConfiguration) + of(Step::PushManifest)) as f64,
        );
        let copies: usize = self.ours.iter().map(|cost| cost.copies).sum();
        let copies =
            Check::new("requests that move bytes inside the store", Bound::AtMost(0.0), copies as f64);
        bounded.chain([with_configuration, copies]).collect()
    }
}

pub(crate) fn count(bench: &Bench<'_>) -> Result<Counts, String> {
    console::heading(PART);
    let layer = noise(LAYER, 3);
    Ok(Counts {
        ours: count_of(Kind::Longshore, bench, &layer)?,
        distribution: count_of(Kind::Distribution, bench, &layer)?,
    })
}

fn count_of(kind: Kind, bench: &Bench<'_>, layer: &[u8]) -> Result<Vec<Cost>, String> {
    let directory = bench.options.disk.join("s3-requests");
    remove(&directory)?;
    let store = Versitygw::start(&directory, Purpose::Measure)?;
    let server = Server::start_over_s3(kind, &bench.programs, &store, &directory)?;
    let digest = client::digest_of(layer);
    let mut seen = store.requests()?.len();
    let mut costs = Vec::new();
    for step in Step::ALL {
        take(step, &server, layer, &digest)
            .map_err(|error| format!("{}, {}: {error}", kind.name(), step.name()))?;
        let requests = store.requests()?;
        let cost = Cost::of(&requests[seen..]);
        seen = requests.len();
        console::say(&format!("{:<13} {:<46} {cost:?}", kind.name(), step.name()));
        costs.push(cost);
    }
    drop((server, store));
    remove(&directory)?;
    Ok(costs)
}

fn take(step: Step, server: &Server, layer: &[u8], digest: &str) -> Result<(), String> {
    // Each with connections of its own, as another client would have them.
    let (agent, url) = (client::agent(), &server.url);
    let size = layer.len();
    match step {
        Step::PushLayer => client::push_as_docker(&agent, url, digest, layer),
        Step::PushConfiguration => client::push(&agent, url, REPOSITORY, &client::digest_of(b"{}"), "{}"),
        Step::PushManifest => client::push_manifest(&agent, url, TAG, &manifest(digest, size)),
        Step::GetByTag => match client::pull_manifest(&agent, url, TAG)? {
            same if same == manifest(digest, size) => Ok(()),
            other => Err(format!("another manifest came back from {REPOSITORY}: {other}")),
        },
        Step::GetLayer => client::pull(url, digest, size as u64),
    }
}

impl Cost {
    fn of(requests: &[Request]) -> Self {
        let health = requests.iter().filter(|request| request.key == WITNESS).count();
        let copies = requests.iter().filter(|request| request.operation.contains("Copy")).count();
        Self { requests: requests.len() - health, health, copies }
    }
}
