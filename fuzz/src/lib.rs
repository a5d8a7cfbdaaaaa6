//! What the targets share: how inputs are read, how accepted ones are counted, and the far ends of connections that say
//! whatever an input tells them to.

pub mod connection;
pub mod fake;
pub mod grammar;
pub mod grpc;
pub mod requests;
pub mod script;
pub mod sessions;
pub mod tally;
