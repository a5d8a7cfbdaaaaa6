//! What a server enforces, found by trying it: the right, the stale and the absent case of each condition, one after the
//! other, and then all at once. A server that answers 200 to a condition proves nothing.

use std::sync::Arc;

use futures_util::future::join_all;
use longshore_driver_sdk::{Bytes, DriverError, Reason, Result, UploadId};

use crate::bucket::{Bucket, Extra, Found, Guard, Part};
use crate::failure::Failure;
use longshore_driver_sdk::sessions::parted::Content;

/// So many at once, so many times: a condition that is a look and then a write lets more than one through.
const RIVALS: usize = 8;
const ROUNDS: usize = 5;

/// What holds on this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Enforced {
    pub(crate) put_if_absent: bool,
    /// With the etag in quotes, without them, or not at all.
    pub(crate) put_if_match: Option<Quotes>,
    pub(crate) delete_if_match: Option<Quotes>,
    pub(crate) complete_if_absent: bool,
    /// A completion may leave out parts that were sent: RGW refuses that.
    pub(crate) parts_left_out: bool,
    pub(crate) crc32c: bool,
}

/// How a server wants an etag in a condition: RGW compares the quotes, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    With,
    Without,
}

impl Quotes {
    pub(crate) fn around(self, etag: &str) -> String {
        match self {
            Self::With => format!("\"{etag}\""),
            Self::Without => etag.to_owned(),
        }
    }
}

struct Probe<'a> {
    bucket: &'a Arc<Bucket>,
    /// Names of its own below this.
    place: String,
}

/// Tries everything, and cleans up.
///
/// # Errors
/// When the bucket can't be reached, or refuses plain writes, reads or deletes.
pub(crate) async fn run(bucket: &Arc<Bucket>) -> Result<Enforced> {
    let probe = Probe { bucket, place: format!(".driver/probe/{}", UploadId::random()?) };
    let outcome = probe.all().await;
    probe.clean_up().await;
    outcome
}

