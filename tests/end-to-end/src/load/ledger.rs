//! What was asked and what was answered, when; and whether all of it can be true.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::register::{Ability, Change, Deletes, NEVER, Register, Span};

/// Numbers of a repository, a tag, and of an image or a blob in the content of the test.
pub(crate) type Repository = usize;
pub(crate) type Tag = usize;
pub(crate) type Image = usize;
pub(crate) type Blob = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The request that ends an upload.
    PushBlob(Repository, Blob),
    Mount(Repository, Blob),
    LookForBlob(Repository, Blob),
    ReadBlob(Repository, Blob),
    DeleteBlob(Repository, Blob),
    PutManifest(Repository, Image, Tag),
    ReadTag(Repository, Tag),
    ReadManifest(Repository, Image),
    DeleteTag(Repository, Tag),
    DeleteManifest(Repository, Image),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Done,
    Absent,
    /// A tag points at this.
    Shows(Image),
    /// A mount that came to nothing, or a manifest of which a blob is missing.
    Refused,
    /// 429 or 503: it may have happened, or may yet.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    span: Span,
    asked: Asked,
    answered: Answered,
}

pub(crate) struct Ledger {
    start: Instant,
    entries: Mutex<Vec<Entry>>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), entries: Mutex::default() }
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(NEVER)
    }

    /// What was begun at a moment has been answered now.
    pub(crate) fn enter(&self, begin: u64, asked: Asked, answered: Answered) {
        let span = Span { begin, end: if answered == Answered::Unknown { NEVER } else { self.now() } };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(Entry { span, asked, answered });
    }

    /// How often which answer was given to what.
    pub(crate) fn figures(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let (asked, answered) = (format!("{:?}", entry.asked), format!("{:?}", entry.answered));
            let [asked, answered] = [asked, answered].map(|text| text.split('(').next().map(str::to_owned));
            let name = format!("{} {}", asked.unwrap_or_default(), answered.unwrap_or_default());
            *counts.entry(name).or_insert(0) += 1;
        }
        counts
    }

    /// What can't be true, each with the changes that it should follow from. `blobs_of` are those that an image names. `lag`:
    /// what was written is surely listed so much later. Tags and manifests have one name each; a blob has links, which a
    /// delete finds by a listing, and the newest by its name (DESIGN.md section 4, Pull). A manifest's tags are found by a
    /// listing, and by one record that pushes which overlap may lose each other's entries of (docs/adr/0003).
    pub(crate) fn contradictions(
        &self,
        deletes: Deletes,
        lag: Duration,
        blobs_of: &[Vec<Blob>],
    ) -> Vec<String> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let lag = u64::try_from(lag.as_nanos()).unwrap_or(NEVER);
        let names = Names::from(&entries, lag, blobs_of);
        let named = Ability::of_names(deletes);
        let listed = Ability { deletes, lag };
        let mut found = contradicted("tag", &names.tags, named);
        found.extend(contradicted("manifest", &names.manifests, named));
        found.extend(contradicted("blob", &names.blobs, listed));
        for (span, repository, image) in &names.refused {
            let mut blobs = blobs_of[*image].iter().filter_map(|blob| names.blobs.get(&(*repository, *blob)));
            // A blob that was never asked for was never pushed.
            let complete = blobs.clone().count() == blobs_of[*image].len();
            if complete && !blobs.any(|blob| blob.may_be_absent(*span, listed)) {
                found.push(format!(
                    "image {image} was refused in repository {repository}, {span}: no blob was missing"
                ));
            }
        }
        found
    }
}

/// Every name that was asked for.
#[derive(Default)]
struct Names {
    tags: BTreeMap<(Repository, Tag), Register<Image>>,
    manifests: BTreeMap<(Repository, Image), Register<()>>,
    blobs: BTreeMap<(Repository, Blob), Register<()>>,
    /// Manifests that were refused for want of a blob.
    refused: Vec<(Span, Repository, Image)>,
}

impl Names {
    fn from(entries: &[Entry], lag: u64, blobs_of: &[Vec<Blob>]) -> Self {
        let mut names = Self::default();
        for entry in entries {
            names.add(*entry, blobs_of);
        }
        names.clear_tags_with_their_manifests(entries, lag);
        names
    }

