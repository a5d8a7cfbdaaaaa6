//! How far a listing is, for whoever waits for it at a terminal.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A listing that is done by then shows nothing else.
const LONG: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_millis(200);

/// Hidden until it takes long.
pub struct Progress {
    repositories: AtomicU64,
    tags: AtomicU64,
    images: AtomicU64,
    bytes: AtomicU64,
    bar: ProgressBar,
}

impl Default for Progress {
    fn default() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise}  {wide_msg}") {
            bar.set_style(style);
        }
        Self {
            repositories: AtomicU64::default(),
            tags: AtomicU64::default(),
            images: AtomicU64::default(),
            bytes: AtomicU64::default(),
            bar,
        }
    }
}

impl Progress {
    /// Tells it until it is dropped, where standard error is a terminal; never ends.
    pub async fn tell(&self) {
        if !std::io::stderr().is_terminal() {
            return std::future::pending().await;
        }
        tokio::time::sleep(LONG).await;
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
        loop {
            self.bar.set_message(self.text());
            self.bar.tick();
            tokio::time::sleep(EVERY).await;
        }
    }

    fn text(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut text = format!(
            "{} repositories, {} tags, {} images looked at",
            of(&self.repositories),
            of(&self.tags),
            of(&self.images)
        );
        if of(&self.bytes) > 0 {
            text += &format!(", {} read", HumanBytes(of(&self.bytes)));
        }
        text
    }

    pub(super) fn repository(&self) {
        self.repositories.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn tag(&self) {
        self.tags.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn image(&self) {
        self.images.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self, number: usize) {
        self.bytes.fetch_add(number as u64, Ordering::Relaxed);
    }

    /// Writes something where the progress stood, which comes again below it.
    pub(super) fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
