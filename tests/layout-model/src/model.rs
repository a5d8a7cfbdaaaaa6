//! A small store and the actors on it: what exists at the start, who asks for what, how many collectors go round.

use crate::rules::{Markers, Rules};
use crate::state::{Local, OBJECTS, REQUESTS, SLOTS, State, Widths};
use crate::step::{DEAD, END, LATE, Op, Step, StepKind, program};

/// The two blobs, by their place in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blob {
    /// The one that everybody wants.
    X,
    /// The other one.
    Y,
}

/// The two repositories. Manifests are put in `A`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repository {
    A,
    B,
}

/// A nonce that a holder and a link may carry: of which blob and repository, and which request makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nonce {
    pub(crate) blob: Blob,
    pub(crate) repository: Repository,
    pub(crate) maker: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) op: Op,
    pub(crate) program: Vec<Step>,
    /// One per blob.
    pub(crate) nonces: Vec<usize>,
    pub(crate) repository: Repository,
    /// The repository whose links it reads.
    pub(crate) source: Repository,
    /// The object of its session.
    pub(crate) own: usize,
    /// The push whose session it finalises or expires.
    pub(crate) push: usize,
    /// Its bit among the markers.
    pub(crate) marker: u8,
}

impl Request {
    pub(crate) fn walks_links(&self) -> bool {
        self.op == Op::DeleteBlob
    }

    /// A sweep takes its time; everything else ends within W/2.
    pub(crate) fn is_bounded(&self) -> bool {
        !matches!(self.op, Op::SweepUpload | Op::SweepMarkers)
    }
}

/// One scenario.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) rules: Rules,
    pub(crate) requests: Vec<Request>,
    pub(crate) nonces: Vec<Nonce>,
    /// The blob of each object.
    pub(crate) objects: Vec<Blob>,
    pub(crate) collectors: usize,
    pub(crate) start: State,
    pub(crate) manifest_blobs: Vec<Blob>,
    pub(crate) seen_sessions: bool,
    pub(crate) seen_tags: bool,
}

