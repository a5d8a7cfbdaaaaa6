//! What must hold in every state, and in every state from which only collectors go on.

use std::collections::HashSet;

use crate::collector;
use crate::model::{Blob, Model, Repository, members, naming};
use crate::request::Found;
use crate::state::{Local, State, Widths};
use crate::step::{DEAD, END, Step, place};

pub(crate) struct Properties<'a> {
    model: &'a Model,
    collector: &'a [Step],
    widths: Widths,
    settled: HashSet<u128>,
    quiescent: usize,
}

impl<'a> Properties<'a> {
    pub(crate) fn new(model: &'a Model, collector: &'a [Step]) -> Self {
        Self { model, collector, widths: model.widths(), settled: HashSet::new(), quiescent: 0 }
    }

    pub(crate) fn quiescent(&self) -> usize {
        self.quiescent
    }

    /// The first property that a state breaks.
    pub(crate) fn broken(&mut self, state: &State) -> Option<&'static str> {
        if members(state.links).any(|nonce| state.exists & (1 << state.object[nonce]) == 0) {
            return Some("a link serves an object that was deleted");
        }
        if state.acknowledged && !state.manifest {
            return Some("an acknowledged manifest is gone, and nobody deleted it since");
        }
        if state.acknowledged && !self.every_blob_is_linked(state) {
            return Some("an acknowledged manifest lost a blob");
        }
        if state.false_lease {
            return Some("HEAD was answered with 200, and no young link was there");
        }
        if self.model.requests_in_flight(state) != 0 {
            return None;
        }
        self.quiescent += 1;
        if self.tag_is_lost(state) {
            return Some("a tag is left without its manifest, or without a marker for the next delete");
        }
        self.space_is_lost(state)
    }

    fn every_blob_is_linked(&self, state: &State) -> bool {
        self.model.manifest_blobs.iter().all(|blob| {
            let waived = state.waived && *blob == Blob::X;
            waived || state.links & self.model.nonces_of(*blob, Repository::A) != 0
        })
    }

    /// Asked only where nobody crashed: a client repeats what was not answered.
    fn tag_is_lost(&self, state: &State) -> bool {
        let crashed = state.request.iter().any(|local| local.at == DEAD);
        self.model.seen_tags && !crashed && state.tag && (!state.manifest || state.markers == 0)
    }

    /// Lets everything grow old, and one collector go round until it has nothing left to do.
    fn space_is_lost(&mut self, state: &State) -> Option<&'static str> {
        let mut settling = *state;
        settling.collector.iter_mut().for_each(|local| *local = Local::default());
        settling.request.iter_mut().for_each(|local| *local = Local { at: END, ..Local::default() });
        settling.old = settling.links;
        settling.waiting_for = Default::default();
        (settling.acknowledged, settling.tag, settling.markers, settling.waived) = (false, false, 0, false);
        for object in members(settling.sessions) {
            if naming(&settling, settling.holders, u8::try_from(object).unwrap_or(0)) == 0 {
                settling.condemned |= 1 << object;
            }
        }
        settling.sessions = 0;
        settling.normalise(self.model);
        if self.model.collectors == 0 || !self.settled.insert(settling.pack(&self.widths)) {
            return None;
        }
        self.settle(&mut settling);
        let kept = settling.links & self.model.reached(&settling);
        let needed = members(kept).fold(0, |set, nonce| set | 1_u8 << settling.object[nonce]);
        if settling.links != kept || settling.holders != kept {
            return Some("a link or a holder is left behind for ever");
        }
        if settling.exists != needed || settling.condemned & !needed != 0 {
            return Some("an object or a mark is left behind for ever");
        }
        None
    }

    fn settle(&self, state: &mut State) {
        let mut found = Found::new();
        loop {
            found.clear();
            collector::successors(self.model, self.collector, state, 0, &mut found);
            let me = |state: &State| state.collector[0].max(state.collector[1]);
            let useful = |state: &State| match me(state).at {
                place::LAST_LOOK => naming(state, state.holders, me(state).object) == 0,
                place::ROOTS => state.links & !self.model.reached(state) != 0,
                _ => true,
            };
            match found.iter().map(|(_, to)| *to).find(useful) {
                Some(mut to) => {
                    to.collector.sort_unstable_by(|one, other| other.cmp(one));
                    *state = to;
                }
                None => return,
            }
        }
    }
}
