//! What a client's request does: one program step at a time, or a crash.

use crate::collector::release;
use crate::model::{Blob, Model, Repository, members, naming};
use crate::state::{Local, State};
use crate::step::{DEAD, END, LATE, On, Op, Step, StepKind, place};

/// A step that was taken, for the telling of a history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// A request's number, or a collector's plus 100.
    pub(crate) actor: u8,
    /// The step, or nothing for a crash.
    pub(crate) kind: Option<StepKind>,
}

pub(crate) type Found = Vec<(Taken, State)>;

/// Every way in which request `me` can go on.
pub(crate) fn successors(model: &Model, state: &State, me: usize, found: &mut Found) {
    let at = state.request[me].at;
    if at == END || at == DEAD || (at == 0 && !may_begin(model, state, me)) {
        return;
    }
    let first = found.len();
    if at == LATE {
        late_link(model, state, me, found);
    } else {
        let mut from = *state;
        skip_silent(model, &mut from, me);
        let step = model.requests[me].program[usize::from(from.request[me].at)];
        for mut to in run(model, &from, me, step) {
            finish(model, &mut to, me);
            found.push((taken(me, Some(step.kind)), to));
        }
    }
    if at != 0 {
        let mut dead = *state;
        dead.request[me] = Local { at: if model.seen_tags { DEAD } else { END }, ..Local::default() };
        found.push((taken(me, None), dead));
    }
    found[first..].iter_mut().for_each(|(_, state)| state.normalise(model));
}

fn taken(me: usize, kind: Option<StepKind>) -> Taken {
    Taken { actor: u8::try_from(me).unwrap_or(u8::MAX), kind }
}

fn may_begin(model: &Model, state: &State, me: usize) -> bool {
    let request = &model.requests[me];
    let session = state.sessions & (1 << request.own) != 0;
    match request.op {
        Op::FinaliseAgain => session,
        Op::SweepUpload => session && matches!(state.request[request.push].at, END | DEAD),
        _ => true,
    }
}

/// Whether a step touches only keys that no other actor of this model reads or writes: it is then taken together with
/// the step before it, as it commutes with everything that the others do.
fn is_silent(model: &Model, step: Step) -> bool {
    match step.kind {
        StepKind::PutReferrer | StepKind::Rest => true,
        StepKind::PutMarker | StepKind::PutTag => !model.seen_tags,
        StepKind::CommitUpload | StepKind::ForgetUpload => !model.seen_sessions,
        StepKind::PutCondemned | StepKind::DeleteObject | StepKind::ListHolders => {
            step.on == On::Own && !model.seen_sessions
        }
        StepKind::GetManifest => !model.requests.iter().any(|request| request.op == Op::DeleteManifest),
        _ => false,
    }
}

fn skip_silent(model: &Model, state: &mut State, me: usize) {
    while let Some(step) = model.requests[me].program.get(usize::from(state.request[me].at)) {
        if model.requests[me].walks_links() || !is_silent(model, *step) {
            return;
        }
        if let Some(to) = run(model, state, me, *step).pop() {
            *state = to;
        }
    }
}

fn finish(model: &Model, state: &mut State, me: usize) {
    skip_silent(model, state, me);
    if state.request[me].at == END {
        state.request[me] = Local { at: END, ..Local::default() };
    }
}

fn late_link(model: &Model, state: &State, me: usize, found: &mut Found) {
    let mut landed = *state;
    let nonce = model.requests[me].nonces[0];
    landed.links |= 1 << nonce;
    landed.object[nonce] = state.request[me].object;
    landed.request[me] = Local { at: END, ..Local::default() };
    found.push((taken(me, Some(StepKind::PutLink)), landed));
}

/// Every outcome of one step.
fn run(model: &Model, state: &State, me: usize, step: Step) -> Vec<State> {
    let request = &model.requests[me];
    if request.walks_links() {
        return delete_blob(model, state, me);
    }
    match step.kind {
        StepKind::ListHolders | StepKind::ListLinks => list(model, state, me, step),
        StepKind::PutMarker
        | StepKind::PutTag
        | StepKind::PutManifest
        | StepKind::GetManifest
        | StepKind::ListMarkers
        | StepKind::GetTag
        | StepKind::DeleteTag
        | StepKind::DeleteMarker
        | StepKind::DeleteManifest => vec![manifest_step(model, state, me, step)],
        StepKind::PutLink => put_link(model, state, me, step),
        _ => vec![object_step(model, state, me, step)],
    }
}

