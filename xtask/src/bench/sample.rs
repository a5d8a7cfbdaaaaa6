//! What one run of a load measured, and what many did.

use std::collections::BTreeMap;
use std::fmt;

use super::load::Load;
use super::server::Kind;

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// In the load's unit.
    pub(crate) figure: f64,
    pub(crate) unit: &'static str,
    /// Of the server's whole process tree.
    pub(crate) cpu_seconds: f64,
    pub(crate) gib: Option<f64>,
    pub(crate) peak_mib: f64,
}

impl Sample {
    pub(crate) fn cpu_per_gib(&self) -> Option<f64> {
        self.gib.map(|gib| self.cpu_seconds / gib)
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.1} {}", self.figure, self.unit)?;
        if let Some(cpu) = self.cpu_per_gib() {
            write!(f, ", {cpu:.2} CPU s/GiB")?;
        }
        write!(f, ", peak {:.0} MiB", self.peak_mib)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<(Load, Kind), Vec<Sample>>);

impl Samples {
    pub(crate) fn add(&mut self, load: Load, kind: Kind, sample: Sample) {
        self.0.entry((load, kind)).or_default().push(sample);
    }

    pub(crate) fn of(&self, load: Load, kind: Kind) -> &[Sample] {
        self.0.get(&(load, kind)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&(Load, Kind), &Vec<Sample>)> {
        self.0.iter()
    }

    /// The median of the ratios of pairs that ran one after the other, longshore to distribution.
    pub(crate) fn ratio(&self, load: Load, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        let pairs = self.of(load, Kind::Longshore).iter().zip(self.of(load, Kind::Distribution));
        median(pairs.map(|(ours, theirs)| of(ours) / of(theirs)).collect())
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}
