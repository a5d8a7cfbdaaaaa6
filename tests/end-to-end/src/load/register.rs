//! One name of a registry as a register: what it was set to and cleared by, and which reads that explains. Requests that
//! overlap may have happened in either order, so a value may be read as long as no later change is known to have happened
//! between the one that set it and the beginning of the read.

/// When a request was under way, in nanoseconds of the test's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) begin: u64,
    /// [`NEVER`] where no answer says what came of it: it may happen at any time, or not at all.
    pub(crate) end: u64,
}

pub(crate) const NEVER: u64 = u64::MAX;

impl Span {
    fn is_before(self, other: Self) -> bool {
        self.end < other.begin
    }

    /// Whether one was over before the other began.
    pub(crate) fn is_apart(self, other: Self) -> bool {
        self.is_before(other) || other.is_before(self)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change<V> {
    Set(V),
    Clear,
    /// A delete of what the name points at: the name goes too, if it points there. `sure`: it was acknowledged.
    ClearIf {
        value: V,
        sure: bool,
    },
}

/// All that is known of one name. It is absent in the beginning.
#[derive(Clone, Debug)]
pub(crate) struct Register<V> {
    pub(crate) changes: Vec<(Span, Change<V>)>,
    /// What was read; `None`: that it is absent.
    pub(crate) reads: Vec<(Span, Option<V>)>,
}

impl<V> Default for Register<V> {
    fn default() -> Self {
        Self { changes: Vec::new(), reads: Vec::new() }
    }
}

/// What a store can do for a conditional clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletes {
    /// By compare-and-set: it takes away the value that it names and no other.
    Conditional,
    /// DESIGN.md section 4, Tags: "with neither, a tag pushed in the same instant as a delete-by-digest may go with it". So
    /// a set that *overlaps* the delete may go, whatever its value. One that began later may not.
    Unconditional,
}

/// What a store can do, as far as a name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ability {
    pub(crate) deletes: Deletes,
    /// In nanoseconds: a clear finds what was set by a listing that lags so far behind, and by the one name that the last set
    /// left where no listing is needed. So it surely finds a set that was done so long before, and one that no other change
    /// came after. Any other it may miss; that one is there again as soon as it is listed.
    pub(crate) lag: u64,
}

impl Ability {
    /// Every name is found.
    pub(crate) fn of_names(deletes: Deletes) -> Self {
        Self { deletes, lag: 0 }
    }
}

/// A value, and the moment from which it is known to be something else.
struct Reign<V> {
    value: Option<V>,
    begin: u64,
    until: u64,
}

impl<V: Copy + PartialEq> Register<V> {
    /// The reads that nothing explains.
    pub(crate) fn unexplained(&self, ability: Ability) -> Vec<(Span, Option<V>)> {
        let reigns = self.reigns(ability);
        let wrong = self.reads.iter().filter(|(span, seen)| !explains(&reigns, *span, *seen));
        wrong.copied().collect()
    }

    /// Whether the name may have been absent at some moment of a span.
    pub(crate) fn may_be_absent(&self, span: Span, ability: Ability) -> bool {
        explains(&self.reigns(ability), span, None)
    }

    fn reigns(&self, ability: Ability) -> Vec<Reign<V>> {
        let untils: Vec<u64> =
            self.changes.iter().map(|change| self.overwritten(*change, ability.lag)).collect();
        let first = self.earliest_end(|_, change| matches!(change, Change::Set(_)));
        let mut reigns = vec![Reign { value: None, begin: 0, until: first }];
        reigns.extend(self.changes.iter().zip(&untils).map(|((span, change), until)| match change {
            Change::Set(value) => Reign { value: Some(*value), begin: span.begin, until: *until },
            Change::Clear => Reign { value: None, begin: span.begin, until: *until },
            Change::ClearIf { value, .. } => {
                let until = self.absent_until(*span, *value, ability.deletes, &untils);
                Reign { value: None, begin: span.begin, until }
            }
        }));
        reigns
    }

    /// The moment from which what a change left is known to be over; of a conditional one, that alone does not tell.
    fn overwritten(&self, (span, change): (Span, Change<V>), lag: u64) -> u64 {
        self.earliest_end(|later, other| {
            span.is_before(later)
                && match change {
                    Change::Set(value) => overwrites(other, value) && self.finds(later, span, lag),
                    Change::Clear | Change::ClearIf { .. } => matches!(other, Change::Set(_)),
                }
        })
    }

    /// Whether a change surely finds what was set before it.
    fn finds(&self, change: Span, set: Span, lag: u64) -> bool {
        let is_listed = set.end.saturating_add(lag) <= change.begin;
        let came_between = |other: Span| {
            other != set && other != change && other.begin < change.end && other.end > set.begin
        };
        is_listed || !self.changes.iter().any(|(other, _)| came_between(*other))
    }

