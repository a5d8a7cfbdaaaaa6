//! A client that does nothing wrong, while others do.

use std::time::{Duration, Instant};

use longshore_end_to_end::{Client, Registry, figure, figures};
use reqwest::StatusCode;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::raw::PATIENCE;

/// The slowest of a good client's requests may take this long on a machine that is busy with the attack itself.
const SLOWEST: Duration = Duration::from_secs(5);
/// So many requests it makes, also when the attack is over before that.
const FEWEST: u64 = 20;

pub(crate) struct GoodClient {
    stop: oneshot::Sender<()>,
    work: JoinHandle<(u64, Duration)>,
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
        Self { stop, work: tokio::spawn(work(client, stopped)), core, memory: figures::peak_memory(core) }
    }

    /// It was served all the time, and the core's peak memory did not grow by more than this.
    pub(crate) async fn unharmed(self, what: &str, growth: u64) {
        self.stop.send(()).expect("the good client works until now");
        let work = tokio::time::timeout(PATIENCE, self.work).await.expect("the good client is served");
        let (requests, slowest) = work.expect("no failure of the good client");
        let grown = figures::peak_memory(self.core).saturating_sub(self.memory);
        figure!(
            "{what}: {requests} good requests, the slowest {slowest:.0?}; the core grew by {}",
            figures::mib(grown)
        );
        assert!(slowest < SLOWEST, "of {requests} requests the slowest took {slowest:?}");
        assert!(grown < growth, "the core grew by {} at its peak", figures::mib(grown));
    }
}

async fn work(client: Client, mut stopped: oneshot::Receiver<()>) -> (u64, Duration) {
    let (mut requests, mut slowest) = (0, Duration::ZERO);
    while requests < FEWEST || stopped.try_recv().is_err() {
        let begin = Instant::now();
        let content = format!("blob {requests}");
        let digest = client.push_blob("good/client", content.clone()).await.expect("push");
        assert_eq!(client.get_blob("good/client", &digest).await.expect("pull"), content);
        let head = client.head_blob("good/client", &digest).await.expect("HEAD");
        assert_eq!(head.status(), StatusCode::OK);
        slowest = slowest.max(begin.elapsed());
        requests += 5;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (requests, slowest)
}
