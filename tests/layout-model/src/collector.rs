//! What a collector does, and the release of a holder, which a blob's DELETE does in the same way.

use crate::model::{Model, members, naming};
use crate::request::{Found, Taken, condemn};
use crate::rules::Condemn;
use crate::state::{Local, State};
use crate::step::{Op, Step, StepKind, place, program};

/// Every way in which collector `me` can go on. It goes round for ever; from each place it may also crash and start
/// again, which is the last of the ways.
pub(crate) fn successors(model: &Model, steps: &[Step], state: &State, me: usize, found: &mut Found) {
    let first = found.len();
    let local = state.collector[me];
    let outcomes = match local.at {
        place::REST => rest(model, state),
        place::ROOTS => roots(model, state, local),
        place::LAST_LOOK => vec![(*state, last_look(model, state, local))],
        place::DELETE_OBJECT => {
            let mut to = *state;
            to.exists &= !(1 << local.object);
            vec![(to, Local { at: place::DELETE_MARK, ..local })]
        }
        place::DELETE_MARK => {
            let mut to = *state;
            to.condemned &= !(1 << local.object);
            to.waiting_for[usize::from(local.object)] = 0;
            vec![(to, Local::default())]
        }
        _ => release(model, state, local, steps),
    };
    let kind = steps.get(usize::from(local.at)).map(|step| step.kind);
    for (mut to, local) in outcomes {
        to.collector[me] = if local.at == place::CHOOSE && local.set == 0 { Local::default() } else { local };
        found.push((taken(me, kind), to));
    }
    if local.at != place::REST {
        let mut to = *state;
        to.collector[me] = Local::default();
        found.push((taken(me, None), to));
    }
    found[first..].iter_mut().for_each(|(_, state)| state.normalise(model));
}

/// The collector's program.
pub(crate) fn collector_program(model: &Model) -> Vec<Step> {
    program(Op::Collect, model.rules)
}

fn taken(me: usize, kind: Option<StepKind>) -> Taken {
    Taken { actor: 100 + u8::try_from(me).unwrap_or(0), kind }
}

type Outcomes = Vec<(State, Local)>;

/// At rest: begin a marking, release a stale holder, or look at a condemned object.
fn rest(model: &Model, state: &State) -> Outcomes {
    let mut outcomes = Vec::new();
    for object in members(state.condemned) {
        if model.rules.object_waits && state.waiting_for[object] != 0 {
            continue;
        }
        let object = u8::try_from(object).unwrap_or(0);
        outcomes.push((*state, Local { at: place::LAST_LOOK, object, ..Local::default() }));
    }
    for nonce in members(state.holders & !state.links) {
        if model.rules.stale_waits && !model.maker_is_over(state, nonce) {
            continue;
        }
        outcomes.push((*state, takes(state, nonce, 0)));
    }
    if !model.rules.roots_after_mark || !model.rules.old_when_marking_begins {
        let set = !model.reached(state) & state_mask(model);
        outcomes.push((*state, Local { at: place::ROOTS, set, ..Local::default() }));
        return outcomes;
    }
    for (to, old) in agings(model, state) {
        if old != 0 {
            outcomes.push((to, Local { at: place::ROOTS, set: old, ..Local::default() }));
        }
    }
    outcomes
}

fn state_mask(model: &Model) -> u8 {
    u8::try_from((1_u16 << model.nonces.len()) - 1).unwrap_or(u8::MAX)
}

/// The moment a marking begins: any of the links whose makers are over, and on which no manifest PUT under way relies,
/// may have grown old by now.
fn agings(model: &Model, state: &State) -> Vec<(State, u8)> {
    let may = may_age(model, state);
    let mut outcomes = Vec::new();
    let mut grown = may;
    loop {
        let mut to = *state;
        to.old |= grown;
        outcomes.push((to, to.old & to.links));
        if grown == 0 {
            return outcomes;
        }
        grown = (grown - 1) & may;
    }
}

