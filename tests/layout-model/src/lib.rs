//! Every interleaving of what clients and collectors do to a small store, by the storage layout's rules: at most
//! 2 blobs, 2 repositories and 4 objects; one storage call is one step; every actor may crash between two of them.
//!
//! In every state: no link serves an object that was deleted; an acknowledged manifest that nobody deleted since has its
//! record and, for each blob, a link; HEAD is not answered with 200 without a lease. In every state without a request
//! under way: a tag has its manifest and a marker (unless somebody crashed), and one collector that goes on alone
//! leaves nothing behind but what the manifest reaches. The requests and collectors run the programs of [`steps`].
//!
//! # Reductions, and why each is sound
//!
//! * Collectors go round without end, and choose at rest what to look at next, so no number of rounds is a bound. Their
//!   crash needs no state: one that crashed is one that never goes on, or (an edge from each place) starts again.
//! * Two collectors are interchangeable; a state keeps them sorted.
//! * A step on keys that no other actor of the scenario touches is taken with the one before it (an unseen commit, tags
//!   where nobody deletes one). It commutes with every step of the others. An answer is given with the last put before
//!   it: what was promised is promised earlier, so more is asked.
//! * Time runs more freely than in the world. A link may grow old as soon as its maker is over and no manifest PUT under
//!   way relies on it; a holder may go stale as soon as its maker is over; a condemned object may be deleted at once.
//!   Each real history is one of these. Where sessions are finalised twice or listings lag, the last of these is too
//!   free (such a history shows a loss), and the real rule is modelled: the requests under way when the mark was
//!   written must end first.
//! * A release's listing of holders and its looks at their links are one step, made up for by letting it condemn although
//!   it could see another link.
//! * What nothing can ask for any more (the age of a deleted link, the object of a free nonce) is not told apart.
//!
//! # What is not covered
//!
//! All actors at once are too many for a test. Every three of the seven requests run with two collectors, every four
//! with one, and other groups as `tests/histories.rs` names them. A third collector, a third blob, more than one retry
//! of a client, index children, referrers, several tags and paged listings are left out; lag is modelled for the last
//! listing before an object goes, and nowhere else. Clocks are assumed to agree within W/2.

mod collector;
mod explore;
mod model;
mod property;
mod request;
mod rules;
mod state;
mod step;
mod table;

pub use explore::{BadHistory, Visited, explore};
pub use model::{Blob, Model, Repository};
pub use rules::{Condemn, Markers, Rules};
pub use step::{Op, StepKind, leased_path, own_path, steps, usual_path};
