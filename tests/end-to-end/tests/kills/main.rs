//! 200 times kill -9, each inside an open request: of the core, of the driver, of both in turn. Whatever was
//! acknowledged is still there, nothing is to be seen early, and the client goes on where it was.

mod phase;
mod recovery;
mod trial;

use longshore_end_to_end::{Random, figure};

use crate::trial::Trial;

const KILLS: usize = 200;
const KILLS_INSIDE_A_COMMIT: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_kills_lose_nothing_that_was_acknowledged() {
    let mut trial = Trial::start(Random::announced("kills")).await;
    trial.measure_phases().await;
    while trial.counted() < KILLS {
        trial.run().await;
    }
    trial.everything_acknowledged_is_there().await;
    for line in trial.histogram() {
        figure!("kills: {line}");
    }
    let inside = trial.counted_inside_a_commit();
    assert!(inside >= KILLS_INSIDE_A_COMMIT, "only {inside} kills inside a commit");
}
