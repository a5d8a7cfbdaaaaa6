//! Upload sessions on a store that has whole objects and parts of large ones, and nothing that could be appended to: what the
//! drivers of such stores have in common. How parts become an object is each driver's own.
//!
//! A session is a folder `.driver/uploads/<upload id>/` of records, named `<counter>-<owner>-<number>-<nonce>` after their
//! writer. Which of them holds is each driver's own, too: where listings are current, it is the highest. A record names exactly
//! the parts it stands for, with their etags, and carries the bytes behind them that are too few for a part. So a writer that
//! was shut out and does not know it yet writes under names that nobody reads, and nothing of it is ever part of a commit
//! (contract clause U20).
//!
//! Reading order: [`record`], [`schedule`] (how large parts are), [`spooled`], [`content`] and [`buffer`] (bytes on their way),
//! [`ledger`] (where records are), [`writer`] (how bytes become parts, and when a record is written).

pub mod buffer;
pub mod content;
pub mod ledger;
pub mod record;
pub mod schedule;
pub mod spooled;
pub mod writer;

pub use buffer::Buffer;
pub use content::{Content, Sending};
pub use ledger::{Known, Ledger, Medium, before, folder};
pub use record::{
    CREATED, Committing, Part, Parted, Piece, State, UPLOADS, hex, name_of, nonce, nonce_of, now, number_of,
    with_number,
};
pub use schedule::{LAZY_MARK, MARK_EVERY, Schedule};
pub use spooled::Spooled;
pub use writer::{Desk, Lane, Writer};
