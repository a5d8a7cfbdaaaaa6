//! Upload sessions on S3: one multipart upload straight to the final key, and records of it that are written once each
//! ([`longshore_driver_sdk::sessions::parted`]).

mod hold;
mod lane;
mod store;

pub(crate) use store::S3Sessions;
