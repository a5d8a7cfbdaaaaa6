//! The rules of the layout that the model can be run with or without: a rule that can be left out without a bad history
//! is no rule.

/// When a collector writes `.condemned` before it drops a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condemn {
    /// When no other holder is listed.
    NoOtherHolder,
    /// When no other listed holder has its link.
    NoOtherLink,
}

/// How the reverse markers below `_tagged` are named and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Markers {
    /// One name per tag; a delete drops them before the manifest record.
    DroppedFirst,
    /// One name per tag; a delete drops them after the manifest record.
    DroppedLast,
    /// One name per tag; a collector drops those that are older than W and whose tag is gone.
    Shared,
    /// A name of its own for every PUT; a collector may drop those that are older than W and whose tag is gone.
    Own,
}

/// The rules of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// An adopter reads `.condemned` after it has written its holder.
    pub reads_condemned: bool,
    /// An adopter stats the object after that.
    pub stats_object: bool,
    /// A holder without its link is left alone until its maker's time is over.
    pub stale_waits: bool,
    /// A condemned object is left alone until the requests under way when it was condemned are over.
    pub object_waits: bool,
    /// Listings may leave out what was put by requests that are still under way.
    pub listings_lag: bool,
    /// A link is collected only if it was old when the marking began (else: when it is looked at).
    pub old_when_marking_begins: bool,
    /// The roots are listed after the marking began (else: before).
    pub roots_after_mark: bool,
    /// A manifest PUT relies on young links only (else: on any).
    pub relies_on_young: bool,
    /// A manifest PUT reads its record again before it answers.
    pub second_read: bool,
    /// HEAD answers 404 where the renewal fails (else: 200 by the old link).
    pub failed_renewal_is_unknown: bool,
    /// The mark is written before the last holder goes (else: after).
    pub mark_before_drop: bool,
    /// A release lists the holders once more after its drop.
    pub look_again: bool,
    /// When a release condemns.
    pub condemn: Condemn,
    /// An uploaded object that is not needed is condemned before it goes (else: deleted at once).
    pub own_object_is_condemned: bool,
    /// A repeated finalise takes its own object by Adopt (else: as the first one does).
    pub own_object_is_adopted: bool,
    /// An adopter that gives up while its link is being put leaves the holder to the collector (else: deletes it).
    pub late_link_keeps_holder: bool,
    /// The reverse markers.
    pub markers: Markers,
}

impl Rules {
    /// The rules in force, on a store where a request ends before anything it waits for: `object_waits` is left out,
    /// because every history with the wait is one of those without it (see the crate's notes).
    pub const fn design() -> Self {
        Self {
            reads_condemned: true,
            stats_object: true,
            stale_waits: true,
            object_waits: false,
            listings_lag: false,
            old_when_marking_begins: true,
            roots_after_mark: true,
            relies_on_young: true,
            second_read: true,
            failed_renewal_is_unknown: true,
            mark_before_drop: true,
            look_again: false,
            condemn: Condemn::NoOtherLink,
            own_object_is_condemned: true,
            own_object_is_adopted: true,
            late_link_keeps_holder: true,
            markers: Markers::Own,
        }
    }
}
