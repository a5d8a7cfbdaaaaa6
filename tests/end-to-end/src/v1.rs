//! The V1 registry's world: images as docker made them in 2014, a client that pushes them as docker did, and what
//! `longshore v1 list` says of a store, through whichever driver.

mod client;
mod image;
mod listing;
pub mod sample;

pub use client::Client;
pub use image::{Image, gzipped, tar_of};
pub use listing::{Listing, findings};
pub use sample::Sample;