impl Model {
    /// An empty store with two collectors.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            requests: Vec::new(),
            nonces: Vec::new(),
            objects: Vec::new(),
            collectors: 2,
            start: State::default(),
            manifest_blobs: Vec::new(),
            seen_sessions: false,
            seen_tags: false,
        }
    }

    /// Another number of collectors: none, one or two.
    #[must_use]
    pub fn collectors(mut self, number: usize) -> Self {
        self.collectors = number;
        self
    }

    /// An object that a repository has held since long ago.
    #[must_use]
    pub fn held(mut self, blob: Blob, repository: Repository) -> Self {
        let object = self.new_object(blob);
        let nonce = self.new_nonce(blob, repository, None);
        self.start.exists |= 1 << object;
        self.start.holders |= 1 << nonce;
        self.start.links |= 1 << nonce;
        self.start.object[nonce] = u8::try_from(object).unwrap_or(0);
        self
    }

    /// Another repository's old link to the first object.
    #[must_use]
    pub fn shared_with(mut self, repository: Repository) -> Self {
        let nonce = self.new_nonce(Blob::X, repository, None);
        self.start.holders |= 1 << nonce;
        self.start.links |= 1 << nonce;
        self
    }

    /// The manifest, over these blobs, was put in `A` and acknowledged long ago.
    #[must_use]
    pub fn manifest(mut self, blobs: &[Blob]) -> Self {
        self.manifest_blobs = blobs.to_vec();
        self.start.manifest = true;
        self.start.tag = true;
        self.start.acknowledged = true;
        self.start.markers = 1;
        self
    }

    /// A push of a blob.
    #[must_use]
    pub fn push(mut self, blob: Blob, repository: Repository) -> Self {
        let own = self.new_object(blob);
        self.add(Op::Push, &[blob], repository, repository, own)
    }

    /// The finalise of the first push, once more: while it is under way, or after its crash.
    #[must_use]
    pub fn finalise_again(mut self, blob: Blob, repository: Repository) -> Self {
        self.seen_sessions = true;
        let push = self.pushes();
        let own = self.requests[push].own;
        self = self.add(Op::FinaliseAgain, &[blob], repository, repository, own);
        self.with_push(push)
    }

    /// The expiry of the first push's session.
    #[must_use]
    pub fn sweep(mut self) -> Self {
        self.seen_sessions = true;
        let push = self.pushes();
        let own = self.requests[push].own;
        self = self.add(Op::SweepUpload, &[], Repository::A, Repository::A, own);
        self.with_push(push)
    }

    /// A mount of the first blob from `A` to `B`.
    #[must_use]
    pub fn mount(self) -> Self {
        self.add(Op::Mount, &[Blob::X], Repository::B, Repository::A, 0)
    }

    /// A HEAD of the first blob in `A` by somebody who may push.
    #[must_use]
    pub fn renew(self) -> Self {
        self.add(Op::Renew, &[Blob::X], Repository::A, Repository::A, 0)
    }

    /// The manifest's PUT in `A`.
    #[must_use]
    pub fn put_manifest(mut self, blobs: &[Blob]) -> Self {
        self.manifest_blobs = blobs.to_vec();
        self.add(Op::PutManifest(blobs.len()), blobs, Repository::A, Repository::A, 0)
    }

    /// The manifest's DELETE by digest.
    #[must_use]
    pub fn delete_manifest(mut self) -> Self {
        self.seen_tags = true;
        self.add(Op::DeleteManifest, &[], Repository::A, Repository::A, 0)
    }

    /// A collector's look at the manifest's old markers.
    #[must_use]
    pub fn sweep_markers(mut self) -> Self {
        self.seen_tags = true;
        self.add(Op::SweepMarkers, &[], Repository::A, Repository::A, 0)
    }

    /// As [`Self::delete_manifest`], on a manifest without tags: tags and markers are left out of the model.
    #[must_use]
    pub fn delete_untagged(mut self) -> Self {
        self.start.tag = false;
        self.start.markers = 0;
        self = self.add(Op::DeleteManifest, &[], Repository::A, Repository::A, 0);
        if let Some(request) = self.requests.last_mut() {
            request.program.retain(|step| step.kind == StepKind::DeleteManifest);
            request.program.iter_mut().for_each(|step| step.next = END);
        }
        self
    }

    /// A DELETE of the first blob in `A`.
    #[must_use]
    pub fn delete_blob(self) -> Self {
        self.add(Op::DeleteBlob, &[], Repository::A, Repository::A, 0)
    }

    fn pushes(&self) -> usize {
        self.requests.iter().position(|request| request.op == Op::Push).unwrap_or(0)
    }

    fn with_push(mut self, push: usize) -> Self {
        if let Some(request) = self.requests.last_mut() {
            request.push = push;
        }
        self
    }

    fn new_object(&mut self, blob: Blob) -> usize {
        self.objects.push(blob);
        self.objects.len() - 1
    }

    fn new_nonce(&mut self, blob: Blob, repository: Repository, maker: Option<usize>) -> usize {
        self.nonces.push(Nonce { blob, repository, maker });
        self.nonces.len() - 1
    }

    fn add(mut self, op: Op, blobs: &[Blob], repository: Repository, source: Repository, own: usize) -> Self {
        let me = self.requests.len();
        let nonces = blobs.iter().map(|blob| self.new_nonce(*blob, repository, Some(me))).collect();
        let puts = self.requests.iter().filter(|request| matches!(request.op, Op::PutManifest(_))).count();
        let marker = if self.rules.markers == Markers::Own { 2 << puts } else { 1 };
        let program = program(op, self.rules);
        self.requests.push(Request { op, program, nonces, repository, source, own, push: me, marker });
        self
    }

    pub(crate) fn widths(&self) -> Widths {
        let objects = u32::try_from(self.objects.len()).unwrap_or(u32::MAX);
        let object = objects.next_power_of_two().trailing_zeros();
        let nonces = u32::try_from(self.nonces.len()).unwrap_or(u32::MAX);
        let request = |request: &Request| match request.op {
            Op::Push | Op::FinaliseAgain | Op::Mount | Op::Renew => [5, 0, 0, object],
            Op::PutManifest(_) => [5, nonces, 0, object],
            Op::DeleteManifest | Op::SweepMarkers => [5, 3, 0, 0],
            Op::DeleteBlob => [5, nonces, 3, object],
            Op::SweepUpload | Op::Collect => [5, 0, 0, 0],
        };
        Widths {
            nonces,
            object,
            objects,
            sessions: self.seen_sessions,
            waits: if self.rules.object_waits {
                u32::try_from(self.requests.len()).unwrap_or(u32::MAX)
            } else {
                0
            },
            markers: if self.seen_tags { 3 } else { 0 },
            request: self.requests.iter().map(request).collect(),
            collectors: self.collectors,
        }
    }

    /// Whether a model's parts fit in one packed state.
    pub(crate) fn fits(&self) -> bool {
        self.objects.len() <= OBJECTS
            && self.nonces.len() <= SLOTS
            && self.requests.len() <= REQUESTS
            && self.widths().total() <= 127
    }

    pub(crate) fn local<'a>(&self, state: &'a State, request: usize) -> &'a Local {
        &state.request[request]
    }

    /// Whether a request has begun and is still bound to end within W/2.
    pub(crate) fn in_flight(&self, state: &State, request: usize) -> bool {
        let at = state.request[request].at;
        at != END
            && at != DEAD
            && (at == LATE || self.has_begun(state, request))
            && self.requests[request].is_bounded()
    }

    /// A blob's DELETE begins at the end of its program, so that its first step can be the listing.
    pub(crate) fn has_begun(&self, state: &State, request: usize) -> bool {
        state.request[request].at != 0
    }

    pub(crate) fn requests_in_flight(&self, state: &State) -> u8 {
        (0..self.requests.len())
            .filter(|request| self.in_flight(state, *request))
            .fold(0, |set, it| set | 1 << it)
    }

    /// Whether whoever made a nonce can do nothing with it any more.
    pub(crate) fn maker_is_over(&self, state: &State, nonce: usize) -> bool {
        self.nonces[nonce].maker.is_none_or(|maker| matches!(state.request[maker].at, END | DEAD))
    }

    pub(crate) fn nonces_of(&self, blob: Blob, repository: Repository) -> u8 {
        let matches = |(index, nonce): (usize, &Nonce)| {
            u8::from(nonce.blob == blob && nonce.repository == repository) << index
        };
        self.nonces.iter().enumerate().map(matches).fold(0, |set, bit| set | bit)
    }

    /// The links in `A` that the manifest's record reaches.
    pub(crate) fn reached(&self, state: &State) -> u8 {
        if !state.manifest {
            return 0;
        }
        self.manifest_blobs.iter().fold(0, |set, blob| set | self.nonces_of(*blob, Repository::A))
    }
}

/// The nonces of a set.
pub(crate) fn members(set: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |index| set & (1 << index) != 0)
}

/// The nonces of `set` whose holder or link names an object.
pub(crate) fn naming(state: &State, set: u8, object: u8) -> u8 {
    members(set).filter(|nonce| state.object[*nonce] == object).fold(0, |set, nonce| set | 1 << nonce)
}