    /// The moment from which an absence that a conditional clear left is known to be over; 0 if it can't have left one.
    /// `untils` are those of [`Register::overwritten`].
    fn absent_until(&self, clear: Span, value: V, deletes: Deletes, untils: &[u64]) -> u64 {
        let cleared = self.changes.iter().zip(untils).filter(|((set, change), until)| {
            // It was there to be cleared: set before the clear was done, and not known to be overwritten when it began.
            *change == Change::Set(value) && set.begin < clear.end && **until >= clear.begin
        });
        let until = cleared.map(|((set, _), _)| {
            self.earliest_end(|later, change| {
                let Change::Set(new) = change else { return false };
                let came_after_what_was_cleared = *new != value && set.is_before(later);
                clear.is_before(later) || (deletes == Deletes::Conditional && came_after_what_was_cleared)
            })
        });
        until.max().unwrap_or(0)
    }

    /// When the first of these changes is known to have happened.
    fn earliest_end(&self, counts: impl Fn(Span, &Change<V>) -> bool) -> u64 {
        let ends =
            self.changes.iter().filter(|(span, change)| counts(*span, change)).map(|(span, _)| span.end);
        ends.min().unwrap_or(NEVER)
    }
}

/// Whether a name that had this value has it no more once the change has happened.
fn overwrites<V: Copy + PartialEq>(change: &Change<V>, value: V) -> bool {
    match change {
        Change::Set(new) => *new != value,
        Change::Clear => true,
        Change::ClearIf { value: cleared, sure } => *sure && *cleared == value,
    }
}

fn explains<V: Copy + PartialEq>(reigns: &[Reign<V>], read: Span, seen: Option<V>) -> bool {
    reigns.iter().any(|reign| reign.value == seen && reign.begin < read.end && read.begin <= reign.until)
}

#[cfg(test)]
mod tests {
    use Change::{Clear, Set};
    use Deletes::{Conditional, Unconditional};

    use super::*;

    const A: u8 = 1;
    const B: u8 = 2;

    fn at(begin: u64, end: u64) -> Span {
        Span { begin, end }
    }

    fn deletes(value: u8) -> Change<u8> {
        Change::ClearIf { value, sure: true }
    }

    /// Whether a read at 100..110 that saw this is right after these changes.
    fn may_see(changes: &[(Span, Change<u8>)], seen: Option<u8>, deletes: Deletes) -> bool {
        may_see_with(changes, seen, Ability::of_names(deletes))
    }

    fn may_see_with(changes: &[(Span, Change<u8>)], seen: Option<u8>, ability: Ability) -> bool {
        let register = Register { changes: changes.to_vec(), reads: vec![(at(100, 110), seen)] };
        register.unexplained(ability).is_empty()
    }

    fn lagging(changes: &[(Span, Change<u8>)], seen: Option<u8>) -> bool {
        may_see_with(changes, seen, Ability { deletes: Unconditional, lag: 20 })
    }

    /// The same, whatever the store can do.
    fn always(changes: &[(Span, Change<u8>)], seen: Option<u8>) -> bool {
        let (one, other) = (may_see(changes, seen, Conditional), may_see(changes, seen, Unconditional));
        assert_eq!(one, other, "no conditional clear is in this history");
        one
    }

    #[test]
    fn a_lost_write_is_found() {
        assert!(!always(&[(at(10, 20), Set(A))], None));
        assert!(!always(&[(at(1, 2), Set(B)), (at(3, 4), Clear), (at(10, 20), Set(A))], None));
        // The delete was before it, at whatever store.
        assert!(!may_see(
            &[(at(1, 2), Set(B)), (at(3, 4), deletes(B)), (at(10, 20), Set(A))],
            None,
            Unconditional
        ));
    }

    #[test]
    fn a_deleted_name_that_is_served_is_found() {
        assert!(!always(&[(at(10, 20), Set(A)), (at(30, 40), Clear)], Some(A)));
        assert!(!may_see(&[(at(10, 20), Set(A)), (at(30, 40), deletes(A))], Some(A), Unconditional));
    }

    #[test]
    fn a_stale_read_is_found() {
        assert!(!always(&[(at(10, 20), Set(A)), (at(30, 40), Set(B))], Some(A)));
    }

    #[test]
    fn a_value_that_nobody_wrote_or_wrote_only_later_is_found() {
        assert!(!always(&[(at(10, 20), Set(A))], Some(B)));
        assert!(!always(&[(at(120, 130), Set(A))], Some(A)));
        assert!(!always(&[(at(120, 130), Clear), (at(10, 20), Set(A))], None));
    }

    #[test]
    fn what_is_right_is_no_finding() {
        assert!(always(&[], None));
        assert!(always(&[(at(10, 20), Set(A))], Some(A)));
        assert!(always(&[(at(10, 20), Set(A)), (at(30, 40), Clear)], None));
        assert!(always(&[(at(10, 20), Set(A)), (at(30, 40), Clear), (at(50, 60), Set(A))], Some(A)));
    }

