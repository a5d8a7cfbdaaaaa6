//! Counts the blobs that could have been left to the store, by what came of it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    storage: String,
    outcome: &'static str,
}

/// The metric of redirects.
#[derive(Debug)]
pub struct Redirects(Family<OfOutcome, Counter>);

impl Redirects {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self(Family::default());
        registry.register(
            "blob_redirects",
            "Blobs that the store was to serve, by outcome; all but redirected were served by the core",
            new.0.clone(),
        );
        new
    }

    /// `outcome` is of the closed list of `registry::redirect::Signing`.
    pub fn count(&self, storage: &str, outcome: &'static str) {
        self.0.get_or_create(&OfOutcome { storage: storage.to_owned(), outcome }).inc();
    }
}
