//! The server that a registry's store is kept in, where it is not a directory.

use std::path::Path;
use std::process::Command;

use super::Storage;
use crate::process::Process;
use crate::s3_servers::swift::server::Swift;
use crate::s3_servers::versitygw::Versitygw;
use crate::s3_servers::{Backend as _, Purpose};

/// Stopped when dropped.
pub(super) enum Store {
    S3(Versitygw),
    Swift(Swift),
}

impl Store {
    /// Below the directory of the registry's data. `None`: that directory is the store.
    pub(super) fn start(storage: Storage, data: &Path) -> Result<Option<Self>, String> {
        Ok(match storage {
            Storage::Filesystem => None,
            Storage::S3 => Some(Self::S3(Versitygw::start(&data.join("s3"), Purpose::Serve)?)),
            Storage::Swift => Some(Self::Swift(Swift::start(&data.join("swift"), Purpose::Serve)?)),
        })
    }

    pub(super) fn be_store_of(&self, core: &mut Command) {
        match self {
            Self::S3(server) => server.be_store_of(core),
            Self::Swift(server) => server.be_store_of(core),
        }
    }

    /// A part of it, at least.
    pub(super) fn has_ended(&mut self) -> bool {
        let processes: &mut [Process] = match self {
            Self::S3(server) => std::slice::from_mut(&mut server.process),
            Self::Swift(server) => &mut server.servers,
        };
        processes.iter_mut().any(|process| process.poll().is_some())
    }

    /// What is said when it has.
    pub(super) fn end(&self) -> &'static str {
        match self {
            Self::S3(_) => {
                "the S3 server ended by itself, and longshore was stopped; see s3/versitygw.log below --data"
            }
            Self::Swift(_) => "Swift ended by itself, and longshore was stopped; see swift/logs below --data",
        }
    }
}
