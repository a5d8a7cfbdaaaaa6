//! A container on a real Swift, and cores over it, each with a driver of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

pub use crate::instance::Driver;
use crate::instance::Program;
use crate::servers::{Flavour, SwiftAccess, SwiftOptions, SwiftServer};
use crate::{Process, scratch};

/// In the driver's log when it does.
pub const IT_SERVES: &str = "this is what the server can do";
pub(crate) const SWIFT: Program = Program { name: "longshore-driver-swift", it_serves: IT_SERVES };

/// An initialised store.
pub struct Container {
    pub server: SwiftServer,
    sockets: TempDir,
}

impl Container {
    pub async fn start(flavour: Flavour) -> Self {
        Self::start_with(flavour, SwiftOptions::default()).await
    }

    /// On a server with options.
    pub async fn start_with(flavour: Flavour, options: SwiftOptions) -> Self {
        let server = SwiftServer::start_with(flavour, options).await;
        let container = Self { server, sockets: scratch::socket_directory() };
        container.driver("init").init();
        container
    }

    /// Another instance of the driver.
    pub fn driver(&self, name: &str) -> Driver {
        self.driver_with(name, |_| ())
    }

    /// The same, with arguments and an environment of the test's own.
    pub fn driver_with(&self, name: &str, adjust: impl FnOnce(&mut Command)) -> Driver {
        self.driver_through_with(name, &self.server, adjust)
    }

    /// By another way to the container: through something that stands before the server, or as somebody else.
    pub fn driver_through(&self, name: &str, access: &SwiftAccess) -> Driver {
        self.driver_through_with(name, access, |_| ())
    }

    /// The same, with arguments and an environment of the test's own.
    pub fn driver_through_with(
        &self,
        name: &str,
        access: &SwiftAccess,
        adjust: impl FnOnce(&mut Command),
    ) -> Driver {
        let mut driver = self.new_driver(name, access, adjust);
        driver.start();
        driver
    }

    /// It does not run yet.
    pub fn new_driver(&self, name: &str, access: &SwiftAccess, adjust: impl FnOnce(&mut Command)) -> Driver {
        let place = self.sockets.path().join(name);
        std::fs::create_dir_all(&place).expect("a directory for a socket");
        let (mut command, endpoint) = driver_command(access, &place);
        adjust(&mut command);
        Driver::new(&SWIFT, command, endpoint)
    }

    pub fn sockets(&self) -> &Path {
        self.sockets.path()
    }

    /// What a driver keeps of uploads: records, and segments that are of no object yet.
    pub async fn uploads(&self) -> Vec<String> {
        self.server.names(UPLOADS).await
    }

    /// Segments, of objects and of uploads.
    pub async fn segments(&self) -> Vec<String> {
        self.server.names(SEGMENTS).await
    }

    /// Each is named by the manifest of an object. RGW shows no manifest: there the segments of an upload have to be as long
    /// together as the object that it made.
    pub async fn no_segment_is_left_over(&self) {
        let (mut named, mut sizes) = (BTreeSet::new(), BTreeMap::new());
        for object in self.server.names("objects/").await {
            let headers = self.server.head(&object).await.expect("an object");
            let told =
                |name: &str| headers.get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
            let size: u64 = told("content-length").and_then(|size| size.parse().ok()).expect("a size");
            sizes.insert(told(MADE_BY).unwrap_or_default(), size);
            let manifest = self.server.manifest(&object).await.unwrap_or_default();
            let manifest: Value = serde_json::from_str(&manifest).unwrap_or_default();
            let names =
                manifest.as_array().into_iter().flatten().filter_map(|segment| segment["name"].as_str());
            let within = format!("/{}/", self.server.container());
            named.extend(names.filter_map(|name| name.strip_prefix(&within)).map(str::to_owned));
        }
        let segments = self.server.sizes(SEGMENTS).await;
        if self.server.flavour() != Flavour::RgwSwift {
            let left: Vec<_> = segments.iter().filter(|(name, _)| !named.contains(name)).collect();
            assert!(left.is_empty(), "segments of no object are left: {left:?}");
            return;
        }
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (name, size) in segments {
            let (upload, _) = name[SEGMENTS.len()..].split_once('/').expect("a folder for each upload");
            *sums.entry(upload.to_owned()).or_default() += size;
        }
        let left: Vec<_> = sums.iter().filter(|(upload, sum)| sizes.get(*upload) != Some(*sum)).collect();
        assert!(left.is_empty(), "segments of no object are left: {left:?}, objects: {sizes:?}");
    }
}

/// Of an object: the upload that made it.
const MADE_BY: &str = "x-object-meta-longshore-upload";

/// Where the records of uploads lie.
pub const UPLOADS: &str = ".driver/uploads/";
/// Where segments lie.
pub const SEGMENTS: &str = ".driver/segments/";

/// A driver for a container, and its endpoint in this directory.
pub fn driver_command(access: &SwiftAccess, directory: &Path) -> (Command, String) {
    let endpoint = format!("unix://{}", directory.join("driver.sock").display());
    (driver_command_at(access, &endpoint), endpoint)
}

/// The same at an endpoint that is chosen already. Nothing of who runs the tests gets into it.
pub(crate) fn driver_command_at(access: &SwiftAccess, endpoint: &str) -> Command {
    let mut command = Command::new(scratch::binary(SWIFT.name));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OS_") || name.starts_with("ST_")) {
        command.env_remove(name);
    }
    command.args(["--endpoint", endpoint]).args(access.settings());
    command
}

/// Returns when the driver knows what the server can do.
pub fn started(command: &mut Command) -> Process {
    SWIFT.started(command)
}
