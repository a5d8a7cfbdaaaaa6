//! When a kill comes, whom it hits, and what it found.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Post,
    Patch,
    Put,
    Manifest,
}

impl Phase {
    pub(crate) const ALL: [Self; 4] = [Self::Post, Self::Patch, Self::Put, Self::Manifest];

    /// Out of twenty: a commit is what may go wrong worst.
    pub(crate) fn of(roll: u64) -> Self {
        match roll {
            0..2 => Self::Post,
            2..7 => Self::Patch,
            7..16 => Self::Put,
            _ => Self::Manifest,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    Core,
    Driver,
    Both,
}

impl Victim {
    pub(crate) const ALL: [Self; 3] = [Self::Core, Self::Driver, Self::Both];
}

/// How far a finalise had come when the kill hit, as the store shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reached {
    /// The session is open; no object has its name yet.
    SessionOpen,
    /// The object has its name; no record of it.
    Committed,
    /// The holder is there; the link is not.
    Held,
    /// The link is there; the 201 had not been sent.
    Linked,
}

impl Reached {
    pub(crate) fn read(store: &Path, repository: &str, digest: &str, objects_before: usize) -> Self {
        let hex = digest.trim_start_matches("sha256:");
        let links = store.join(format!("repositories/{repository}/_blobs/sha256/{hex}"));
        let holders = store.join(format!("blobs/sha256/{}/{hex}", &hex[..2]));
        if entries(&links) > 0 {
            Self::Linked
        } else if entries(&holders) > 0 {
            Self::Held
        } else if count_objects(store) > objects_before {
            Self::Committed
        } else {
            Self::SessionOpen
        }
    }
}

pub(crate) fn count_objects(store: &Path) -> usize {
    let Ok(shelves) = fs::read_dir(store.join("objects")) else { return 0 };
    shelves.flatten().map(|shelf| entries(&shelf.path())).sum()
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

/// The kills that count, and those that came too late.
#[derive(Default)]
pub(crate) struct Histogram {
    kills: BTreeMap<(Phase, Victim), usize>,
    reached: BTreeMap<Reached, usize>,
    pub(crate) too_late: usize,
}

impl Histogram {
    pub(crate) fn count(&mut self, phase: Phase, victim: Victim, reached: Option<Reached>) {
        *self.kills.entry((phase, victim)).or_default() += 1;
        if let Some(reached) = reached {
            *self.reached.entry(reached).or_default() += 1;
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.kills.values().sum()
    }

    pub(crate) fn of_phase(&self, phase: Phase) -> usize {
        self.kills.iter().filter(|((counted, _), _)| *counted == phase).map(|(_, number)| number).sum()
    }

    pub(crate) fn of_victim(&self, victim: Victim) -> usize {
        self.kills.iter().filter(|((_, counted), _)| *counted == victim).map(|(_, number)| number).sum()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec!["phase       core  driver  both".to_owned()];
        for phase in Phase::ALL {
            let of = |victim| self.kills.get(&(phase, victim)).copied().unwrap_or_default();
            let [core, driver, both] = Victim::ALL.map(of);
            lines.push(format!("{:<10} {core:>5} {driver:>7} {both:>5}", format!("{phase:?}")));
        }
        lines.push(format!("finalise had reached: {:?}", self.reached));
        lines.push(format!(
            "{} counted, {} came after the answer and were repeated",
            self.total(),
            self.too_late
        ));
        lines
    }
}
