//! The storage beside a bad one: pushed to and pulled from all the time.

use std::time::{Duration, Instant};

use longshore_end_to_end::{Client, Random, sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// As a push and a pull of a small blob may take on a busy machine.
const FAST: Duration = Duration::from_secs(2);

pub(crate) struct Beside {
    stop: watch::Sender<bool>,
    traffic: JoinHandle<(u32, Duration)>,
}

impl Beside {
    pub(crate) fn start(client: Client, mut random: Random) -> Self {
        let (stop, stopped) = watch::channel(false);
        let traffic = tokio::spawn(async move {
            let (mut served, mut slowest) = (0, Duration::ZERO);
            while !*stopped.borrow() {
                let content = random.bytes(20_000);
                let begin = Instant::now();
                let digest = client.push_blob("good/app", content).await.expect("push beside");
                let pulled = client.get_blob("good/app", &digest).await.expect("pull beside");
                assert_eq!(sha256(&pulled), digest);
                served += 1;
                slowest = slowest.max(begin.elapsed());
                assert!(slowest < FAST, "the storage beside took {slowest:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (served, slowest)
        });
        Self { stop, traffic }
    }

    /// How often it was served, and how slowly at worst.
    pub(crate) async fn stop(self) -> (u32, Duration) {
        self.stop.send_replace(true);
        let (served, slowest) = self.traffic.await.expect("the storage beside is served on");
        assert!(served > 0, "nothing was asked of the storage beside");
        (served, slowest)
    }
}
