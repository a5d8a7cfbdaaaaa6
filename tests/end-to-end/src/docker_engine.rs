//! A docker engine of the test's own: its data, sockets and configuration lie in temporary directories.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

use crate::process::{Process, run_command};
use crate::{figures, scratch};

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(20);

/// It ends when this is dropped.
pub struct Engine {
    daemon: Process,
    docker: PathBuf,
    sockets: TempDir,
    data: TempDir,
}

impl Engine {
    /// Needs root. It starts a containerd of its own; no network and no iptables are touched.
    pub fn start() -> Self {
        let (data, sockets) = (scratch::data_directory(), scratch::socket_directory());
        let option =
            |name: &str, directory: &Path, file: &str| format!("--{name}={}", directory.join(file).display());
        let mut command = Command::new(scratch::tool("dockerd", "docker.io"));
        command.args(["--storage-driver=vfs", "--bridge=none", "--iptables=false", "--ip6tables=false"]);
        command.arg(option("data-root", data.path(), "docker"));
        command.arg(option("exec-root", sockets.path(), "exec"));
        command.arg(option("pidfile", sockets.path(), "pid"));
        command.arg(option("config-file", sockets.path(), "daemon.json"));
        command.arg(format!("--host=unix://{}/docker.sock", sockets.path().display()));
        std::fs::write(sockets.path().join("daemon.json"), "{}").expect("the engine's configuration");
        let daemon = Process::spawn("dockerd", without_proxies(&mut command));
        daemon.await_line("API listen on", START);
        Self { daemon, docker: scratch::tool("docker", "docker.io"), sockets, data }
    }

    /// A docker command against this engine; gives what it printed.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.docker);
        command.arg(format!("--host={}", self.host())).args(arguments);
        command.env("DOCKER_CONFIG", self.data.path().join("config"));
        // The builder in the engine needs no plug-in; `docker manifest` of old clients is an experiment.
        command.env("DOCKER_BUILDKIT", "0").env("DOCKER_CLI_EXPERIMENTAL", "enabled");
        run_command(without_proxies(&mut command)).trim().to_owned()
    }

    pub fn image_id(&self, reference: &str) -> String {
        self.docker(&["image", "inspect", "--format", "{{.Id}}", reference])
    }

    /// `REPOSITORY@DIGEST`, as a push or a pull told it.
    pub fn repository_digest(&self, reference: &str) -> String {
        self.docker(&["image", "inspect", "--format", "{{index .RepoDigests 0}}", reference])
    }

    /// The only image, under all its names. Nothing may be left of it, or a pull would not ask for a byte.
    pub fn remove_image(&self) {
        let images = self.docker(&["image", "ls", "--all", "--quiet", "--no-trunc"]);
        let mut ids: Vec<_> = images.lines().collect();
        ids.dedup();
        if let Some(id) = ids.first() {
            self.docker(&["image", "rm", "--force", id]);
        }
        assert_eq!(self.docker(&["image", "ls", "--all", "--quiet"]), "", "the image is still there");
    }

    /// Where it listens.
    pub fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.sockets.path().display())
    }

    /// A place for build contexts.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.data.path().join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        path
    }
}

impl Drop for Engine {
    /// A graceful stop ends its containerd too; if that fails, both are killed.
    fn drop(&mut self) {
        let containerd: Vec<_> = figures::children(self.daemon.id())
            .into_iter()
            .filter_map(|child| pidfd_open(crate::process::pid(child), PidfdFlags::empty()).ok())
            .collect();
        self.daemon.signal(Signal::TERM);
        let begin = Instant::now();
        while self.daemon.poll().is_none() && begin.elapsed() < STOP {
            thread::sleep(Duration::from_millis(20));
        }
        for child in containerd {
            let _already_gone = pidfd_send_signal(child, Signal::KILL);
        }
    }
}

/// A registry on loopback is not reached through a proxy.
pub fn without_proxies(command: &mut Command) -> &mut Command {
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(name);
    }
    command
}
