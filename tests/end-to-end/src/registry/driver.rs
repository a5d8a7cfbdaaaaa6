//! A driver that the test starts itself, and the storage that a registry has of it.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::store::Store;
use crate::instance;
use crate::process::Process;

pub const DRIVER: &str = "longshore-driver-filesystem";

/// A driver that the test started itself.
pub struct Driver {
    process: Option<Process>,
    endpoint: String,
    store: Store,
    settings: Vec<String>,
    /// Its store has an id.
    initialised: bool,
}

/// A storage of a registry whose processes the test starts one by one.
pub struct Storage {
    name: String,
    prefixes: Vec<String>,
    root: Option<PathBuf>,
    settings: Vec<String>,
    signs_nothing: bool,
    /// Lines of its section of the core's configuration.
    section: String,
    /// Where the driver listens, when the core dials somebody else who stands before it.
    behind: Option<(PathBuf, PathBuf)>,
}

impl Storage {
    /// The storage of every repository that no other storage claims.
    pub fn default_one() -> Self {
        Self {
            name: "main".into(),
            prefixes: Vec::new(),
            root: None,
            settings: Vec::new(),
            signs_nothing: false,
            section: String::new(),
            behind: None,
        }
    }

    pub fn with_prefix(name: &str, prefix: &str) -> Self {
        Self { name: name.into(), prefixes: vec![prefix.into()], ..Self::default_one() }
    }

    #[must_use]
    pub fn at(mut self, root: PathBuf) -> Self {
        self.root = Some(root);
        self
    }

    /// The core dials `dialled`, and who listens there passes calls on to the driver at `driver`.
    #[must_use]
    pub fn behind(mut self, dialled: PathBuf, driver: PathBuf) -> Self {
        self.behind = Some((dialled, driver));
        self
    }

    #[must_use]
    pub fn setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// As the filesystem driver never does.
    #[must_use]
    pub fn signing_nothing(mut self) -> Self {
        self.signs_nothing = true;
        self
    }

    /// One more line of its section of the core's configuration.
    #[must_use]
    pub fn configured(mut self, line: &str) -> Self {
        self.section += &format!("{line}\n");
        self
    }

    /// Its section of the configuration, and its driver, not yet started.
    pub(super) fn placed(self, sockets: &Path, data: &Path) -> (String, Driver) {
        let own = sockets.join(format!("{}.sock", self.name));
        let (dialled, listening) = self.behind.unwrap_or_else(|| (own.clone(), own));
        let mut section = format!("\n[storage.{}]\nendpoint = \"unix://{}\"\n", self.name, dialled.display());
        if !self.prefixes.is_empty() {
            section += &format!("prefixes = {:?}\n", self.prefixes);
        }
        section += &self.section;
        let endpoint = format!("unix://{}", listening.display());
        let store = match self.root {
            Some(root) => Store::Directory(root),
            None => Store::new(data.join(&self.name)),
        };
        let mut settings = self.settings;
        if self.signs_nothing && store.program().is_some() {
            settings.push("signing=false".to_owned());
        }
        (section, Driver { process: None, endpoint, store, settings, initialised: false })
    }
}

impl Driver {
    pub fn start(&mut self) {
        let mut command = self.store.driver_command(&self.endpoint);
        command.args(&self.settings);
        let Some(program) = self.store.program() else {
            self.process = Some(Process::spawn(DRIVER, &mut command));
            return;
        };
        self.process = Some(program.started(&mut command));
        if !std::mem::replace(&mut self.initialised, true) {
            instance::init(&self.endpoint);
        }
    }

    /// The directory that it keeps its store in.
    pub fn root(&self) -> &Path {
        self.store.directory()
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub fn kill(&mut self) {
        self.process.as_mut().expect("the driver runs").kill();
    }

    /// SIGSTOP: it hangs, and its socket stays open.
    pub fn stop(&self) {
        self.process().signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.process().signal(Signal::CONT);
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the driver runs")
    }
}
