//! The order of storage calls of every operation. The model runs these programs, and [`steps`] hands them to whoever
//! wants to compare a real core's calls with them.

use crate::rules::{Markers, Rules};

/// One storage call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StepKind {
    /// Commit of the upload: the object exists, and only the session names it.
    CommitUpload,
    /// One listing of `blobs/<alg>/<aa>/<hex>/`: holders and marks.
    ListHolders,
    /// One listing of `repositories/<name>/_blobs/<alg>/<hex>/`.
    ListLinks,
    PutHolder,
    GetCondemned,
    StatObject,
    PutLink,
    PutCondemned,
    DeleteHolder,
    ForgetUpload,
    PutManifest,
    PutReferrer,
    PutMarker,
    PutTag,
    GetManifest,
    ListMarkers,
    GetTag,
    DeleteTag,
    DeleteMarker,
    DeleteManifest,
    DeleteLink,
    /// The marking's roots: every manifest record of a repository.
    ListManifests,
    DeleteObject,
    DeleteCondemned,
    /// A collector is at rest and chooses what to do next; no call.
    Rest,
}

/// What is done, by a client's request or by the core itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The finalise of an upload.
    Push,
    /// A finalise that finds its session committed already: a client's second try.
    FinaliseAgain,
    /// The expiry of a committed session that nobody finished.
    SweepUpload,
    Mount,
    /// HEAD by somebody who may push, of a link that is no longer young.
    Renew,
    /// A manifest PUT that names this many blobs.
    PutManifest(usize),
    DeleteManifest,
    DeleteBlob,
    /// What a collector may do to the old markers of one digest and tag.
    SweepMarkers,
    /// One link, one stale holder, or one condemned object at a time.
    Collect,
}

/// What a step is done to, where its kind alone does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// The object that the request wants to adopt for its first or second blob.
    Adopted(usize),
    /// The object that the request itself uploaded.
    Own,
    /// Whatever a release or a collection has in hand.
    Hand,
}

/// One step of a program and where it goes on: `next`, or `other` if the answer is the less usual one (nothing listed,
/// a mark there, an object gone, a tag or manifest in the other state).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    pub(crate) on: On,
    pub(crate) next: u8,
    pub(crate) other: u8,
}

/// Where a request is after it was answered, or gave up in good order.
pub(crate) const END: u8 = 31;
/// Where a request is after a crash.
pub(crate) const DEAD: u8 = 30;
/// Where a request is that gave up, and whose last put may still land.
pub(crate) const LATE: u8 = 29;

/// The places in a collector's program; [`DELETE_BLOB`] uses the part between `CHOOSE` and `AFTER_CONDEMN`.
pub(crate) mod place {
    pub(crate) const REST: u8 = 0;
    pub(crate) const ROOTS: u8 = 1;
    pub(crate) const CHOOSE: u8 = 2;
    pub(crate) const LOOK: u8 = 3;
    pub(crate) const CONDEMN: u8 = 4;
    pub(crate) const DROP: u8 = 5;
    pub(crate) const AFTER: u8 = 6;
    pub(crate) const AFTER_CONDEMN: u8 = 7;
    pub(crate) const LAST_LOOK: u8 = 8;
    pub(crate) const DELETE_OBJECT: u8 = 9;
    pub(crate) const DELETE_MARK: u8 = 10;
}

const fn step(kind: StepKind, on: On, next: u8, other: u8) -> Step {
    Step { kind, on, next, other }
}

/// The calls of an operation, in program order: the usual path first, then what is done instead where an answer differs.
pub fn steps(op: Op) -> Vec<StepKind> {
    program(op, Rules::design()).iter().map(|step| step.kind).filter(|kind| *kind != StepKind::Rest).collect()
}

/// The calls of an operation when every answer is the usual one, from the first call to the answer and the tidying
/// after it. For a push this is the adoption of an object that is held already; [`own_path`] is the other one.
pub fn usual_path(op: Op) -> Vec<StepKind> {
    walk(&program(op, Rules::design()), &[])
}

