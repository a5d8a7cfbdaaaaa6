//! The exhaustive walk: breadth first, so that a bad history is a shortest one.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::collector::{self, collector_program};
use crate::model::Model;
use crate::property::Properties;
use crate::request::{self, Found, Taken};
use crate::state::{State, Widths};
use crate::step::{Op, Step};
use crate::table::Table;

/// What a walk without a bad history visited.
#[derive(Clone, Copy, Debug)]
pub struct Visited {
    pub states: usize,
    pub transitions: usize,
    /// The length of the longest of the shortest histories.
    pub depth: usize,
    /// States in which every request was over, from each of which the collectors were run to their end.
    pub quiescent: usize,
    pub took: Duration,
}

impl fmt::Display for Visited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, transitions, depth, quiescent, took } = self;
        let seconds = took.as_secs_f64();
        write!(
            f,
            "{states} states, {transitions} steps, depth {depth}, {quiescent} quiescent, {seconds:.1} s"
        )
    }
}

/// A history at whose end a property is broken.
#[derive(Clone, Debug)]
pub struct BadHistory {
    /// What is wrong at the end.
    pub broken: &'static str,
    /// Who did what, in order.
    pub steps: Vec<String>,
    /// How many states were seen before it was found.
    pub states: usize,
}

impl fmt::Display for BadHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (after {} states)", self.broken, self.states)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "  {step}"))
    }
}

/// Visits every state that the model can reach.
///
/// # Errors
/// A shortest history that breaks a property.
pub fn explore(model: &Model) -> Result<Visited, Box<BadHistory>> {
    let walk = Walk::new(model);
    if !model.fits() {
        let broken = "the model is too large for one packed state";
        return Err(Box::new(BadHistory { broken, steps: Vec::new(), states: 0 }));
    }
    walk.all().map_err(|(word, states)| Box::new(walk.history(word, states)))
}

struct Walk<'a> {
    model: &'a Model,
    widths: Widths,
    collector: Vec<Step>,
}

impl<'a> Walk<'a> {
    fn new(model: &'a Model) -> Self {
        Self { model, widths: model.widths(), collector: collector_program(model) }
    }

    fn all(&self) -> Result<Visited, (u128, usize)> {
        let began = Instant::now();
        let mut properties = Properties::new(self.model, &self.collector);
        let start = self.model.start.pack(&self.widths);
        let mut seen = Table::new();
        seen.insert(start);
        let mut level = vec![start];
        let mut visited =
            Visited { states: 0, transitions: 0, depth: 0, quiescent: 0, took: Duration::default() };
        let mut found = Found::new();
        while !level.is_empty() {
            let mut next = Vec::new();
            for word in level {
                let state = State::unpack(word, &self.widths);
                if properties.broken(&state).is_some() {
                    return Err((word, seen.len()));
                }
                self.successors(&state, &mut found);
                visited.transitions += found.len();
                next.extend(found.iter().map(|(_, to)| to.pack(&self.widths)).filter(|to| seen.insert(*to)));
            }
            level = next;
            visited.depth += 1;
        }
        visited.states = seen.len();
        visited.quiescent = properties.quiescent();
        visited.took = began.elapsed();
        Ok(visited)
    }

    fn successors(&self, state: &State, found: &mut Found) {
        found.clear();
        for request in 0..self.model.requests.len() {
            request::successors(self.model, state, request, found);
        }
        for collector in 0..self.model.collectors {
            collector::successors(self.model, &self.collector, state, collector, found);
        }
    }

    /// Walks again, this time with each state's predecessor, as far as the bad state.
    fn history(&self, bad: u128, states: usize) -> BadHistory {
        let mut from: HashMap<u128, (u128, Taken)> = HashMap::new();
        let start = self.model.start.pack(&self.widths);
        let mut level = vec![start];
        let mut found = Found::new();
        while !from.contains_key(&bad) && !level.is_empty() {
            let mut next = Vec::new();
            for word in level {
                self.successors(&State::unpack(word, &self.widths), &mut found);
                for (taken, to) in &found {
                    let to = to.pack(&self.widths);
                    if to != start && !from.contains_key(&to) {
                        from.insert(to, (word, *taken));
                        next.push(to);
                    }
                }
            }
            level = next;
        }
        let mut steps = Vec::new();
        let mut at = bad;
        while let Some((before, taken)) = from.get(&at) {
            let (was, is) = (State::unpack(*before, &self.widths), State::unpack(at, &self.widths));
            steps.push(format!("{}: {}", self.who(*taken), told(*taken, &was, &is)));
            at = *before;
        }
        steps.reverse();
        let mut properties = Properties::new(self.model, &self.collector);
        let broken = properties.broken(&State::unpack(bad, &self.widths)).unwrap_or("nothing");
        BadHistory { broken, steps, states }
    }

    fn who(&self, taken: Taken) -> String {
        match self.model.requests.get(usize::from(taken.actor)) {
            None => "a collector".to_owned(),
            Some(request) => match request.op {
                Op::Push => format!("push to {:?}", request.repository),
                Op::FinaliseAgain => "finalise again".to_owned(),
                Op::SweepUpload => "session sweep".to_owned(),
                Op::Mount => "mount from A to B".to_owned(),
                Op::Renew => "HEAD in A".to_owned(),
                Op::PutManifest(_) => format!("manifest PUT ({})", taken.actor),
                Op::DeleteManifest => "manifest DELETE".to_owned(),
                Op::DeleteBlob => "blob DELETE in A".to_owned(),
                Op::SweepMarkers => "marker sweep".to_owned(),
                Op::Collect => "a collector".to_owned(),
            },
        }
    }
}

/// A step's kind and what it changed.
fn told(taken: Taken, was: &State, is: &State) -> String {
    let Some(kind) = taken.kind else { return "crashes".to_owned() };
    let mut text = format!("{kind:?}");
    let sets = [
        ("holders", was.holders, is.holders),
        ("links", was.links, is.links),
        ("old links", was.old, is.old),
        ("objects", was.exists, is.exists),
        ("condemned", was.condemned, is.condemned),
        ("markers", was.markers, is.markers),
    ];
    for (name, before, after) in sets {
        if before != after {
            text.push_str(&format!(", {name} {:?}", crate::model::members(after).collect::<Vec<_>>()));
        }
    }
    let flags = [
        ("manifest", was.manifest, is.manifest),
        ("tag", was.tag, is.tag),
        ("manifest PUT acknowledged", was.acknowledged, is.acknowledged),
    ];
    for (name, before, after) in flags {
        if before != after {
            text.push_str(&format!(", {}{name}", if after { "" } else { "no " }));
        }
    }
    text
}
