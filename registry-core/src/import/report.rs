//! What an import has done so far, for people: progress while it runs, each problem as it is met, and the sums at the end.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

/// Where nobody watches, a line this often tells that it goes on.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Count {
    Repositories,
    ManifestsImported,
    ManifestsThere,
    ManifestsDeleted,
    BlobsCopied,
    BlobsShared,
    BlobsThere,
    Bytes,
    TagsWritten,
    TagsThere,
    TagsKept,
    Uploads,
    Problems,
}

const COUNTS: usize = Count::Problems as usize + 1;

pub(super) struct Report {
    began: Instant,
    counts: [AtomicU64; COUNTS],
    bar: Option<ProgressBar>,
}

impl Report {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise}  {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { began: Instant::now(), counts: std::array::from_fn(|_| AtomicU64::new(0)), bar }
    }

    pub(super) fn count(&self, what: Count, number: u64) {
        if let Some(counter) = self.counts.get(what as usize) {
            counter.fetch_add(number, Ordering::Relaxed);
        }
    }

    pub(super) fn of(&self, what: Count) -> u64 {
        self.counts.get(what as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Something that could not be imported.
    pub(super) fn problem(&self, path: &str, reason: &str) {
        self.count(Count::Problems, 1);
        self.say(&format!("problem: {path}: {}", reason.escape_debug()));
    }

    pub(super) fn note(&self, text: &str) {
        self.say(&format!("note: {text}"));
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| write_line(line)),
            None => write_line(line),
        }
    }

    /// Tells how far it is until it is dropped.
    pub(super) async fn tell(&self) {
        let every = if self.bar.is_some() { Duration::from_millis(200) } else { LINE_EVERY };
        loop {
            tokio::time::sleep(every).await;
            let line = self.progress();
            match &self.bar {
                Some(bar) => bar.set_message(line),
                None => write_line(&line),
            }
        }
    }

    fn progress(&self) -> String {
        format!(
            "{} repositories, {} manifests imported and {} there, {} blobs, {} ({}), {} problems",
            self.of(Count::Repositories),
            self.of(Count::ManifestsImported),
            self.of(Count::ManifestsThere),
            self.of(Count::BlobsCopied) + self.of(Count::BlobsShared),
            HumanBytes(self.of(Count::Bytes)),
            self.rate(),
            self.of(Count::Problems),
        )
    }

    fn rate(&self) -> String {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let per_second = u128::from(self.of(Count::Bytes)) * 1000 / u128::from(millis);
        format!("{}/s", HumanBytes(u64::try_from(per_second).unwrap_or(u64::MAX)))
    }

    /// All sums, for standard output.
    pub(super) fn summary(&self, dry: bool) -> String {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let of = |what| self.of(what);
        let lines = [
            format!("repositories  {}", of(Count::Repositories)),
            format!(
                "manifests     {} imported, {} were there, {} deleted ones passed over",
                of(Count::ManifestsImported),
                of(Count::ManifestsThere),
                of(Count::ManifestsDeleted)
            ),
            format!(
                "blobs         {} copied, {} shared with another repository, {} were there",
                of(Count::BlobsCopied),
                of(Count::BlobsShared),
                of(Count::BlobsThere)
            ),
            format!(
                "tags          {} written, {} were there, {} left where they point here",
                of(Count::TagsWritten),
                of(Count::TagsThere),
                of(Count::TagsKept)
            ),
            format!("uploads       {} unfinished ones, not imported", of(Count::Uploads)),
            format!("bytes         {} ({})", of(Count::Bytes), HumanBytes(of(Count::Bytes))),
            format!("time          {} ({})", HumanDuration(self.began.elapsed()), self.rate()),
            format!("problems      {}", of(Count::Problems)),
        ];
        let head = if dry { "a dry run: nothing was written; this is what an import would do\n" } else { "" };
        format!("{head}{}", lines.join("\n"))
    }
}

fn write_line(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
