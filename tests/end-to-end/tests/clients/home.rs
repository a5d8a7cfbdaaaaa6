//! A place of its own for each client: its storage, its configuration and its credentials lie in temporary
//! directories, put in a mount namespace over the paths that it would use on an operator's machine. So a
//! command is the one that people type, and nothing of the machine's is read or changed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use longshore_end_to_end::scratch;
use tempfile::TempDir;

/// `sh -c ENTER sh SOURCE TARGET ... -- PROGRAM ARGUMENT ...`
const ENTER: &str = r#"while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@""#;

pub(crate) struct Home {
    data: TempDir,
    sockets: TempDir,
    /// Ours, and the path that it covers.
    covers: Vec<(PathBuf, &'static str)>,
    programs: Vec<(&'static str, PathBuf)>,
}

/// What a client said when it ended with an error.
pub(crate) type Refusal = String;

impl Home {
    /// `programs`: name and Debian package.
    pub(crate) fn new(programs: &[(&'static str, &str)], covered: &[&'static str]) -> Self {
        let (data, sockets) = (scratch::data_directory(), scratch::socket_directory());
        let covers = covered.iter().map(|target| {
            let source = data.path().join(target.trim_matches('/').replace('/', "-"));
            fs::create_dir_all(&source).expect("a directory of a client");
            fs::create_dir_all(target).unwrap_or_else(|error| panic!("{target}: {error}"));
            (source, *target)
        });
        let covers = covers.collect();
        let programs = programs.iter().map(|(name, package)| (*name, scratch::tool(name, package))).collect();
        Self { data, sockets, covers, programs }
    }

    /// A file for the client, by the path at which it sees it.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.real(path);
        fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("a directory");
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    fn real(&self, path: &str) -> PathBuf {
        let covered = self
            .covers
            .iter()
            .find_map(|(source, target)| Some(source.join(Path::new(path).strip_prefix(target).ok()?)));
        covered.unwrap_or_else(|| panic!("{path} is not covered: the machine's own file would be written"))
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.sockets.path().join(name)
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let known = self.programs.iter().find(|(known, _)| *known == name);
        known.map_or_else(|| scratch::tool(name, "coreutils"), |(_, path)| path.clone())
    }

    /// A program inside, with a home directory of its own and no proxy.
    pub(crate) fn command<A: AsRef<std::ffi::OsStr>>(&self, program: &str, arguments: &[A]) -> Command {
        let mut command = Command::new(scratch::tool("unshare", "util-linux"));
        command.args(["--mount", "--", "sh", "-ec", ENTER, "sh"]);
        for (source, target) in &self.covers {
            command.arg(source).arg(target);
        }
        command.arg("--").arg(self.program(program)).args(arguments);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name);
        }
        for name in ["XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "REGISTRY_AUTH_FILE"] {
            command.env_remove(name);
        }
        command.env("HOME", self.data.path());
        command
    }
}

/// Runs it to its end: what it printed, or all it said if it failed.
pub(crate) fn attempt(command: &mut Command) -> Result<String, Refusal> {
    attempt_with_input(command, "")
}

pub(crate) fn attempt_with_input(command: &mut Command, input: &str) -> Result<String, Refusal> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // It may end before it has read what it does not need.
    let _unread = child.stdin.take().expect("standard input is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let complained = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}` ended with {}:\n{said}{complained}", inner(command), output.status))
}

/// The client's own command line.
fn inner(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(std::ffi::OsStr::to_string_lossy).collect();
    words.rsplit(|word| *word == "--").next().unwrap_or_default().join(" ")
}

/// A command whose failure is a failure of the test.
pub(crate) fn done(command: &mut Command) -> String {
    attempt(command).unwrap_or_else(|refusal| panic!("{refusal}"))
}