/// The calls of a push whose digest nobody holds.
pub fn own_path() -> Vec<StepKind> {
    walk(&program(Op::Push, Rules::design()), &[StepKind::ListHolders])
}

/// The calls of a manifest PUT over `blobs` blobs whose links are all young.
pub fn leased_path(blobs: usize) -> Vec<StepKind> {
    walk(&program(Op::PutManifest(blobs), Rules::design()), &[StepKind::ListLinks])
}

fn walk(program: &[Step], otherwise: &[StepKind]) -> Vec<StepKind> {
    let mut path = Vec::new();
    let mut at = 0_u8;
    while let Some(step) = program.get(usize::from(at)) {
        if step.kind != StepKind::Rest {
            path.push(step.kind);
        }
        let onward = if otherwise.contains(&step.kind) { step.other } else { step.next };
        if onward <= at {
            break;
        }
        at = onward;
    }
    path
}

pub(crate) fn program(op: Op, rules: Rules) -> Vec<Step> {
    match op {
        Op::Push => push(rules),
        Op::FinaliseAgain => finalise_again(rules),
        Op::SweepUpload => sweep(rules),
        Op::Mount | Op::Renew => adopt_a_link(),
        Op::PutManifest(blobs) => put_manifest(blobs, rules),
        Op::DeleteManifest => delete_manifest(rules),
        Op::SweepMarkers => sweep_markers(),
        Op::DeleteBlob | Op::Collect => collect(rules),
    }
}

fn drop_own(rules: Rules) -> StepKind {
    if rules.own_object_is_condemned { StepKind::PutCondemned } else { StepKind::DeleteObject }
}

/// The session stays until the sweeper forgets it.
fn push(rules: Rules) -> Vec<Step> {
    use StepKind as K;
    let adopted = On::Adopted(0);
    let dropped = if rules.own_object_is_condemned { 7 } else { END };
    vec![
        step(K::CommitUpload, On::Own, 1, 1),
        step(K::ListHolders, adopted, 2, 10),
        step(K::PutHolder, adopted, 3, 3),
        step(K::GetCondemned, adopted, 4, 9),
        step(K::StatObject, adopted, 5, 9),
        step(K::PutLink, adopted, 6, 6),
        step(drop_own(rules), On::Own, dropped, dropped),
        step(K::ListHolders, On::Own, 8, END),
        step(K::DeleteObject, On::Own, END, END),
        step(K::DeleteHolder, adopted, 10, 10),
        step(K::PutHolder, On::Own, 11, 11),
        step(K::PutLink, On::Own, END, END),
    ]
}

/// By the rules, an Adopt of the session's own object and nothing else; without them, simply the push's steps again.
fn finalise_again(rules: Rules) -> Vec<Step> {
    use StepKind as K;
    if !rules.own_object_is_adopted {
        let mut again = push(rules);
        again[0] = step(K::Rest, On::Own, 1, 1);
        return again;
    }
    vec![
        step(K::PutHolder, On::Own, 1, 1),
        step(K::GetCondemned, On::Own, 2, 4),
        step(K::StatObject, On::Own, 3, 4),
        step(K::PutLink, On::Own, END, END),
        step(K::DeleteHolder, On::Own, END, END),
    ]
}

fn sweep(rules: Rules) -> Vec<Step> {
    vec![
        step(StepKind::ListHolders, On::Own, 1, 2),
        step(drop_own(rules), On::Own, 2, 2),
        step(StepKind::ForgetUpload, On::Own, END, END),
    ]
}

fn adopt(steps: &mut Vec<Step>, blob: usize, done: u8, failed: u8) {
    use StepKind as K;
    let on = On::Adopted(blob);
    let first = u8::try_from(steps.len()).unwrap_or(DEAD);
    steps.push(step(K::PutHolder, on, first + 1, first + 1));
    steps.push(step(K::GetCondemned, on, first + 2, failed));
    steps.push(step(K::StatObject, on, first + 3, failed));
    steps.push(step(K::PutLink, on, done, done));
}

