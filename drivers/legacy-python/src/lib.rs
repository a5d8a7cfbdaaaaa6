//! A storage driver of Longshore that puts a driver of docker-registry 0.x, unmodified, behind the socket. The old driver
//! runs in Python workers (`python/longshore_worker.py`), which even out what old drivers do differently; this side keeps
//! what they never had: upload sessions, writes that are there whole or not at all, deadlines.
//!
//! Reading order: [`config`], [`driver`], `objects` (the rules for each key), `intents` (what is being written, durably),
//! `python` (the calls to a worker), `pool` (which worker), `worker` (one process), `frame` (its wire), `failure` (what an
//! exception means), `publish` (how an upload becomes an object), `listing`.

pub mod config;
pub mod driver;
mod etag;
mod explore;
mod failure;
mod frame;
mod intents;
mod listing;
mod objects;
mod pool;
mod publish;
mod python;
mod readers;
mod reading;
mod worker;

pub use driver::LegacyDriver;