fn target(model: &Model, state: &State, me: usize, step: Step) -> (usize, u8) {
    let request = &model.requests[me];
    match step.on {
        On::Adopted(blob) => (request.nonces[blob], state.request[me].object),
        On::Own | On::Hand => {
            (request.nonces.first().copied().unwrap_or(0), u8::try_from(request.own).unwrap_or(0))
        }
    }
}

fn goes(state: &State, me: usize, at: u8) -> State {
    let mut to = *state;
    to.request[me].at = at;
    to
}

fn list(model: &Model, state: &State, me: usize, step: Step) -> Vec<State> {
    match (step.on, step.kind) {
        (On::Own, _) => {
            let (_, own) = target(model, state, me, step);
            let sweeps = model.requests[me].op == Op::SweepUpload;
            let known =
                naming(state, state.holders, own) != 0 || (sweeps && state.condemned & (1 << own) != 0);
            vec![goes(state, me, if known { step.other } else { step.next })]
        }
        (_, StepKind::ListHolders) => list_holders(model, state, me, step),
        _ => list_links(model, state, me, step),
    }
}

/// A push looks for an object to adopt: any that is held will do, and if none is free of a mark it may keep its own.
fn list_holders(model: &Model, state: &State, me: usize, step: Step) -> Vec<State> {
    let request = &model.requests[me];
    let blob = model.nonces[request.nonces[0]].blob;
    let mut outcomes = Vec::new();
    let mut free = false;
    for object in 0..model.objects.len() {
        let name = u8::try_from(object).unwrap_or(0);
        if object == request.own || model.objects[object] != blob || naming(state, state.holders, name) == 0 {
            continue;
        }
        free |= state.condemned & (1 << object) == 0;
        let mut to = goes(state, me, step.next);
        to.request[me].object = name;
        outcomes.push(to);
    }
    if !free {
        outcomes.push(goes(state, me, step.other));
    }
    outcomes
}

/// A mount, a renewal or a manifest PUT looks at the source's links: any may be adopted; a manifest PUT may rely on a
/// young one, and a HEAD may be answered by one.
fn list_links(model: &Model, state: &State, me: usize, step: Step) -> Vec<State> {
    let request = &model.requests[me];
    let On::Adopted(blob) = step.on else { return Vec::new() };
    let listed = state.links & model.nonces_of(model.nonces[request.nonces[blob]].blob, request.source);
    if listed == 0 {
        return vec![goes(state, me, END)];
    }
    let mut outcomes = Vec::new();
    for object in 0..model.objects.len() {
        let name = u8::try_from(object).unwrap_or(0);
        if naming(state, listed, name) != 0 {
            let mut to = goes(state, me, step.next);
            to.request[me].object = name;
            outcomes.push(to);
        }
    }
    let young = listed & !state.old;
    if request.op == Op::Renew && young != 0 {
        outcomes.push(goes(state, me, END));
    }
    if matches!(request.op, Op::PutManifest(_)) {
        let relied = if model.rules.relies_on_young { young } else { listed };
        for nonce in members(relied) {
            let mut to = goes(state, me, step.other);
            to.request[me].set |= 1 << nonce;
            outcomes.push(to);
        }
    }
    outcomes
}

fn put_link(model: &Model, state: &State, me: usize, step: Step) -> Vec<State> {
    let (nonce, object) = target(model, state, me, step);
    let mut put = goes(state, me, step.next);
    put.links |= 1 << nonce;
    put.object[nonce] = object;
    put.request[me].object = 0;
    let mut outcomes = vec![put];
    if !model.rules.late_link_keeps_holder {
        let mut late = goes(state, me, LATE);
        late.holders &= !(1 << nonce);
        late.request[me].object = object;
        outcomes.push(late);
    }
    outcomes
}

