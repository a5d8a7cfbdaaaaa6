//! A client that does nothing wrong, while others do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longshore_end_to_end::{Client, Registry, figure, figures};
use reqwest::StatusCode;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::raw::PATIENCE;

/// The slowest of a good client's requests may take this long on a machine that is busy with the attack itself.
const SLOWEST: Duration = Duration::from_secs(5);
/// Fewer requests say nothing.
const FEWEST: u64 = 10;

pub(crate) struct GoodClient {
    stop: oneshot::Sender<()>,
    requests: Arc<AtomicU64>,
    /// Gives how long the slowest took.
    work: JoinHandle<Duration>,
    core: u32,
    memory: u64,
}

impl GoodClient {
    /// Pushes, pulls and asks until it is stopped; any failure is a panic.
    pub(crate) async fn start(registry: &Registry) -> Self {
        let client = registry.client();
        client.push_blob("good/client", "before").await.expect("push");
        let (stop, stopped) = oneshot::channel();
        let core = registry.core().id();
        figures::reset_peak_memory(core);
        let requests = Arc::<AtomicU64>::default();
        let work = tokio::spawn(work(client, Arc::clone(&requests), stopped));
        Self { stop, requests, work, core, memory: figures::peak_memory(core) }
    }

    /// Waits until it has made requests enough to tell how it fares.
    pub(crate) async fn has_worked(&self) {
        let begin = Instant::now();
        while self.requests.load(Ordering::Relaxed) < FEWEST && !self.work.is_finished() {
            assert!(begin.elapsed() < PATIENCE, "the good client is not served");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// It was served all the time, and the core's peak memory did not grow by more than this.
    pub(crate) async fn unharmed(self, what: &str, growth: u64) {
        self.stop.send(()).expect("the good client works until now");
        let slowest = self.work.await.expect("no failure of the good client");
        let requests = self.requests.load(Ordering::Relaxed);
        let grown = figures::peak_memory(self.core).saturating_sub(self.memory);
        figure!(
            "{what}: {requests} good requests, the slowest {slowest:.0?}; the core grew by {}",
            figures::mib(grown)
        );
        assert!(requests >= FEWEST && slowest < SLOWEST, "{requests} requests, the slowest took {slowest:?}");
        assert!(grown < growth, "the core grew by {} at its peak", figures::mib(grown));
    }
}

async fn work(client: Client, requests: Arc<AtomicU64>, mut stopped: oneshot::Receiver<()>) -> Duration {
    let mut slowest = Duration::ZERO;
    while stopped.try_recv().is_err() {
        let begin = Instant::now();
        let content = format!("blob {}", requests.load(Ordering::Relaxed));
        let digest = client.push_blob("good/client", content.clone()).await.expect("push");
        assert_eq!(client.get_blob("good/client", &digest).await.expect("pull"), content);
        let head = client.head_blob("good/client", &digest).await.expect("HEAD");
        assert_eq!(head.status(), StatusCode::OK);
        slowest = slowest.max(begin.elapsed());
        requests.fetch_add(5, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    slowest
}
