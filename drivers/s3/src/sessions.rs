//! Upload sessions on S3: one multipart upload straight to the final key, and records of it that are written once each.
//!
//! A session is a folder `.driver/uploads/<upload id>/` of records, named `<counter>-<owner>-<number>` after the fence of
//! their writer; the highest is what holds. A record names exactly the parts it stands for, with their etags, and carries
//! the bytes behind them that are too few for a part. So a writer that was shut out and does not know it yet writes under
//! names that nobody reads, and nothing of it is ever part of a commit (contract clause U20).

mod buffer;
mod hold;
mod record;
mod schedule;
mod store;

pub(crate) use schedule::{LAZY_MARK, MARK_EVERY, Schedule};
pub(crate) use store::S3Sessions;
