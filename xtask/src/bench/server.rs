//! The servers that are compared: how each is started as its makers ship it, and what its processes cost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, free_port};
use crate::s3_servers::Backend;
use crate::s3_servers::versitygw::Versitygw;
use crate::step::built;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Longshore,
    Distribution,
    Nginx,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Longshore => "longshore",
            Self::Distribution => "distribution",
            Self::Nginx => "nginx",
        }
    }
}

pub(crate) struct Programs {
    distribution: PathBuf,
}

impl Programs {
    pub(crate) fn find() -> Result<Self, String> {
        Ok(Self { distribution: crate::distribution::provide()? })
    }
}

/// A server on a store; ended when dropped.
pub(crate) struct Server {
    process: Process,
    pub(crate) url: String,
    /// From the start of the process to its first good answer.
    pub(crate) start: Duration,
}

impl Server {
    pub(crate) fn start(kind: Kind, programs: &Programs, store: &Path) -> Result<Self, String> {
        fs::create_dir_all(store).map_err(|error| format!("cannot make {}: {error}", store.display()))?;
        let port = free_port()?;
        let mut command = match kind {
            Kind::Longshore => longshore(store, port),
            Kind::Distribution => distribution_on_disk(programs, store, port)?,
            Kind::Nginx => nginx(store, port)?,
        };
        Self::spawn(kind.name(), &mut command, port, &store.with_extension("log"))
    }

    /// Over a server that has the store, with a directory for what is written besides.
    pub(crate) fn longshore_over<B: Backend>(store: &B, directory: &Path) -> Result<Self, String> {
        let (name, port, mut command) =
            (Kind::Longshore.name(), free_port()?, Command::new(built("longshore")));
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
        store.be_store_of(&mut command);
        command.env("LONGSHORE_STORAGE__MAIN__REDIRECT__NETWORKS", format!("['{REDIRECTED}']"));
        Self::spawn(name, &mut command, port, &directory.join(format!("{name}.log")))
    }

    pub(crate) fn distribution_over_s3(
        programs: &Programs,
        bucket: &Versitygw,
        directory: &Path,
    ) -> Result<Self, String> {
        let (name, port) = (Kind::Distribution.name(), free_port()?);
        let mut command = distribution(programs, directory, &bucket.distribution(), port)?;
        Self::spawn(name, &mut command, port, &directory.join(format!("{name}.log")))
    }

    fn spawn(name: &'static str, command: &mut Command, port: u16, log: &Path) -> Result<Self, String> {
        let log = fs::File::create(log).map_err(|error| format!("cannot log: {error}"))?;
        let errors = log.try_clone().map_err(|error| format!("cannot log: {error}"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let began = Instant::now();
        let process = Process::start(name, command)?;
        let mut server = Self { process, url: format!("http://127.0.0.1:{port}"), start: Duration::ZERO };
        server.await_answer(name)?;
        server.start = began.elapsed();
        Ok(server)
    }

    fn await_answer(&self, name: &str) -> Result<(), String> {
        let agent = super::client::agent();
        let end = Instant::now() + PATIENCE;
        loop {
            match agent.get(format!("{}/v2/", self.url)).call() {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > end => {
                    return Err(format!("{name} does not answer: {error}"));
                }
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// User and system time of the whole tree so far, of children that ended too.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let ticks: u64 = self.processes().into_iter().filter_map(cpu_ticks).sum();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let seconds = ticks as f64 / 100.0;
        seconds
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        self.processes().into_iter().filter_map(|process| memory_mib(process, "VmHWM:")).sum()
    }

    pub(crate) fn resident_mib(&self) -> f64 {
        self.processes().into_iter().filter_map(|process| memory_mib(process, "VmRSS:")).sum()
    }

    fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.process.id()];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
            let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
            let of_tasks = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
            for list in children.into_iter().chain(of_tasks) {
                for child in list.split_whitespace().filter_map(|child| child.parse().ok()) {
                    if !found.contains(&child) {
                        found.push(child);
                    }
                }
            }
            next += 1;
        }
        found
    }
}

fn longshore(store: &Path, port: u16) -> Command {
    let mut command = Command::new(built("longshore"));
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"]).arg(store.join("data"));
    command
}

/// Clients that come from there are sent to the store itself. All of 127.0.0.0/8 is this machine.
pub(crate) const REDIRECTED: &str = "127.0.0.2";

fn distribution_on_disk(programs: &Programs, store: &Path, port: u16) -> Result<Command, String> {
    let storage = format!(
        "storage:\n  cache:\n    blobdescriptor: inmemory\n  filesystem:\n    rootdirectory: {}\nhealth:\n  \
         storagedriver:\n    enabled: true\n    interval: 10s\n    threshold: 3\n",
        store.join("data").display()
    );
    distribution(programs, store, &storage, port)
}

/// The configuration that its image ships, with our storage and port.
fn distribution(programs: &Programs, directory: &Path, storage: &str, port: u16) -> Result<Command, String> {
    let config = format!(
        "version: 0.1\nlog:\n  fields:\n    service: registry\n{storage}http:\n  addr: 127.0.0.1:{port}\n  headers:\n    \
         X-Content-Type-Options: [nosniff]\n"
    );
    let file = directory.join("config.yml");
    fs::write(&file, config).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    let mut command = Command::new(&programs.distribution);
    command.arg("serve").arg(file).env("OTEL_TRACES_EXPORTER", "none");
    Ok(command)
}

/// The same bytes as plain files: what the machine can do.
fn nginx(store: &Path, port: u16) -> Result<Command, String> {
    let config = format!(
        "daemon off;\nworker_processes auto;\npid {dir}/nginx.pid;\nerror_log stderr;\nevents {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  keepalive_requests 1000000;\n  client_body_temp_path {dir}/body;\n  \
         proxy_temp_path {dir}/proxy;\n  fastcgi_temp_path {dir}/fastcgi;\n  uwsgi_temp_path {dir}/uwsgi;\n  scgi_temp_path {dir}/scgi;\n  \
         server {{\n    listen 127.0.0.1:{port};\n    root {dir}/www;\n    location = /v2/ {{ return 200; }}\n  }}\n}}\n",
        dir = store.display()
    );
    let file = store.join("nginx.conf");
    fs::write(&file, config).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(store).arg("-c").arg(file).args(["-e", "stderr"]);
    Ok(command)
}

fn cpu_ticks(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    // utime, stime, cutime and cstime (proc(5)).
    fields.split_whitespace().skip(11).take(4).map(|field| field.parse::<u64>().ok()).sum()
}

fn memory_mib(process: u32, field: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib / 1024.0)
}
