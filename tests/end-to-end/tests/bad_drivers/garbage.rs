//! A driver that answers garbage: below HTTP/2, below gRPC, below protobuf, and well-formed answers that say what can't
//! be. Whatever comes is an error; nothing of it reaches a client as if it were true.

mod connections;
mod content;
mod messages;
