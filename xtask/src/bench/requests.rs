//! How many requests a push and a pull cost, from the log of the server that has the store.

use std::path::Path;

use super::client::{self, REPOSITORY};
use super::load::{manifest, noise};
use super::ratio::{Bound, Check};
use super::server::Server;
use super::{Options, remove};
use crate::console;
use crate::s3_servers::{Backend, Request};

pub(crate) const PART: &str = "requests";
pub(crate) const LAYER: usize = 256 << 20;
const TAG: &str = "v1";

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

/// What the steps cost, each once.
pub(crate) struct Costs(Vec<Cost>);

/// How many requests are the most.
pub(crate) struct Bounds {
    pub(crate) layer: f64,
    /// With its configuration.
    pub(crate) manifest: f64,
    pub(crate) get_by_tag: f64,
    pub(crate) get_layer: f64,
    /// That move bytes inside the store. `None`: the server's log does not tell.
    pub(crate) copies: Option<f64>,
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
}

impl Costs {
    pub(crate) fn of(&self, step: Step) -> Cost {
        let found = Step::ALL.iter().zip(&self.0).find(|(one, _)| **one == step);
        found.map_or_else(Cost::default, |(_, cost)| *cost)
    }

    /// `over` begins each line where there are several servers.
    pub(crate) fn check(&self, over: &str, bounds: &Bounds) -> Vec<Check> {
        let requests = |step| self.of(step).requests;
        let manifest = requests(Step::PushConfiguration) + requests(Step::PushManifest);
        let copies = self.0.iter().map(|cost| cost.copies).sum();
        let seen = [
            ("requests of the push of a layer", Some(bounds.layer), requests(Step::PushLayer)),
            ("requests of a GET by tag", Some(bounds.get_by_tag), requests(Step::GetByTag)),
            ("requests of a GET of a layer", Some(bounds.get_layer), requests(Step::GetLayer)),
            ("requests of the push of a manifest and its configuration", Some(bounds.manifest), manifest),
            ("requests that move bytes inside the store", bounds.copies, copies),
        ];
        let check = |(what, most, seen): (&str, Option<f64>, usize)| {
            #[expect(clippy::cast_precision_loss, reason = "a few requests")]
            Some(Check::new(format!("{over}{what}"), Bound::AtMost(most?), seen as f64))
        };
        seen.into_iter().filter_map(check).collect()
    }
}

/// Counts over a server of its own, which was just started.
pub(crate) fn count<B: Backend>(
    options: &Options,
    name: &str,
    start: impl FnOnce(&B, &Path) -> Result<Server, String>,
) -> Result<Costs, String> {
    let directory = options.disk.join("requests");
    remove(&directory)?;
    let store = B::start_to_measure(&directory)?;
    let server = start(&store, &directory)?;
    let layer = noise(LAYER, 3);
    let digest = client::digest_of(&layer);
    let mut seen = store.requests()?.len();
    let mut costs = Vec::new();
    for step in Step::ALL {
        take(step, &server, &layer, &digest).map_err(|error| format!("{name}, {}: {error}", step.name()))?;
        let requests = store.requests()?;
        let cost = Cost::of(&requests[seen..]);
        seen = requests.len();
        console::say(&format!("{name:<13} {:<46} {cost:?}", step.name()));
        costs.push(cost);
    }
    drop((server, store));
    remove(&directory)?;
    Ok(Costs(costs))
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
        let health = requests.iter().filter(|request| request.is_health()).count();
        let copies = requests.iter().filter(|request| request.is_copy).count();
        Self { requests: requests.len() - health, health, copies }
    }
}