fn may_age(model: &Model, state: &State) -> u8 {
    let relied = (0..model.requests.len())
        .filter(|request| matches!(model.requests[*request].op, Op::PutManifest(_)))
        .fold(0, |set, request| set | model.local(state, request).set);
    members(state.links & !state.old & !relied)
        .filter(|nonce| model.maker_is_over(state, *nonce))
        .fold(0, |set, nonce| set | 1 << nonce)
}

fn roots(model: &Model, state: &State, local: Local) -> Outcomes {
    if !model.rules.old_when_marking_begins {
        return vec![(*state, Local { at: place::CHOOSE, ..local })];
    }
    if !model.rules.roots_after_mark {
        let with = |(to, old): (State, u8)| (to, Local { at: place::CHOOSE, set: local.set & old, ..local });
        return agings(model, state).into_iter().map(with).collect();
    }
    let set = local.set & !model.reached(state);
    vec![(*state, Local { at: place::CHOOSE, set, ..local })]
}

fn last_look(model: &Model, state: &State, local: Local) -> Local {
    let mut seen = naming(state, state.holders, local.object);
    if model.rules.listings_lag {
        seen = members(seen).filter(|it| model.maker_is_over(state, *it)).fold(0, |set, it| set | 1 << it);
    }
    if seen == 0 { Local { at: place::DELETE_OBJECT, ..local } } else { Local::default() }
}

fn takes(state: &State, nonce: usize, set: u8) -> Local {
    let object = state.object[nonce];
    Local { at: place::LOOK, set, nonce: u8::try_from(nonce).unwrap_or(0), object }
}

/// The part of the program between the choice of a link and the end of its release.
pub(crate) fn release(model: &Model, state: &State, local: Local, steps: &[Step]) -> Outcomes {
    let mut to = *state;
    let next = steps.get(usize::from(local.at)).map_or(place::REST, |step| step.next);
    match local.at {
        place::CHOOSE => return delete_link(model, state, local),
        place::LOOK => return look(model, state, local),
        place::CONDEMN | place::AFTER_CONDEMN => condemn(model, &mut to, local.object),
        place::DROP => to.holders &= !(1 << local.nonce),
        place::AFTER => {
            let held = naming(state, state.holders, local.object) != 0;
            if !held && state.condemned & (1 << local.object) == 0 {
                return vec![(to, Local { at: place::AFTER_CONDEMN, ..local })];
            }
        }
        _ => {}
    }
    let mut onward = Local { at: next, ..local };
    if next == place::CHOOSE {
        onward.nonce = 0;
        onward.object = 0;
    }
    vec![(to, onward)]
}

fn delete_link(model: &Model, state: &State, local: Local) -> Outcomes {
    let mut candidates = local.set;
    if !model.rules.old_when_marking_begins {
        candidates &= state.links & (state.old | may_age(model, state));
    }
    let take = |nonce: usize| {
        let mut to = *state;
        to.links &= !(1 << nonce);
        (to, takes(state, nonce, local.set & !(1 << nonce)))
    };
    members(candidates).map(take).collect()
}

/// The listing of the holders and, for each other one, the look at its link. The calls are taken together; that they
/// are not one is made up for by letting a collector condemn although it could see another link.
fn look(model: &Model, state: &State, local: Local) -> Outcomes {
    let others = naming(state, state.holders, local.object) & !(1 << local.nonce);
    let onward = |at| (*state, Local { at, ..local });
    if !model.rules.mark_before_drop || state.condemned & (1 << local.object) != 0 {
        return vec![onward(place::DROP)];
    }
    match model.rules.condemn {
        Condemn::NoOtherHolder if others != 0 => vec![onward(place::DROP)],
        Condemn::NoOtherLink if others & state.links != 0 => {
            vec![onward(place::DROP), onward(place::CONDEMN)]
        }
        _ => vec![onward(place::CONDEMN)],
    }
}
