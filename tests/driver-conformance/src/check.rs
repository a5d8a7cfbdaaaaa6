//! What a check is: a name, the clauses it holds a driver to, what it needs, and the work.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::bed::Bed;
use crate::verdict::Verdict;

/// The work of a check, under way.
pub type Work<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// One promise of the contract, held against a driver.
#[derive(Clone, Copy)]
pub struct Check {
    /// `group.what-is-promised`.
    pub name: &'static str,
    /// Of docs/driver-contract.md; a failure cites the first.
    pub clauses: &'static [&'static str],
    /// Without all of these it is skipped.
    pub needs: &'static [Need],
    pub work: for<'a> fn(&'a Bed) -> Work<'a>,
}

impl Check {
    /// The part of the name before the point.
    pub fn group(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(group, _)| group)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("clauses", &self.clauses)
            .finish_non_exhaustive()
    }
}

/// `check!("object.put-then-get", ["O4", "O5"], [], put_then_get)`, where the last names an
/// `async fn(&Bed) -> Verdict`.
#[macro_export]
macro_rules! check {
    ($name:literal, [$($clause:literal),+], [$($need:ident),*], $work:path) => {
        $crate::check::Check {
            name: $name,
            clauses: &[$($clause),+],
            needs: &[$($crate::check::Need::$need),*],
            work: |bed| Box::pin($work(bed)),
        }
    };
}

/// What a check can't do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    RangeRead,
    PutIfAbsent,
    PutIfMatch,
    DeleteIfMatch,
    ListIsCurrent,
    UploadsShared,
    Crc32c,
    Move,
    /// A durability beyond the life of the process, and the hooks `kill` and `start`.
    Restart,
    /// The hooks `terminate` and `start`.
    Terminate,
    /// The hooks `backend-stop` and `backend-start`.
    BackendStop,
    /// A second instance on the same store (`--second`).
    Second,
    /// An endpoint that is a unix socket.
    Unix,
}

impl Need {
    /// Whether it is about the kind of the endpoint: a check of sockets does not apply to a port.
    pub fn is_of_the_endpoint(self) -> bool {
        self == Self::Unix
    }

    /// As told in a SKIP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RangeRead => "range_read",
            Self::PutIfAbsent => "put_if_absent",
            Self::PutIfMatch => "put_if_match",
            Self::DeleteIfMatch => "delete_if_match",
            Self::ListIsCurrent => "list_is_current",
            Self::UploadsShared => "uploads_shared",
            Self::Crc32c => "crc32c",
            Self::Move => "move",
            Self::Restart => "durability OS or STABLE, with hooks kill and start",
            Self::Terminate => "hooks terminate and start",
            Self::BackendStop => "hooks backend-stop and backend-start",
            Self::Second => "--second ENDPOINT",
            Self::Unix => "a unix socket",
        }
    }
}
