//! Where listings may lag: the tags that a manifest was given lately, in one record of a fixed name, so that a delete by
//! digest finds those whose markers do not show yet (docs/adr/0003). Pushes of one manifest that overlap may lose each
//! other's entries here; the markers bring those back once they show.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Repository, Result, layout};
use crate::oci::{Digest, Tag};

/// A record stays small however many tags a manifest is given at once.
const MOST: usize = 256;

/// The oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct RecentTags {
    tags: Vec<RecentTag>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RecentTag {
    tag: String,
    updated: Timestamp,
}

impl RecentTags {
    /// Without those that any listing shows by now.
    fn add(&mut self, tag: &Tag, now: Timestamp, window: std::time::Duration) {
        let window = i64::try_from(window.as_secs()).unwrap_or(i64::MAX);
        self.tags.retain(|recent| {
            recent.tag != tag.as_str() && now.duration_since(recent.updated).as_secs() <= window
        });
        self.tags.push(RecentTag { tag: tag.as_str().to_owned(), updated: now });
        self.tags.drain(..self.tags.len().saturating_sub(MOST));
    }
}

impl Repository {
    /// Before the tag is written, as its marker is.
    pub(super) async fn note_recent_tag(&self, digest: &Digest, tag: &Tag) -> Result<()> {
        if self.lists_are_current() {
            return Ok(());
        }
        let key = layout::recent_tags(&self.name, digest)?;
        let _turn = self.shared.turns.take(digest).await;
        let mut recent: RecentTags = self.store.get_record(&key).await?.unwrap_or_default();
        recent.add(tag, Timestamp::now(), self.shared.rules.window);
        self.store.put_record(&key, &recent).await?;
        Ok(())
    }

    /// None where listings are current.
    pub(super) async fn recent_tags(&self, digest: &Digest) -> Result<Vec<Tag>> {
        if self.lists_are_current() {
            return Ok(Vec::new());
        }
        let key = layout::recent_tags(&self.name, digest)?;
        let recent: RecentTags = self.store.get_record(&key).await?.unwrap_or_default();
        Ok(recent.tags.iter().filter_map(|recent| recent.tag.parse().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(3600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn after(pushes: &[(&str, i64)]) -> Vec<String> {
        let mut recent = RecentTags::default();
        for (tag, second) in pushes {
            recent.add(&tag.parse().unwrap(), at(*second), WINDOW);
        }
        recent.tags.into_iter().map(|recent| recent.tag).collect()
    }

    #[test]
    fn a_tag_is_kept_once_for_as_long_as_the_window() {
        assert_eq!(after(&[("a", 0), ("b", 10), ("a", 20)]), ["b", "a"]);
        assert_eq!(after(&[("a", 0), ("b", 10), ("c", 3601)]), ["b", "c"]);
    }

    #[test]
    fn one_of_a_core_whose_clock_is_ahead_is_kept() {
        assert_eq!(after(&[("a", 9000), ("b", 0)]), ["a", "b"]);
    }

    #[test]
    fn the_newest_are_kept_when_there_are_many() {
        let names: Vec<String> = (0..MOST + 2).map(|number| format!("t{number}")).collect();
        let pushes: Vec<_> = names.iter().map(|name| (name.as_str(), 0)).collect();
        let kept = after(&pushes);
        assert_eq!((kept.len(), kept[0].as_str()), (MOST, "t2"));
    }
}
