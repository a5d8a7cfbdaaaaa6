//! An RGW with Swift's API, on the least it stands on: one monitor, and one OSD that keeps its objects in memory; as the tests
//! start it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, free_port};
use crate::s3_servers::swift::account::{Account, USER};
use crate::s3_servers::{Backend, Request, secret, settled};

/// Of each command: the first wait until monitor and OSD have come up.
const PATIENCE: Duration = Duration::from_secs(120);
/// `osd new` is refused where it asks before it knows the cluster's id.
const ATTEMPTS: usize = 5;
/// Of the tests.
const CONF: &str = include_str!("../../../../tests/end-to-end/src/servers/rgw/ceph.conf");

/// With one container, on loopback and under a key of its own; stopped when dropped, what stands on another first.
pub(crate) struct Rgw {
    /// The front is the first.
    processes: Vec<Process>,
    ceph: Ceph,
    account: Account,
}

/// Where its files are.
struct Ceph {
    /// The unpacked packages.
    root: PathBuf,
    /// Below `usr/lib`: the libraries of this machine's architecture.
    libraries: PathBuf,
    data: PathBuf,
}

impl Rgw {
    fn start(directory: &Path) -> Result<Self, String> {
        let (ceph, port) = (Ceph::make(&super::provide()?, directory)?, free_port()?);
        let account = Account::new(&format!("http://127.0.0.1:{port}"), secret()?);
        let mut rgw = Self { processes: Vec::new(), ceph, account };
        rgw.start_cluster(port)?;
        rgw.make_user()?;
        rgw.push("radosgw", &["-f", "-n", "client.rgw.a"])?;
        rgw.make_container()?;
        Ok(rgw)
    }

    fn start_cluster(&mut self, port: u16) -> Result<(), String> {
        let (cluster, monitor) = (uuid()?, free_port()?);
        self.ceph.configure(&cluster, port, monitor)?;
        let (map, address) = (self.ceph.data.join("monmap"), format!("[v1:127.0.0.1:{monitor}]"));
        let mut make_map = self.ceph.program("monmaptool");
        make_map.args(["--create", "--fsid", &cluster, "--addv", "a", &address]).arg(&map);
        self.complete("monmaptool", &mut make_map)?;
        let mut make = self.ceph.program("ceph-mon");
        make.args(["--mkfs", "-i", "a", "--monmap"]).arg(&map);
        self.complete("ceph-mon-mkfs", &mut make)?;
        self.push("ceph-mon", &["-f", "-i", "a"])?;
        self.make_osd()?;
        // With the monitor's configuration it forgets the cluster's id, and ends.
        self.push("ceph-osd", &["-f", "-i", "0", "--no-mon-config"])
    }

    fn make_osd(&mut self) -> Result<(), String> {
        let id = uuid()?;
        let mut new = self.ceph.monitor_command();
        new.args(["osd", "new", &id]);
        // To repeat it is harmless.
        let outcomes = (0..ATTEMPTS).map(|_| self.complete("ceph-osd-new", &mut new));
        outcomes.reduce(Result::or).unwrap_or(Ok(()))?;
        let mut format = self.ceph.program("ceph-osd");
        self.complete("ceph-osd-mkfs", format.args(["--mkfs", "-i", "0", "--osd-uuid", &id]))
    }

    fn make_user(&mut self) -> Result<(), String> {
        let mut user = self.ceph.program("radosgw-admin");
        user.args(["-n", "client.rgw.a", "user", "create", "--uid=test", "--display-name=test"]);
        self.complete("radosgw-admin-user", &mut user)?;
        let mut subuser = self.ceph.program("radosgw-admin");
        subuser.args(["-n", "client.rgw.a", "subuser", "create", "--uid=test", "--key-type=swift"]);
        subuser.args([format!("--subuser={USER}"), "--access=full".to_owned()]);
        subuser.arg(format!("--secret-key={}", self.account.key));
        self.complete("radosgw-admin-subuser", &mut subuser)
    }

    /// Starts one that stands on those before.
    fn push(&mut self, name: &'static str, arguments: &[&str]) -> Result<(), String> {
        let mut command = self.ceph.program(name);
        self.ceph.logging(name, command.args(arguments))?;
        self.processes.insert(0, Process::start(name, &mut command)?);
        Ok(())
    }

