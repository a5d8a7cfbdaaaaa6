//! The bytes of an object, as a worker sends them. Owns how a worker is held back and how one is stopped whose reader went
//! away.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use longshore_driver_sdk::Result;
use serde_json::json;
use tokio::time::timeout;

use crate::failure::Outcome;
use crate::pool::{Lent, Pool};
use crate::python::settle;

/// What may be under way.
const WINDOW: u64 = 2 * 1024 * 1024;
/// A stream that is slower counts as one that stands.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a worker may take to end a stream that nobody reads.
const END: Duration = Duration::from_secs(5);

/// A read under way. Dropping it stops the worker's, and gives it back.
pub(crate) struct Pieces {
    lent: Option<Lent>,
    pool: Arc<Pool>,
    taken: u64,
}

impl Pieces {
    pub(crate) async fn start(
        mut lent: Lent,
        pool: Arc<Pool>,
        key: &str,
        offset: u64,
        length: u64,
        ranged: bool,
    ) -> Result<Self> {
        let request = json!({
            "call": "read", "key": key, "offset": offset, "length": length, "ranged": ranged, "window": WINDOW,
            "canary": pool.canary(),
        });
        if let Some(worker) = lent.worker()
            && let Err(failure) = worker.send(&request, &[], PATIENCE).await
        {
            return settle(&pool, lent, "stream_read", Err(failure)).await;
        }
        Ok(Self { lent: Some(lent), pool, taken: 0 })
    }

    /// As a stream; it ends with an error where the worker can't go on.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        stream::unfold(self, |mut pieces| async move {
            match pieces.next().await {
                Ok(Some(piece)) => Some((Ok(piece), pieces)),
                Ok(None) => None,
                Err(error) => Some((Err(error), pieces)),
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(mut lent) = self.lent.take() else { return Ok(None) };
        // Dropping the future in the middle of a frame leaves the worker of no use: it is ended with `lent`.
        let outcome = self.piece(&mut lent).await;
        match outcome {
            Ok(Some(piece)) => {
                self.lent = Some(lent);
                Ok(Some(piece))
            }
            other => settle(&self.pool, lent, "stream_read", other).await,
        }
    }

    async fn piece(&mut self, lent: &mut Lent) -> Outcome<Option<Bytes>> {
        let Some(worker) = lent.worker() else { return Ok(None) };
        let (answer, body) = worker.next(PATIENCE).await?;
        if answer.end {
            return Ok(None);
        }
        self.taken += body.len() as u64;
        if self.taken >= WINDOW / 2 {
            worker.send(&json!({"call": "more", "bytes": self.taken}), &[], PATIENCE).await?;
            self.taken = 0;
        }
        Ok(Some(body))
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let Some(mut lent) = self.lent.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // One that does not come to an end is dropped with `lent`, and ended so.
            if timeout(END, stop(&mut lent)).await.is_ok_and(|stopped| stopped.is_ok()) {
                lent.give_back();
            }
        });
    }
}

async fn stop(lent: &mut Lent) -> Outcome<()> {
    let Some(worker) = lent.worker() else { return Ok(()) };
    worker.send(&json!({"call": "stop"}), &[], END).await?;
    loop {
        match worker.next(END).await {
            Ok((answer, _)) if answer.end => return Ok(()),
            Ok(_) => {}
            Err(failure) if failure.leaves_worker() => return Ok(()),
            Err(failure) => return Err(failure),
        }
    }
}