impl Probe<'_> {
    async fn all(&self) -> Result<Enforced> {
        self.plain().await?;
        Ok(Enforced {
            put_if_absent: self.puts_if_absent().await? && self.race_of_creations().await?,
            put_if_match: self.puts_if_match().await?,
            delete_if_match: self.deletes_if_match().await?,
            complete_if_absent: self.completes_if_absent().await?,
            parts_left_out: self.leaves_parts_out().await?,
            crc32c: self.checks_sums().await?,
        })
    }

    fn name(&self, what: &str) -> String {
        format!("{}/{what}", self.place)
    }

    async fn put(
        &self,
        name: &str,
        text: &'static str,
        guard: &Guard,
    ) -> std::result::Result<Found, Failure> {
        let content = Content::from(Bytes::from_static(text.as_bytes()));
        self.bucket.put(name, content, guard, Extra::default()).await
    }

    /// What the driver can't do without.
    async fn plain(&self) -> Result<()> {
        let name = self.name("plain");
        self.bucket.list(".driver/", true, "", 1).await?;
        self.put(&name, "plain", &Guard::None)
            .await
            .map_err(|failure| failure.into_error("a first write"))?;
        let found = self.bucket.stat(&name).await?;
        if found.is_none_or(|found| found.size != 5) {
            return Err(DriverError::new(
                Reason::BackendUnavailable,
                format!("{name} was written and is not there to be read; is there a cache in between?"),
            ));
        }
        let is_encrypted = self.bucket.is_encrypted(&name).await?;
        self.bucket.delete(&name, None).await.map_err(|failure| failure.into_error("a first delete"))?;
        if is_encrypted {
            return Ok(());
        }
        let message = "the server takes `sse` and does not encrypt; leave it out, or have the server mended";
        Err(DriverError::new(Reason::NotSupported, message))
    }

    async fn puts_if_absent(&self) -> Result<bool> {
        let name = self.name("absent");
        let first = enforced(self.put(&name, "first", &Guard::IfAbsent).await)?;
        let second = enforced(self.put(&name, "second", &Guard::IfAbsent).await)?;
        let stays = self.bucket.stat(&name).await?.is_some_and(|found| found.size == 5);
        Ok(first == Verdict::Took && second == Verdict::Refused && stays)
    }

    async fn race_of_creations(&self) -> Result<bool> {
        for round in 0..ROUNDS {
            let name = self.name(&format!("race{round}"));
            let rivals = (0..RIVALS).map(|_| self.put(&name, "rival", &Guard::IfAbsent));
            // Who meets a failure tries again, and then finds the winner's.
            if Race::of(join_all(rivals).await)?.won != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn puts_if_match(&self) -> Result<Option<Quotes>> {
        for quotes in [Quotes::With, Quotes::Without] {
            if self.puts_if_match_so(quotes).await? {
                return Ok(Some(quotes));
            }
        }
        Ok(None)
    }

    async fn puts_if_match_so(&self, quotes: Quotes) -> Result<bool> {
        let name = self.name(&format!("match-{quotes:?}"));
        let guard = |etag: &str| Guard::IfMatch(quotes.around(etag));
        let old = self.etag_of_new(&name, "old").await?;
        let right = enforced(self.put(&name, "newer", &guard(&old)).await)?;
        let stale = enforced(self.put(&name, "stale one", &guard(&old)).await)?;
        let missing = self.name(&format!("missing-{quotes:?}"));
        let absent = enforced(self.put(&missing, "absent", &guard(&old)).await)?;
        let stays = self.bucket.stat(&name).await?.is_some_and(|found| found.size == 5);
        let verdicts = (right, stale, absent) == (Verdict::Took, Verdict::Refused, Verdict::Refused);
        if !verdicts || !stays {
            return Ok(false);
        }
        for round in 0..ROUNDS {
            let name = self.name(&format!("match-race{round}-{quotes:?}"));
            let etag = self.etag_of_new(&name, "old").await?;
            let guard = guard(&etag);
            // Each with a content of its own, so that a winner changes the etag.
            let rivals = RIVAL_TEXTS.iter().map(|text| self.put(&name, text, &guard));
            // Who meets a failure can't tell whether the etag that it tries again with is still the right one.
            let race = Race::of(join_all(rivals).await)?;
            if (race.won, race.failed) != (1, 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn deletes_if_match(&self) -> Result<Option<Quotes>> {
        for quotes in [Quotes::With, Quotes::Without] {
            let name = self.name(&format!("delete-{quotes:?}"));
            let old = self.etag_of_new(&name, "old").await?;
            self.put(&name, "newer", &Guard::None).await.map_err(|failure| failure.into_error("a write"))?;
            let stale = enforced(self.bucket.delete(&name, Some(&quotes.around(&old))).await)?;
            let Some(found) = self.bucket.stat(&name).await? else { continue };
            let now = found.etag.unwrap_or_default();
            let right = enforced(self.bucket.delete(&name, Some(&quotes.around(&now))).await)?;
            let gone = self.bucket.stat(&name).await?.is_none();
            if stale == Verdict::Refused && right == Verdict::Took && gone {
                return Ok(Some(quotes));
            }
        }
        Ok(None)
    }

    async fn completes_if_absent(&self) -> Result<bool> {
        let name = self.name("complete");
        self.put(&name, "first", &Guard::None).await.map_err(|failure| failure.into_error("a write"))?;
        let multipart = self.bucket.create_multipart(&name, Extra::default()).await?;
        let part = self.part(&name, &multipart, 1).await?;
        let outcome = self.bucket.complete(&name, &multipart, &[part], &Guard::IfAbsent).await;
        self.bucket.abort(&name, &multipart).await?;
        let stays = self.bucket.stat(&name).await?.is_some_and(|found| found.size == 5);
        Ok(enforced(outcome)? == Verdict::Refused && stays)
    }

    async fn leaves_parts_out(&self) -> Result<bool> {
        let name = self.name("left-out");
        let multipart = self.bucket.create_multipart(&name, Extra::default()).await?;
        self.part(&name, &multipart, 1).await?;
        let second = self.part(&name, &multipart, 2).await?;
        let outcome = self.bucket.complete(&name, &multipart, &[second], &Guard::None).await;
        self.bucket.abort(&name, &multipart).await?;
        match outcome {
            Err(Failure::Parts) => Ok(false),
            other => Ok(enforced(other)? == Verdict::Took),
        }
    }

    async fn part(&self, name: &str, multipart: &str, number: u32) -> Result<Part> {
        let content = Content::from(Bytes::from_static(b"in parts"));
        let part = self.bucket.put_part(name, multipart, number, content, Extra::default()).await;
        part.map_err(|failure| failure.into_error("a part"))
    }

    /// Whether a wrong sum is refused: one that is merely taken guards nothing.
    async fn checks_sums(&self) -> Result<bool> {
        let name = self.name("sums");
        let wrong = self.bucket.put_with_sum(&name, "bytes", 0).await;
        let right = self.bucket.put_with_sum(&name, "bytes", crc32c::crc32c(b"bytes")).await;
        Ok(matches!(wrong, Err(Failure::Other(_) | Failure::Unknown(_))) && right.is_ok())
    }

    async fn etag_of_new(&self, name: &str, text: &'static str) -> Result<String> {
        let put =
            self.put(name, text, &Guard::None).await.map_err(|failure| failure.into_error("a write"))?;
        put.etag.ok_or_else(|| {
            DriverError::new(Reason::DriverBug, format!("PUT {name}: the server gave no ETag"))
        })
    }

    /// What is left behind lies below `.driver/probe/`, where nobody looks.
    async fn clean_up(&self) {
        let listed = self.bucket.list(&format!("{}/", self.place), false, "", 1000).await;
        let names: Vec<_> =
            listed.map(|page| page.entries).unwrap_or_default().into_iter().map(|entry| entry.name).collect();
        if names.is_empty() {
            return;
        }
        match self.bucket.delete_all(&names).await {
            Ok(refused) if refused.is_empty() => {}
            Ok(refused) => {
                tracing::warn!(place = self.place, left = refused.len(), "the probe's objects stay");
            }
            Err(error) => tracing::warn!(place = self.place, %error, "the probe's objects stay"),
        }
    }
}

const RIVAL_TEXTS: [&str; RIVALS] = ["1", "22", "333", "4444", "55555", "666666", "7777777", "88888888"];

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Took,
    Refused,
    /// It does not know the condition.
    Unknown,
}

fn enforced<T>(outcome: std::result::Result<T, Failure>) -> Result<Verdict> {
    match outcome {
        Ok(_) => Ok(Verdict::Took),
        Err(Failure::Condition | Failure::Conflict | Failure::Absent) => Ok(Verdict::Refused),
        Err(Failure::Unknown(_)) => Ok(Verdict::Unknown),
        Err(other) => Err(other.into_error("a conditional write")),
    }
}

/// How a race went.
#[derive(Default)]
struct Race {
    won: usize,
    /// The server failed: RGW answers 500 to some.
    failed: usize,
}

impl Race {
    fn of(outcomes: Vec<std::result::Result<Found, Failure>>) -> Result<Self> {
        let mut race = Self::default();
        for outcome in outcomes {
            match enforced(outcome) {
                Ok(verdict) => race.won += usize::from(verdict == Verdict::Took),
                Err(error) if error.reason() == Reason::BackendUnavailable => race.failed += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(race)
    }
}