fn adopt_a_link() -> Vec<Step> {
    let mut steps = vec![step(StepKind::ListLinks, On::Adopted(0), 1, END)];
    adopt(&mut steps, 0, END, 5);
    steps.push(step(StepKind::DeleteHolder, On::Adopted(0), END, END));
    steps
}

/// For each blob: the listing (`next`: renew, `other`: rely on a young link), and the Adopt.
fn put_manifest(blobs: usize, rules: Rules) -> Vec<Step> {
    use StepKind as K;
    let mut steps = Vec::new();
    let undo = u8::try_from(5 * blobs + 5).unwrap_or(DEAD);
    for blob in 0..blobs {
        let first = u8::try_from(5 * blob).unwrap_or(DEAD);
        steps.push(step(K::ListLinks, On::Adopted(blob), first + 1, first + 5));
        adopt(&mut steps, blob, first + 5, undo + u8::try_from(blob).unwrap_or(DEAD));
    }
    let record = u8::try_from(steps.len()).unwrap_or(DEAD);
    steps.push(step(K::PutManifest, On::Hand, record + 1, record + 1));
    steps.push(step(K::PutReferrer, On::Hand, record + 2, record + 2));
    steps.push(step(K::PutMarker, On::Hand, record + 3, record + 3));
    steps.push(step(K::PutTag, On::Hand, record + 4, record + 4));
    steps.push(step(K::GetManifest, On::Hand, END, if rules.second_read { record } else { END }));
    for blob in 0..blobs {
        steps.push(step(K::DeleteHolder, On::Adopted(blob), END, END));
    }
    steps
}

/// Untag, delete the record, and untag again what a crossing PUT tagged.
fn delete_manifest(rules: Rules) -> Vec<Step> {
    use StepKind as K;
    let hand = On::Hand;
    let early = rules.markers == Markers::DroppedFirst;
    let late = rules.markers == Markers::DroppedLast;
    vec![
        step(K::ListMarkers, hand, 1, 4),
        step(K::GetTag, hand, 2, 3),
        step(K::DeleteTag, hand, 3, 3),
        step(if early { K::DeleteMarker } else { K::Rest }, hand, 4, 4),
        step(K::DeleteManifest, hand, 5, 5),
        step(K::ListMarkers, hand, 6, END),
        step(K::GetTag, hand, 7, if late { 9 } else { END }),
        step(K::GetManifest, hand, END, 8),
        step(K::DeleteTag, hand, if late { 9 } else { END }, END),
        step(if late { K::DeleteMarker } else { K::Rest }, hand, END, END),
    ]
}

fn sweep_markers() -> Vec<Step> {
    use StepKind as K;
    vec![
        step(K::ListMarkers, On::Hand, 1, END),
        step(K::GetTag, On::Hand, END, 2),
        step(K::DeleteMarker, On::Hand, END, END),
    ]
}

/// The collector; a blob's DELETE is its part from `CHOOSE` on, with [`StepKind::ListLinks`] before it.
fn collect(rules: Rules) -> Vec<Step> {
    use StepKind as K;
    let hand = On::Hand;
    let dropped = if rules.look_again { place::AFTER } else { place::CHOOSE };
    vec![
        step(K::ListLinks, hand, place::ROOTS, place::ROOTS),
        step(K::ListManifests, hand, place::CHOOSE, place::CHOOSE),
        step(K::DeleteLink, hand, place::LOOK, place::REST),
        step(K::ListHolders, hand, place::CONDEMN, place::DROP),
        step(K::PutCondemned, hand, place::DROP, place::DROP),
        step(K::DeleteHolder, hand, dropped, dropped),
        step(K::ListHolders, hand, place::CHOOSE, place::AFTER_CONDEMN),
        step(K::PutCondemned, hand, place::CHOOSE, place::CHOOSE),
        step(K::ListHolders, hand, place::DELETE_OBJECT, place::REST),
        step(K::DeleteObject, hand, place::DELETE_MARK, place::DELETE_MARK),
        step(K::DeleteCondemned, hand, place::REST, place::REST),
    ]
}
