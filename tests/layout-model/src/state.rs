//! A state of the small store and of all who work on it, and its packing into one 16-byte word.

use crate::model::Model;

pub(crate) const SLOTS: usize = 8;
pub(crate) const REQUESTS: usize = 7;
pub(crate) const COLLECTORS: usize = 2;
pub(crate) const OBJECTS: usize = 4;

/// What one actor knows: where it is, a set of nonces (a collector's links to delete, a manifest PUT's links it relies
/// on, a manifest delete's markers), and the nonce and object it has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Local {
    pub(crate) at: u8,
    pub(crate) set: u8,
    pub(crate) nonce: u8,
    pub(crate) object: u8,
}

/// Sets are bit masks: of nonces in `holders`, `links` and `old`, of objects in `exists`, `condemned` and `sessions`,
/// of requests in `waiting_for`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) holders: u8,
    pub(crate) links: u8,
    pub(crate) old: u8,
    /// The object that a nonce's holder and link name.
    pub(crate) object: [u8; SLOTS],
    pub(crate) exists: u8,
    pub(crate) condemned: u8,
    /// Objects whose committed upload session has not been forgotten.
    pub(crate) sessions: u8,
    /// For each condemned object the requests that must end before it may be deleted.
    pub(crate) waiting_for: [u8; OBJECTS],
    pub(crate) manifest: bool,
    pub(crate) tag: bool,
    pub(crate) markers: u8,
    /// A manifest PUT was answered with 201, and no delete removed the record since.
    pub(crate) acknowledged: bool,
    /// A client deleted a blob of the manifest under way or acknowledged: its own wish.
    pub(crate) waived: bool,
    /// A HEAD was answered with 200 without a young link: set by a broken rule alone.
    pub(crate) false_lease: bool,
    pub(crate) request: [Local; REQUESTS],
    pub(crate) collector: [Local; COLLECTORS],
}

/// Bits of each part for one model: only what its actors use is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Widths {
    pub(crate) nonces: u32,
    pub(crate) object: u32,
    pub(crate) objects: u32,
    pub(crate) sessions: bool,
    pub(crate) waits: u32,
    pub(crate) markers: u32,
    /// Per request: program counter, set, nonce, object.
    pub(crate) request: Vec<[u32; 4]>,
    pub(crate) collectors: usize,
}

impl Widths {
    pub(crate) fn total(&self) -> u32 {
        let requests: u32 = self.request.iter().flatten().sum();
        let sessions = if self.sessions { self.objects } else { 0 };
        let collectors = u32::try_from(self.collectors).unwrap_or(0) * self.collector().iter().sum::<u32>();
        self.nonces * (3 + self.object)
            + 2 * self.objects
            + sessions
            + self.objects * self.waits
            + self.markers
            + 5
            + requests
            + collectors
    }

    pub(crate) fn collector(&self) -> [u32; 4] {
        [4, self.nonces, 3, self.object]
    }
}

struct Writer {
    word: u128,
    at: u32,
}

impl Writer {
    fn put(&mut self, value: u8, bits: u32) {
        self.word |= u128::from(value) << self.at;
        self.at += bits;
    }

    fn put_local(&mut self, local: Local, bits: [u32; 4]) {
        self.put(local.at, bits[0]);
        self.put(local.set, bits[1]);
        self.put(local.nonce, bits[2]);
        self.put(local.object, bits[3]);
    }
}

struct Reader {
    word: u128,
}

impl Reader {
    fn get(&mut self, bits: u32) -> u8 {
        let value = (self.word & ((1 << bits) - 1)).to_le_bytes()[0];
        self.word >>= bits;
        value
    }

    fn get_local(&mut self, bits: [u32; 4]) -> Local {
        Local {
            at: self.get(bits[0]),
            set: self.get(bits[1]),
            nonce: self.get(bits[2]),
            object: self.get(bits[3]),
        }
    }
}

impl State {
    /// Drops what no step and no property can ask for any more, so that equal futures are equal states.
    pub(crate) fn normalise(&mut self, model: &Model) {
        self.old &= self.links;
        let mut named = self.holders | self.links;
        for local in self.collector.iter().take(model.collectors) {
            named |= local.set;
        }
        for (local, request) in self.request.iter().zip(&model.requests) {
            if request.walks_links() {
                named |= local.set;
            }
        }
        for (nonce, object) in self.object.iter_mut().enumerate() {
            if named & (1 << nonce) == 0 {
                *object = 0;
            }
        }
        if model.collectors == 2 && self.collector[0] > self.collector[1] {
            self.collector.swap(0, 1);
        }
    }

    pub(crate) fn pack(&self, widths: &Widths) -> u128 {
        let mut out = Writer { word: 0, at: 0 };
        for set in [self.holders, self.links, self.old] {
            out.put(set, widths.nonces);
        }
        for object in self.object.iter().take(widths.nonces as usize) {
            out.put(*object, widths.object);
        }
        out.put(self.exists, widths.objects);
        out.put(self.condemned, widths.objects);
        if widths.sessions {
            out.put(self.sessions, widths.objects);
        }
        if widths.waits > 0 {
            for set in self.waiting_for.iter().take(widths.objects as usize) {
                out.put(*set, widths.waits);
            }
        }
        for flag in [self.manifest, self.tag, self.acknowledged, self.waived, self.false_lease] {
            out.put(u8::from(flag), 1);
        }
        out.put(self.markers, widths.markers);
        for (local, bits) in self.request.iter().zip(&widths.request) {
            out.put_local(*local, *bits);
        }
        for local in self.collector.iter().take(widths.collectors) {
            out.put_local(*local, widths.collector());
        }
        out.word
    }

    pub(crate) fn unpack(word: u128, widths: &Widths) -> Self {
        let mut input = Reader { word };
        let mut state = Self {
            holders: input.get(widths.nonces),
            links: input.get(widths.nonces),
            old: input.get(widths.nonces),
            ..Self::default()
        };
        for object in state.object.iter_mut().take(widths.nonces as usize) {
            *object = input.get(widths.object);
        }
        state.exists = input.get(widths.objects);
        state.condemned = input.get(widths.objects);
        if widths.sessions {
            state.sessions = input.get(widths.objects);
        }
        if widths.waits > 0 {
            for set in state.waiting_for.iter_mut().take(widths.objects as usize) {
                *set = input.get(widths.waits);
            }
        }
        state.manifest = input.get(1) == 1;
        state.tag = input.get(1) == 1;
        state.acknowledged = input.get(1) == 1;
        state.waived = input.get(1) == 1;
        state.false_lease = input.get(1) == 1;
        state.markers = input.get(widths.markers);
        for (local, bits) in state.request.iter_mut().zip(&widths.request) {
            *local = input.get_local(*bits);
        }
        for local in state.collector.iter_mut().take(widths.collectors) {
            *local = input.get_local(widths.collector());
        }
        state
    }
}
