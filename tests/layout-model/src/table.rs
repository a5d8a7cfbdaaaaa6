//! A set of packed states: open addressing in one flat array, 16 bytes a place.

/// No packed state has all its bits set: the top one is never used.
const EMPTY: u128 = u128::MAX;

pub(crate) struct Table {
    places: Vec<u128>,
    used: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { places: vec![EMPTY; 1 << 16], used: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Whether the word is new.
    pub(crate) fn insert(&mut self, word: u128) -> bool {
        if self.used * 4 >= self.places.len() * 3 {
            self.grow();
        }
        let new = place(&mut self.places, word);
        self.used += usize::from(new);
        new
    }

    fn grow(&mut self) {
        let mut places = vec![EMPTY; self.places.len() * 2];
        for word in self.places.iter().filter(|word| **word != EMPTY) {
            place(&mut places, *word);
        }
        self.places = places;
    }
}

fn place(places: &mut [u128], word: u128) -> bool {
    let mask = places.len() - 1;
    let mut at = hash(word) & mask;
    while places[at] != EMPTY {
        if places[at] == word {
            return false;
        }
        at = (at + 1) & mask;
    }
    places[at] = word;
    true
}

fn hash(word: u128) -> usize {
    const A: u64 = 0x9E37_79B9_7F4A_7C15;
    const B: u64 = 0xD6E8_FEB8_6659_FD93;
    let bytes = word.to_le_bytes();
    let (low, high) = bytes.split_at(8);
    let part = |half: &[u8]| half.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let mut mixed = (part(low) ^ A).wrapping_mul(B) ^ (part(high) ^ B).wrapping_mul(A).rotate_left(31);
    mixed = (mixed ^ (mixed >> 32)).wrapping_mul(B);
    usize::try_from(mixed ^ (mixed >> 29)).unwrap_or(0)
}
