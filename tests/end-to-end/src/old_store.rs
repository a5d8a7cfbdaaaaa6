//! A store that a driver of docker-registry 0.x keeps, the driver that puts it behind the socket, and cores over it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::figures::children;
pub use crate::instance::Driver;
use crate::instance::Program;
use crate::servers::{Login, S3Server, SwiftServer, provided};
use crate::{report, scratch};

const PROGRAM: Program =
    Program { name: "longshore-driver-legacy-python", it_serves: "this is what the old driver can do" };
/// Why there is no virtualenv of Python 2.7.
const ABSENT: &str = "../../target/tools/old-drivers-2.absent";

/// Whose virtualenv the old drivers are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Python {
    /// The machine's Python 3.
    Three,
    /// Python 2.7, which few machines have still.
    Two,
}

impl Python {
    /// `None`: it can't be had here, and that was told of this test.
    pub fn of_test(self, test: &str) -> Option<PathBuf> {
        let absent = Path::new(env!("CARGO_MANIFEST_DIR")).join(ABSENT);
        match (self, fs::read_to_string(absent)) {
            (Self::Two, Ok(reason)) => {
                report::not_run(test, &reason);
                None
            }
            (Self::Two, Err(_)) => Some(provided("old-drivers-2").join("bin/python")),
            (Self::Three, _) => Some(provided("old-drivers-3").join("bin/python")),
        }
    }
}

/// A store, and the settings that lead to it.
pub struct OldStore {
    settings: Vec<String>,
    place: TempDir,
    sockets: TempDir,
}

impl OldStore {
    /// In files, by the driver `file`.
    pub fn of_files(python: &Path) -> Self {
        Self::of("file", python, &["listing=current"])
    }

    /// In files, by one of the drivers that were written for tests.
    pub fn of_bad(driver: &str, python: &Path, settings: &[&str]) -> Self {
        let mut store = Self::of(driver, python, settings);
        let bad = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../drivers/legacy-python/tests/bad");
        store.settings.push(format!("module_path={}", bad.display()));
        store.settings.push(format!("config.switch={}", store.switch().display()));
        store
    }

    /// On a server that has these settings, below `/registry` there.
    pub fn of_server(driver: &str, python: &Path, settings: &[String]) -> Self {
        let mut store = Self::of(driver, python, &["path=/registry"]);
        store.settings.extend_from_slice(settings);
        store
    }

    pub fn of(driver: &str, python: &Path, settings: &[&str]) -> Self {
        let place = scratch::data_directory();
        for folder in ["old", "spool"] {
            fs::create_dir(place.path().join(folder)).expect("a directory");
        }
        let mut all = vec![format!("driver={driver}"), format!("python={}", python.display())];
        all.push(format!("path={}", place.path().join("old").display()));
        all.extend(settings.iter().map(|setting| (*setting).to_owned()));
        Self { settings: all, place, sockets: scratch::socket_directory() }
    }

    /// What the old driver has for its `storage_path`, where that is in files.
    pub fn root(&self) -> PathBuf {
        self.place.path().join("old")
    }

    pub fn spool(&self) -> PathBuf {
        self.place.path().join("spool")
    }

    /// A driver that was written for tests is bad as long as this file is there.
    pub fn switch(&self) -> PathBuf {
        self.place.path().join("switch")
    }

    pub fn turn_bad(&self) {
        fs::write(self.switch(), "").expect("the switch");
    }

    pub fn turn_good(&self) {
        fs::remove_file(self.switch()).expect("the switch");
    }

    /// A driver that writes; its store has an id.
    pub fn driver(&self, name: &str) -> Driver {
        let mut driver = self.new_driver(name, &[]);
        driver.start();
        driver.init();
        driver
    }

    /// One that writes, and does not run yet.
    pub fn new_driver(&self, name: &str, settings: &[&str]) -> Driver {
        let spool = format!("spool={}", self.spool().display());
        let mut all = vec!["mode=read-write", &spool];
        all.extend(settings);
        self.command(name, &all)
    }

    /// One that only reads, from another place, and does not run yet.
    pub fn new_reader_at(&self, name: &str, path: &Path) -> Driver {
        self.command(name, &[&format!("path={}", path.display())])
    }

    fn command(&self, name: &str, settings: &[&str]) -> Driver {
        let endpoint = format!("unix://{}", self.sockets.path().join(format!("{name}.sock")).display());
        let mut command = Command::new(scratch::binary(PROGRAM.name));
        command.args(["--endpoint", &endpoint]).args(&self.settings).args(settings);
        Driver::new(&PROGRAM, command, endpoint)
    }
}

/// The workers of a driver that runs: its children.
pub fn workers(driver: &Driver) -> Vec<u32> {
    children(driver.process().id())
}

/// The old driver swift's settings for a server, as config.yml had them.
pub fn swift_settings(server: &SwiftServer) -> Vec<String> {
    let Login::V1 { user, key } = server.login() else { panic!("tempauth is a login of v1") };
    vec![
        format!("config.swift_authurl={}", server.auth_url()),
        "config.swift_auth_version=1".to_owned(),
        format!("config.swift_user={user}"),
        format!("config.swift_password={key}"),
        format!("config.swift_container={}", server.container()),
        "config.storage_path=/registry".to_owned(),
    ]
}

/// The old driver s3's settings for a server, as config.yml had them.
pub fn s3_settings(server: &S3Server) -> Vec<String> {
    let (_, address) = server.endpoint().split_once("://").expect("a scheme");
    let (host, port) = address.split_once(':').expect("a port");
    vec![
        format!("config.boto_host={host}"),
        format!("config.boto_port={port}"),
        format!("config.boto_bucket={}", server.bucket()),
        "config.boto_calling_format=boto.s3.connection.OrdinaryCallingFormat".to_owned(),
        "config.s3_secure=false".to_owned(),
        format!("config.s3_access_key={}", server.access_key()),
        format!("config.s3_secret_key={}", server.secret_key()),
    ]
}
