//! How large each part is. Fixed for all sessions of a server: part sizes grow by doubling, so that the parts that the
//! server takes suffice when nobody tells the size, as docker does not.

/// Part ends are multiples of this, wherever a flush did not cut: there the core has a mark (contract clause U10).
pub(crate) const MARK_EVERY: u64 = 16 * MIB;
/// No part but the last is smaller, on any server.
pub(crate) const LEAST: u64 = 5 * MIB;
/// A record for each so many bytes, once the parts up to there have arrived: what a writer that dies may lose, and what is
/// under way.
pub(crate) const LAZY_MARK: u64 = 128 * MIB;

/// S3's own limit is 5 GiB; what was received of a part lies in a local file until it is sent.
const LARGEST: u64 = 4096 * MIB;
const MIB: u64 = 1024 * 1024;

/// Sizes of parts by their numbers, which begin with 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    max_parts: u32,
}

impl Schedule {
    pub(crate) fn new(max_parts: u32) -> Self {
        Self { max_parts }
    }

    /// How many bytes part `number` has, if no flush cuts it.
    pub(crate) fn size(self, number: u32) -> u64 {
        match number {
            0..=2 => 16 * MIB,
            3..=4 => 32 * MIB,
            _ => {
                let doublings = number / (self.max_parts / 8).max(1);
                ((64 * MIB) << doublings.min(16)).min(LARGEST)
            }
        }
    }

    /// The largest object that the parts suffice for, with those to spare that flushes may cut.
    pub(crate) fn largest_object(self) -> u64 {
        (1..=self.max_parts - self.spare()).map(|number| self.size(number)).sum()
    }

    /// Parts that flushes may cut short, and numbers that a newcomer may skip.
    pub(crate) fn spare(self) -> u32 {
        self.max_parts / 10
    }

    /// Whether another part may be cut short when `number` is next at `offset`.
    pub(crate) fn may_cut(self, number: u32, offset: u64) -> bool {
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
    pub(crate) fn end(self, number: u32, base: u64) -> u64 {
        let end = (base + self.size(number)) / MARK_EVERY * MARK_EVERY;
        if end >= base + LEAST { end } else { end + MARK_EVERY }
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
}