fn object_step(model: &Model, state: &State, me: usize, step: Step) -> State {
    let (nonce, object) = target(model, state, me, step);
    let bit = 1_u8 << object;
    let mut to = goes(state, me, step.next);
    match step.kind {
        StepKind::CommitUpload if model.seen_sessions => {
            to.exists |= bit;
            to.sessions |= bit;
        }
        StepKind::PutHolder => {
            to.holders |= 1 << nonce;
            to.object[nonce] = object;
            if step.on == On::Own && !model.seen_sessions {
                to.exists |= bit;
            }
        }
        StepKind::GetCondemned if model.rules.reads_condemned && state.condemned & bit != 0 => {
            gives_up(model, &mut to, me, step);
        }
        StepKind::StatObject if model.rules.stats_object && state.exists & bit == 0 => {
            gives_up(model, &mut to, me, step);
        }
        StepKind::DeleteHolder => to.holders &= !(1 << nonce),
        StepKind::PutCondemned if model.seen_sessions => condemn(model, &mut to, object),
        StepKind::DeleteObject if model.seen_sessions => to.exists &= !bit,
        StepKind::ForgetUpload => to.sessions &= !bit,
        _ => {}
    }
    to
}

fn gives_up(model: &Model, to: &mut State, me: usize, step: Step) {
    to.request[me].at = step.other;
    if model.requests[me].op == Op::Renew && !model.rules.failed_renewal_is_unknown {
        let links = to.links & model.nonces_of(Blob::X, Repository::A);
        to.false_lease |= links & !to.old == 0;
    }
}

/// Writes an object's mark and notes who must end before the object may go.
pub(crate) fn condemn(model: &Model, to: &mut State, object: u8) {
    if to.condemned & (1 << object) == 0 {
        to.condemned |= 1 << object;
        to.waiting_for[usize::from(object)] = model.requests_in_flight(to);
    }
}

fn manifest_step(model: &Model, state: &State, me: usize, step: Step) -> State {
    let request = &model.requests[me];
    let mut to = goes(state, me, step.next);
    match step.kind {
        StepKind::PutManifest => to.manifest = true,
        StepKind::PutMarker if model.seen_tags => to.markers |= request.marker,
        StepKind::PutTag => to.tag |= model.seen_tags,
        StepKind::GetManifest => {
            if !state.manifest {
                to.request[me].at = step.other;
            }
            to.acknowledged |= to.request[me].at == END && matches!(request.op, Op::PutManifest(_));
        }
        StepKind::ListMarkers => {
            let young = if request.is_bounded() { 0 } else { young_markers(model, state) };
            to.request[me].set = state.markers & !young;
            if to.request[me].set == 0 {
                to.request[me].at = step.other;
            }
        }
        StepKind::GetTag if !state.tag => to.request[me].at = step.other,
        StepKind::DeleteTag => to.tag = false,
        StepKind::DeleteMarker => {
            to.markers &= !state.request[me].set;
            to.request[me].set = 0;
        }
        StepKind::DeleteManifest => {
            to.manifest = false;
            to.acknowledged = false;
        }
        _ => {}
    }
    to
}

/// The markers that requests under way may just have put.
fn young_markers(model: &Model, state: &State) -> u8 {
    let puts = (0..model.requests.len()).filter(|request| puts_manifest(model, state, *request));
    puts.fold(0, |set, request| set | model.requests[request].marker)
}

fn delete_blob(model: &Model, state: &State, me: usize) -> Vec<State> {
    let local = state.request[me];
    if local.at == 0 {
        let listed = state.links & model.nonces_of(Blob::X, Repository::A);
        let mut to = goes(state, me, if listed == 0 { END } else { place::CHOOSE });
        to.request[me].set = listed;
        return vec![to];
    }
    let wanted = state.acknowledged || (0..model.requests.len()).any(|it| puts_manifest(model, state, it));
    let program = &model.requests[me].program;
    release(model, state, local, program)
        .into_iter()
        .map(|(mut to, mut local)| {
            to.waived |= wanted && to.links != state.links;
            if local.at == place::CHOOSE && local.set == 0 {
                local.at = END;
            }
            to.request[me] = local;
            to
        })
        .collect()
}

fn puts_manifest(model: &Model, state: &State, request: usize) -> bool {
    matches!(model.requests[request].op, Op::PutManifest(_)) && model.in_flight(state, request)
}