    /// Runs it to its end. It would wait for ever for what has ended.
    fn complete(&mut self, name: &'static str, command: &mut Command) -> Result<(), String> {
        self.ceph.logging(name, command)?;
        let (mut process, end) = (Process::start(name, command)?, Instant::now() + PATIENCE);
        let see = format!("see {}", self.ceph.output(name).display());
        loop {
            match process.poll() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("{name} ended with {status}; {see}")),
                None if Instant::now() > end => return Err(format!("{name} does not end; {see}")),
                None => self.must_run()?,
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn must_run(&mut self) -> Result<(), String> {
        let ended = self.processes.iter_mut().find_map(Process::poll);
        let see = self.ceph.data.display();
        ended.map_or(Ok(()), |status| Err(format!("a process of Ceph ended with {status}; see {see}")))
    }

    /// Asked until it has come up.
    fn make_container(&mut self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while let Err(error) = self.account.make_container() {
            self.must_run()?;
            if Instant::now() > end {
                return Err(format!("{error}; see {}", self.ceph.data.display()));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn logged(&self) -> Result<Vec<Request>, String> {
        let log = self.ceph.data.join("log/client.rgw.a.log");
        let text =
            fs::read_to_string(&log).map_err(|error| format!("cannot read {}: {error}", log.display()))?;
        Ok(text.lines().filter_map(request).collect())
    }
}

impl Backend for Rgw {
    const DATA: &'static [&'static str] = &["mon", "osd"];

    fn start_to_measure(directory: &Path) -> Result<Self, String> {
        Self::start(directory)
    }

    fn be_store_of(&self, core: &mut Command) {
        self.account.be_store_of(core);
    }

    fn let_in(&self, program: &mut Command) {
        self.account.let_in(program);
    }

    fn requests(&self) -> Result<Vec<Request>, String> {
        settled(|| self.logged())
    }
}

/// `... beast: 0x7f0000000000: 127.0.0.1 - test:tester [TIME] "METHOD /swift/v1/CONTAINER/OBJECT?QUERY HTTP/1.1" 200 ...`.
/// Whether it is a copy is not told.
fn request(line: &str) -> Option<Request> {
    let mut words = line.split_once("beast: ")?.1.split_once("] \"")?.1.split(' ');
    let (operation, target) = (words.next()?, words.next()?);
    let path = target.split('?').next()?;
    let object = path.strip_prefix("/swift/v1/").and_then(|path| path.split_once('/'));
    let key = object.map_or("", |(_, object)| object);
    Some(Request { operation: operation.to_owned(), key: key.to_owned(), is_copy: false })
}

impl Ceph {
    fn make(root: &Path, directory: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot use {}: {error}", directory.display());
        for name in ["mon", "osd", "run", "log"] {
            fs::create_dir_all(directory.join(name)).map_err(failed)?;
        }
        let data = directory.canonicalize().map_err(failed)?;
        let root = root.canonicalize().map_err(|error| format!("cannot use {}: {error}", root.display()))?;
        let named = |path: &PathBuf| path.to_string_lossy().ends_with("-linux-gnu");
        let libraries = fs::read_dir(root.join("usr/lib")).map_err(failed)?.flatten();
        let libraries = libraries.map(|entry| entry.path()).find(named);
        let libraries =
            libraries.ok_or_else(|| format!("there are no libraries below {}", root.display()))?;
        Ok(Self { root, libraries, data })
    }

    fn configure(&self, cluster: &str, port: u16, monitor: u16) -> Result<(), String> {
        let text = CONF
            .replace("{fsid}", cluster)
            .replace("{port}", &port.to_string())
            .replace("{monitor}", &monitor.to_string())
            .replace("{token_life}", "86400")
            .replace("{data}", &self.data.display().to_string())
            .replace("{libraries}", &self.libraries.display().to_string());
        let path = self.data.join("ceph.conf");
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Nothing is installed, so each program is told where everything is.
    fn program(&self, name: &str) -> Command {
        self.prepared(&self.root.join("usr/bin").join(name))
    }

    /// By the interpreter of the distribution, which the modules are built for.
    fn monitor_command(&self) -> Command {
        let unpacked = self.root.join("usr/bin/python3");
        let mut command =
            self.prepared(if unpacked.exists() { &unpacked } else { Path::new("/usr/bin/python3") });
        command.arg(self.root.join("usr/bin/ceph"));
        command
    }

    fn prepared(&self, program: &Path) -> Command {
        let architecture = self.libraries.file_name().unwrap_or_default();
        let (ceph, lib) = (self.libraries.join("ceph"), self.root.join("lib").join(architecture));
        let directories = [&self.libraries, &ceph, &lib, &self.root.join("usr/lib")];
        let path = directories.map(|directory| directory.as_os_str()).join(&OsString::from(":"));
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", path).env("CEPH_CONF", self.data.join("ceph.conf"));
        command.env("PYTHONPATH", self.root.join("usr/lib/python3/dist-packages")).stdin(Stdio::null());
        command
    }

    /// What it prints.
    fn output(&self, name: &str) -> PathBuf {
        self.data.join("log").join(format!("{name}.output"))
    }

    fn logging(&self, name: &str, command: &mut Command) -> Result<(), String> {
        let path = self.output(name);
        let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        let log = File::create(&path).map_err(failed)?;
        command.stdout(log.try_clone().map_err(failed)?).stderr(log);
        Ok(())
    }
}

fn uuid() -> Result<String, String> {
    let path = "/proc/sys/kernel/random/uuid";
    let uuid = fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    Ok(uuid.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_read_from_the_log() {
        let read = |asked: &str| {
            let text =
                format!("0 beast: 0x7f00: 127.0.0.1 - test:tester [26/Nov/2026] \"{asked}\" 200 0 - -");
            request(&text).map(|request| (request.operation, request.key))
        };
        let asked = |operation: &str, key: &str| Some((operation.to_owned(), key.to_owned()));
        assert_eq!(read("PUT /swift/v1/registry/a/b?multipart-manifest=put HTTP/1.1"), asked("PUT", "a/b"));
        assert_eq!(read("GET /swift/v1/registry?format=json HTTP/1.1"), asked("GET", ""));
        assert_eq!(read("GET /auth/v1.0 HTTP/1.1"), asked("GET", ""));
        assert_eq!(request("0 starting handler: beast"), None);
    }
}