    #[test]
    fn changes_that_overlap_the_read_may_have_happened_or_not() {
        for seen in [Some(A), Some(B)] {
            assert!(always(&[(at(10, 20), Set(A)), (at(90, 105), Set(B))], seen));
            assert!(always(&[(at(10, 20), Set(A)), (at(105, 120), Set(B))], seen));
        }
        for seen in [Some(A), None] {
            assert!(always(&[(at(10, 20), Set(A)), (at(105, 120), Clear)], seen));
        }
    }

    #[test]
    fn changes_that_overlap_each_other_may_have_happened_in_either_order() {
        for seen in [Some(A), Some(B)] {
            assert!(always(&[(at(10, 30), Set(A)), (at(20, 40), Set(B))], seen));
        }
        for seen in [Some(A), None] {
            assert!(always(&[(at(10, 30), Set(A)), (at(20, 40), Clear)], seen));
        }
    }

    #[test]
    fn a_change_without_an_answer_may_happen_late_or_never() {
        for seen in [Some(A), Some(B)] {
            assert!(always(&[(at(10, 20), Set(A)), (at(30, NEVER), Set(B))], seen));
        }
        assert!(always(&[(at(10, NEVER), Set(A)), (at(30, 40), Clear)], Some(A)));
        let never_sure = Change::ClearIf { value: A, sure: false };
        assert!(may_see(&[(at(10, 20), Set(A)), (at(30, 40), never_sure)], Some(A), Conditional));
    }

    #[test]
    fn a_conditional_delete_takes_what_it_names_and_no_other() {
        assert!(may_see(&[(at(10, 20), Set(A)), (at(30, 40), deletes(A))], None, Conditional));
        assert!(!may_see(&[(at(10, 20), Set(B)), (at(30, 40), deletes(A))], None, Unconditional));
        // It was something else again before the delete began.
        let moved_before = [(at(10, 20), Set(A)), (at(22, 24), Set(B)), (at(30, 40), deletes(A))];
        assert!(!may_see(&moved_before, None, Unconditional));
        assert!(may_see(&moved_before, Some(B), Conditional));
    }

    #[test]
    fn a_push_beside_a_delete_by_digest_goes_only_where_the_store_has_no_condition() {
        let crossed = [(at(10, 20), Set(A)), (at(30, 50), deletes(A)), (at(35, 45), Set(B))];
        assert!(!may_see(&crossed, None, Conditional));
        assert!(may_see(&crossed, None, Unconditional));
        assert!(may_see(&crossed, Some(B), Conditional) && may_see(&crossed, Some(B), Unconditional));
        // One that began after the delete was done is safe everywhere.
        let after = [(at(10, 20), Set(A)), (at(30, 50), deletes(A)), (at(55, 60), Set(B))];
        assert!(!may_see(&after, None, Unconditional));
        // And a push of the same manifest may have come before the delete at any store.
        let again = [(at(10, 20), Set(A)), (at(30, 50), deletes(A)), (at(35, 45), Set(A))];
        assert!(may_see(&again, None, Conditional) && may_see(&again, Some(A), Conditional));
    }

    #[test]
    fn a_clear_may_miss_what_is_not_listed_yet_unless_it_was_set_last() {
        let twice = [(at(10, 20), Set(A)), (at(22, 24), Set(A)), (at(30, 40), Clear)];
        assert!(lagging(&twice, Some(A)) && lagging(&twice, None));
        assert!(!always(&twice, Some(A)), "where listings are current");
        let once = [(at(10, 20), Set(A)), (at(30, 40), Clear)];
        assert!(!lagging(&once, Some(A)), "the last one needs no listing");
        let listed = [(at(1, 2), Set(A)), (at(3, 4), Set(A)), (at(30, 40), Clear)];
        assert!(!lagging(&listed, Some(A)), "both are listed by then");
        let crossed = [(at(10, 26), Set(A)), (at(20, 25), Clear), (at(30, 40), Clear)];
        assert!(lagging(&crossed, Some(A)), "the first took away the name that leads to it");
        let cleared_later =
            [(at(10, 20), Set(A)), (at(22, 24), Set(A)), (at(30, 40), Clear), (at(60, 70), Clear)];
        assert!(!lagging(&cleared_later, Some(A)), "the second found it");
    }

    #[test]
    fn a_lost_write_is_found_however_far_listings_lag() {
        assert!(!lagging(&[(at(95, 98), Set(A))], None));
        assert!(!lagging(&[(at(80, 82), Set(A)), (at(84, 86), Clear), (at(95, 98), Set(A))], None));
        let twice = [(at(70, 72), Set(A)), (at(80, 82), Set(A)), (at(84, 86), Clear), (at(95, 98), Set(A))];
        assert!(!lagging(&twice, None));
    }
}