    fn add(&mut self, entry: Entry, blobs_of: &[Vec<Blob>]) {
        let Entry { span, asked, answered } = entry;
        match asked {
            Asked::PushBlob(repository, blob) | Asked::Mount(repository, blob) => {
                if answered != Answered::Refused {
                    self.blob(repository, blob).changes.push((span, Change::Set(())));
                }
            }
            Asked::LookForBlob(repository, blob) | Asked::ReadBlob(repository, blob) => {
                seen(self.blob(repository, blob), span, answered);
            }
            Asked::DeleteBlob(repository, blob) => cleared(self.blob(repository, blob), span, answered),
            Asked::PutManifest(repository, image, tag) => {
                if answered == Answered::Refused {
                    return self.refused.push((span, repository, image));
                }
                self.tag(repository, tag).changes.push((span, Change::Set(image)));
                self.manifest(repository, image).changes.push((span, Change::Set(())));
                // All that it names was there, at some moment each.
                for blob in &blobs_of[image] {
                    seen(self.blob(repository, *blob), span, answered);
                }
            }
            Asked::ReadTag(repository, tag) => match answered {
                Answered::Shows(image) => {
                    self.tag(repository, tag).reads.push((span, Some(image)));
                    self.manifest(repository, image).reads.push((span, Some(())));
                }
                Answered::Absent => self.tag(repository, tag).reads.push((span, None)),
                _ => {}
            },
            Asked::ReadManifest(repository, image) => seen(self.manifest(repository, image), span, answered),
            Asked::DeleteTag(repository, tag) => cleared(self.tag(repository, tag), span, answered),
            Asked::DeleteManifest(repository, image) => {
                cleared(self.manifest(repository, image), span, answered);
            }
        }
    }

    /// docs/adr/0010: the delete of a manifest takes the tags with it that point at it. One that answers 404 still takes away
    /// what points at nothing, and may so meet a push that is under way.
    fn clear_tags_with_their_manifests(&mut self, entries: &[Entry], lag: u64) {
        for entry in entries {
            let Asked::DeleteManifest(repository, image) = entry.asked else { continue };
            let unseen = tags_that_may_be_missed(entries, *entry, lag);
            for ((_, number), tag) in self.tags.iter_mut().filter(|((place, _), _)| *place == repository) {
                let sure = entry.answered == Answered::Done && !unseen.contains(number);
                tag.changes.push((entry.span, Change::ClearIf { value: image, sure }));
            }
        }
    }

    fn tag(&mut self, repository: Repository, tag: Tag) -> &mut Register<Image> {
        self.tags.entry((repository, tag)).or_default()
    }

    fn manifest(&mut self, repository: Repository, image: Image) -> &mut Register<()> {
        self.manifests.entry((repository, image)).or_default()
    }

    fn blob(&mut self, repository: Repository, blob: Blob) -> &mut Register<()> {
        self.blobs.entry((repository, blob)).or_default()
    }
}

fn seen(register: &mut Register<()>, span: Span, answered: Answered) {
    match answered {
        Answered::Done => register.reads.push((span, Some(()))),
        Answered::Absent => register.reads.push((span, None)),
        _ => {}
    }
}

/// Those that no listing need show yet, of pushes of the manifest that overlapped.
fn tags_that_may_be_missed(entries: &[Entry], delete: Entry, lag: u64) -> BTreeSet<Tag> {
    let Asked::DeleteManifest(repository, image) = delete.asked else { return BTreeSet::new() };
    let pushes: Vec<(Span, Tag)> = entries
        .iter()
        .filter_map(|entry| match entry.asked {
            Asked::PutManifest(place, pushed, tag) if (place, pushed) == (repository, image) => {
                (entry.answered != Answered::Refused).then_some((entry.span, tag))
            }
            _ => None,
        })
        .collect();
    let is_listed = |push: Span| push.end.saturating_add(lag) <= delete.span.begin;
    let overlap = |push: Span| pushes.iter().filter(|(other, _)| !other.is_apart(push)).count() > 1;
    let missed = pushes.iter().filter(|(push, _)| !is_listed(*push) && overlap(*push));
    missed.map(|(_, tag)| *tag).collect()
}

/// A delete that finds nothing is a read.
fn cleared<V>(register: &mut Register<V>, span: Span, answered: Answered) {
    match answered {
        Answered::Absent => register.reads.push((span, None)),
        _ => register.changes.push((span, Change::Clear)),
    }
}

/// The reads that the changes of their names do not explain.
fn contradicted<N: Debug, V: Copy + Debug + PartialEq>(
    what: &str,
    registers: &BTreeMap<N, Register<V>>,
    ability: Ability,
) -> Vec<String> {
    let mut found = Vec::new();
    for (name, register) in registers {
        found.extend(register.unexplained(ability).iter().map(|read| told(what, name, read, register)));
    }
    found
}

fn told<V: Debug>(
    what: &str,
    name: &impl Debug,
    (span, seen): &(Span, Option<V>),
    register: &Register<V>,
) -> String {
    let mut near: Vec<_> = register.changes.iter().filter(|(change, _)| change.begin < span.end).collect();
    near.sort_by_key(|(change, _)| change.begin);
    let near = &near[near.len().saturating_sub(12)..];
    format!(
        "{what} {name:?}: {span} saw {seen:?} after {}",
        near.iter().map(|(span, change)| format!("\n  {span} {change:?}")).collect::<String>()
    )
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [begin, end] = [self.begin, self.end].map(|moment| moment / 1000);
        if self.end == NEVER {
            write!(f, "{begin} us to no answer")
        } else {
            write!(f, "{begin} to {end} us")
        }
    }
}

