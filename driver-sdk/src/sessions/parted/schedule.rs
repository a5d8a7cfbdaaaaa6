//! How large each part is. Fixed for all sessions of a server: part sizes grow by doubling, so that the parts that the
//! server takes suffice when nobody tells the size, as docker does not.

/// Part ends are multiples of this, wherever a flush did not cut: there the core has a mark (contract clause U10).
pub const MARK_EVERY: u64 = 16 * MIB;
/// A record for each so many bytes, once the parts up to there have arrived: what a writer that dies may lose, and what is
/// under way.
pub const LAZY_MARK: u64 = 128 * MIB;

/// S3 takes no smaller part but the last, and where others do, a request for less costs more than it is worth.
const LEAST: u64 = 5 * MIB;
/// S3's own limit is 5 GiB; what was received of a part lies in a local file until it is sent.
const LARGEST: u64 = 4096 * MIB;
const MIB: u64 = 1024 * 1024;

/// Sizes of parts by their numbers, which begin with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    max_parts: u32,
    sizes: Sizes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sizes {
    /// Twice as large after so many parts.
    Doubling {
        after: u32,
        largest: u64,
    },
    Fixed(u64),
}

impl Schedule {
    /// Sizes that reach the largest by the end of these parts.
    pub fn new(max_parts: u32) -> Self {
        Self::doubling(max_parts, (max_parts / 8).max(1), LARGEST)
    }

    /// Where parts are few: sizes that double sooner, and up to what the server takes.
    pub fn doubling(max_parts: u32, after: u32, largest: u64) -> Self {
        let largest = (largest / MARK_EVERY * MARK_EVERY).max(MARK_EVERY);
        Self { max_parts, sizes: Sizes::Doubling { after: after.max(1), largest } }
    }

    /// Parts of one size.
    pub fn fixed(max_parts: u32, size: u64) -> Self {
        Self { max_parts, sizes: Sizes::Fixed(size.max(1)) }
    }

    /// How many bytes part `number` has, if no flush cuts it.
    pub fn size(self, number: u32) -> u64 {
        match (self.sizes, number) {
            (Sizes::Fixed(size), _) => size,
            (Sizes::Doubling { largest, .. }, 0..=2) => (16 * MIB).min(largest),
            (Sizes::Doubling { largest, .. }, 3..=4) => (32 * MIB).min(largest),
            (Sizes::Doubling { after, largest }, _) => ((64 * MIB) << (number / after).min(16)).min(largest),
        }
    }

    /// Where the core is to set marks: part ends are among them.
    pub fn mark_every(self) -> u64 {
        match self.sizes {
            Sizes::Doubling { .. } => MARK_EVERY,
            Sizes::Fixed(size) => size.min(MARK_EVERY),
        }
    }

    /// No part but the last is smaller.
    pub fn least(self) -> u64 {
        match self.sizes {
            Sizes::Doubling { .. } => LEAST,
            Sizes::Fixed(size) => size.min(LEAST),
        }
    }

    /// The largest object that the parts suffice for, with those to spare that flushes may cut.
    pub fn largest_object(self) -> u64 {
        (1..=self.max_parts - self.spare()).map(|number| self.size(number)).sum()
    }

    /// Parts that flushes may cut short, and numbers that a newcomer may skip.
    pub fn spare(self) -> u32 {
        self.max_parts / 10
    }

    /// Whether another part may be cut short when `number` is next at `offset`.
    pub fn may_cut(self, number: u32, offset: u64) -> bool {
        number < self.number_at(offset) + self.spare()
    }

    /// The part that an offset would lie in had no flush cut any.
    fn number_at(self, offset: u64) -> u32 {
        let (mut number, mut end) = (1, self.size(1));
        while end <= offset && number < self.max_parts {
            number += 1;
            end += self.size(number);
        }
        number
    }

    /// Where part `number` ends that begins at `base`: at a mark.
    pub fn end(self, number: u32, base: u64) -> u64 {
        let mark = self.mark_every();
        let end = (base + self.size(number)) / mark * mark;
        if end >= base + self.least() { end } else { end + mark }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_suffice_for_five_tebibytes() {
        assert!(Schedule::new(10_000).largest_object() >= 5 << 40);
    }

    #[test]
    fn a_layer_takes_few_parts_and_the_first_is_sent_soon() {
        let schedule = Schedule::new(10_000);
        let (mut number, mut sent) = (0, 0);
        while sent < 256 * MIB {
            number += 1;
            sent += schedule.size(number);
        }
        assert_eq!((number, schedule.size(1)), (7, 16 * MIB));
    }

    #[test]
    fn parts_end_at_marks_whatever_a_flush_cut_before() {
        let schedule = Schedule::new(10_000);
        for base in [0, 1, 5 * MIB, 11 * MIB, 12 * MIB, 100 * MIB + 7] {
            for number in [1, 3, 7, 3000] {
                let end = schedule.end(number, base);
                assert!(end.is_multiple_of(MARK_EVERY) && end >= base + LEAST, "{base} {number} {end}");
                assert!(end - base <= schedule.size(number) + MARK_EVERY, "{base} {number} {end}");
            }
        }
    }

    #[test]
    fn flushes_may_cut_a_tenth_of_the_parts_and_no_more() {
        let schedule = Schedule::new(1000);
        assert!(schedule.may_cut(1, 0) && schedule.may_cut(100, 0) && !schedule.may_cut(101, 0));
        assert!(schedule.may_cut(101, 17 * MIB));
    }

    #[test]
    fn a_thousand_parts_suffice_for_almost_five_terabytes_where_sizes_double_sooner() {
        let schedule = Schedule::doubling(1000, 1000 / 64, 5 << 30);
        assert_eq!((schedule.size(1), schedule.size(1000)), (16 * MIB, 5 << 30));
        assert!(schedule.largest_object() >= 4_000_000 * MIB, "{}", schedule.largest_object());
    }

    #[test]
    fn parts_of_a_fixed_size_have_it() {
        let schedule = Schedule::fixed(10_000, 64 * 1024);
        let mut base = 0;
        for number in 1..2000 {
            let end = schedule.end(number, base);
            assert_eq!(end, base + 64 * 1024);
            base = end;
        }
        assert_eq!((schedule.mark_every(), schedule.least()), (64 * 1024, 64 * 1024));
    }
}
