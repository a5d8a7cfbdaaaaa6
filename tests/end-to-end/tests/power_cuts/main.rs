//! 100 power cuts under concurrent pushes, on an ext4 disk of the test's own. After each one everything that had
//! been acknowledged is there with the right bytes, no record is torn, and uploads go on from their durable offset.
//! The test can fail: with `durability=os` the same cuts lose what was acknowledged.

mod audit;
mod ledger;
mod pusher;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use longshore_end_to_end::loop_disk::LoopDisk;
use longshore_end_to_end::registry::{START, Storage};
use longshore_end_to_end::{Random, Registry, figure};
use tokio::task::JoinSet;

use crate::ledger::Ledger;
use crate::pusher::Pusher;

const CUTS: usize = 100;
/// A new disk now and then keeps the full check after every cut cheap.
const CUTS_PER_DISK: usize = 20;
const PUSHERS: usize = 3;
const DISK: u64 = 4 << 30;
const LONGEST_RUN: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_power_cuts_lose_nothing_that_was_acknowledged() {
    let mut random = Random::announced("power cuts");
    let begin = Instant::now();
    let mut total = ledger::Counts::default();
    for disk in 0..CUTS / CUTS_PER_DISK {
        let mut bench = Bench::new("durability=stable").await;
        for cut in 0..CUTS_PER_DISK {
            bench.push_and_cut(&mut random).await;
            let losses = bench.audit().await;
            assert!(losses.is_empty(), "disk {disk}, cut {cut}:\n{}", losses.join("\n"));
        }
        total.add(&bench.ledger.lock().expect("the ledger").counts());
    }
    figure!("power cuts: {CUTS} in {:.1?}; acknowledged and found: {total:?}", begin.elapsed());
    assert!(
        total.blobs >= CUTS && total.manifests >= CUTS && total.sessions >= CUTS / 2,
        "too little was pushed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_fsync_a_power_cut_loses_acknowledged_pushes_and_this_test_sees_it() {
    let mut random = Random::announced("power cuts without fsync");
    let mut bench = Bench::new("durability=os").await;
    bench.push_and_cut(&mut random).await;
    let losses = bench.audit().await;
    figure!("power cuts: durability=os: {} losses after one cut", losses.len());
    assert!(!losses.is_empty(), "a cut under durability=os went unnoticed");
}

/// A registry on a disk whose power can be cut. The disk goes last: it is unmounted when nobody uses it.
struct Bench {
    registry: Registry,
    ledger: Arc<Mutex<Ledger>>,
    disk: LoopDisk,
}

impl Bench {
    async fn new(durability: &str) -> Self {
        let disk = LoopDisk::new(DISK);
        let storage = Storage::default_one().at(disk.path().join("store")).setting(durability);
        let registry = Registry::start_storages(vec![storage]).await;
        Self { registry, ledger: Arc::default(), disk }
    }

    /// Pushes from several clients until the power goes at a random moment, then starts everything again.
    async fn push_and_cut(&mut self, random: &mut Random) {
        let power_is_cut = Arc::new(AtomicBool::new(false));
        let mut pushers = JoinSet::new();
        for number in 0..PUSHERS {
            let pusher = Pusher {
                client: self.registry.client(),
                ledger: Arc::clone(&self.ledger),
                power_is_cut: Arc::clone(&power_is_cut),
                repository: format!("cuts/pusher{number}"),
                random: random.split(),
            };
            pushers.spawn(pusher.run());
        }
        tokio::time::sleep(Duration::from_millis(50) + random.duration_below(LONGEST_RUN)).await;
        power_is_cut.store(true, Ordering::SeqCst);
        self.disk.cut();
        self.registry.kill_both();
        pushers.join_all().await;
        self.disk.unmount();
        self.disk.mount();
        self.registry.driver().start();
        self.registry.start_core();
    }

    /// What is missing, torn or wrong.
    async fn audit(&mut self) -> Vec<String> {
        let client = self.registry.client();
        let mut losses = audit::records(self.registry.store());
        if losses.is_empty() {
            self.registry.await_ready(START).await;
            let ledger = std::mem::take(&mut *self.ledger.lock().expect("the ledger"));
            let (ledger, lost) = audit::acknowledged(&client, ledger).await;
            *self.ledger.lock().expect("the ledger") = ledger;
            losses.extend(lost);
        }
        losses
    }
}
