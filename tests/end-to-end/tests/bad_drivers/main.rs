//! Drivers that don't do what the contract says, before the release binaries: another protocol version, another store,
//! garbage, hangs. Each time the client gets an error of the specification and the operator a sentence, the core stays
//! small, a storage beside it is served on, and nothing that was acknowledged is lost.

mod bed;
mod beside;
mod front;
mod garbage;
mod hangs;
mod start;
mod store_id;
mod version;