#[cfg(test)]
mod tests {
    use Answered::{Absent, Done, Refused, Shows};
    use Asked::{DeleteManifest, Mount, PushBlob, PutManifest, ReadBlob, ReadManifest, ReadTag};

    use super::*;

    /// Requests one after the other, in repository 0 with an image 0 of the blobs 0 and 1 and an image 1 of blob 2.
    fn contradictions(history: &[(Asked, Answered)]) -> usize {
        let spans = (0..).map(|number| Span { begin: 10 * number + 1, end: 10 * number + 5 });
        let entries = spans.zip(history).map(|(span, (asked, answered))| Entry {
            span,
            asked: *asked,
            answered: *answered,
        });
        contradictions_with(Duration::ZERO, entries.collect())
    }

    fn contradictions_with(lag: Duration, entries: Vec<Entry>) -> usize {
        let ledger = Ledger::new();
        *ledger.entries.lock().unwrap() = entries;
        ledger.contradictions(Deletes::Unconditional, lag, &[vec![0, 1], vec![2], vec![]]).len()
    }

    const PUSH: [(Asked, Answered); 3] =
        [(PushBlob(0, 0), Done), (Mount(0, 1), Done), (PutManifest(0, 0, 7), Done)];

    fn after_a_push(more: &[(Asked, Answered)]) -> usize {
        contradictions(&[&PUSH, more].concat())
    }

    #[test]
    fn a_push_and_a_pull_agree() {
        let pull = [(ReadTag(0, 7), Shows(0)), (ReadManifest(0, 0), Done), (ReadBlob(0, 1), Done)];
        assert_eq!(after_a_push(&pull), 0);
        assert_eq!(after_a_push(&[(ReadTag(1, 7), Absent), (ReadBlob(1, 0), Absent)]), 0);
    }

    #[test]
    fn what_was_acknowledged_and_is_gone_is_found() {
        assert_eq!(after_a_push(&[(ReadTag(0, 7), Absent)]), 1);
        assert_eq!(after_a_push(&[(ReadManifest(0, 0), Absent)]), 1);
        assert_eq!(after_a_push(&[(ReadBlob(0, 0), Absent), (ReadBlob(0, 1), Absent)]), 2);
    }

    #[test]
    fn a_deleted_manifest_takes_its_tag_and_neither_may_come_back() {
        let gone = [(DeleteManifest(0, 0), Done), (ReadTag(0, 7), Absent), (ReadManifest(0, 0), Absent)];
        assert_eq!(after_a_push(&gone), 0);
        // The tag, and the manifest that it shows.
        assert_eq!(after_a_push(&[(DeleteManifest(0, 0), Done), (ReadTag(0, 7), Shows(0))]), 2);
        // The delete of another manifest takes nothing.
        assert_eq!(after_a_push(&[(DeleteManifest(0, 1), Absent), (ReadTag(0, 7), Absent)]), 1);
    }

    #[test]
    fn a_delete_may_miss_a_tag_of_pushes_that_overlapped_where_listings_lag() {
        let done = |begin, end, asked| Entry { span: Span { begin, end }, asked, answered: Done };
        let seen = Entry { answered: Shows(2), ..done(90, 95, ReadTag(0, 7)) };
        let history = |second_begins| {
            let pushes = [done(10, 20, PutManifest(0, 2, 7)), done(second_begins, 30, PutManifest(0, 2, 8))];
            let deleted = [done(40, 50, DeleteManifest(0, 2)), done(60, 70, PutManifest(0, 2, 9)), seen];
            [&pushes[..], &deleted].concat()
        };
        let lag = Duration::from_nanos;
        assert_eq!(contradictions_with(lag(25), history(15)), 0);
        assert_eq!(contradictions_with(lag(5), history(15)), 1, "it was listed by then");
        assert_eq!(contradictions_with(lag(25), history(25)), 1, "the second push knew of the first");
    }

    #[test]
    fn a_manifest_is_refused_and_taken_according_to_its_blobs() {
        assert_eq!(contradictions(&[(PushBlob(0, 0), Done), (PutManifest(0, 0, 7), Refused)]), 0);
        assert_eq!(after_a_push(&[(PutManifest(0, 0, 8), Refused)]), 1);
        assert_eq!(contradictions(&[(PushBlob(0, 0), Done), (PutManifest(0, 0, 7), Done)]), 1);
    }
}
