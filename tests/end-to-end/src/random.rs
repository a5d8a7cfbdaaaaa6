//! Pseudo-random numbers and content from a seed that is printed, so that a failed run can be repeated.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The environment variable that fixes the seed. The core takes one that begins with LONGSHORE_ for a setting.
pub const SEED: &str = "TEST_SEED";

/// xorshift64*: fast, small, the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn from_seed(seed: u64) -> Self {
        // xorshift has one bad state, and close seeds begin alike until they are mixed.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ (mixed >> 31)).max(1))
    }

    /// The seed of this run: from the environment if given there, else from the clock; printed either way.
    pub fn announced(test: &str) -> Self {
        let seed = match std::env::var(SEED) {
            Ok(given) => given.parse().unwrap_or_else(|_| panic!("{SEED} must be a number, not {given:?}")),
            Err(_) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
                u64::from(now.subsec_nanos()) ^ now.as_secs()
            }
        };
        crate::figure!("{test}: seed {seed} ({SEED}={seed} repeats it)");
        Self::from_seed(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in `0..bound`; the bias of the remainder is far below what a test could notice.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound.max(1)
    }

    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn duration_below(&mut self, bound: Duration) -> Duration {
        Duration::from_nanos(self.below(u64::try_from(bound.as_nanos()).expect("a short duration")))
    }

    /// Another generator whose numbers have nothing to do with this one's.
    pub fn split(&mut self) -> Self {
        Self::from_seed(self.next_u64())
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = self.next_u64().to_le_bytes();
        }
        let last = self.next_u64().to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}
