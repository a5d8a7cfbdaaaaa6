//! What docker-registry 0.x left: the V1 registry of 2013 to 2015, whose clients and whose storage drivers were Python's. Its
//! store is read through any driver of ours, and nothing is written to it; nor need it have an id.
//!
//! ```text
//! images/<id>/json                        the image, as the client sent it
//! images/<id>/layer                       its archive: tar, mostly gzipped
//! images/<id>/ancestry                    ids as a JSON array: its own first, then its parent's, the root's last
//! images/<id>/_checksum                   a JSON array of checksums; earlier, one bare checksum
//! images/<id>/_inprogress                 there while it is pushed, and for ever if that was broken off
//! images/<id>/_files, _diff               what the registry worked out once more quickly
//! repositories/<namespace>/<name>/tag_<tag>    the id of an image, and nothing else
//! repositories/<namespace>/<name>/tag<tag>_json    when it was set, and by which docker
//! repositories/<namespace>/<name>/json         the same of the tag `latest`
//! repositories/<namespace>/<name>/_index_images, _images_list, _private    who may see what
//! ```
//!
//! The layout is that of docker-registry-core 2.0.3, `docker_registry/core/driver.py`; who writes what is in docker-registry
//! 0.9.1, `docker_registry/{images,tags,index}.py`. That registry puts names through `urllib.quote_plus`, and our keys have no
//! `%`: what a name of its has beyond `[A-Za-z0-9_.-]` and a space can't be reached through a driver, and is not seen here. A
//! repository of three parts (`a/b/c`) is among that.

mod cache;
mod chain;
mod checksum;
mod damage;
mod image;
mod image_id;
mod images;
mod layout;
mod listing;
mod progress;
mod report;
mod store;
mod tag;
mod totals;

use longshore_driver_sdk::DriverError;

pub use self::listing::list;
pub use self::progress::Progress;
pub use self::report::{Form, Report};

/// How to look at a store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Read every layer that a tag reaches, and hold it against its checksum.
    pub verify: bool,
    /// Show each image that no tag reaches, instead of their number alone.
    pub unreferenced: bool,
    /// Calls of the driver under way at once; at least one.
    pub jobs: usize,
}

/// Why a listing ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("the listing ends here, because the driver failed: {0}")]
    Driver(#[from] DriverError),
    #[error(
        "there is nothing of a V1 registry behind this driver: no tag below `repositories/` and no image below `images/`; the driver's \
         root (or prefix) has to be what that registry had as its `storage_path`"
    )]
    NoStore,
    #[error("the listing can't be written: {0}")]
    Output(#[from] std::io::Error),
}
