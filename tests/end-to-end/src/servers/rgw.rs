//! Ceph's RGW with the least it stands on: one monitor, and one OSD that keeps its objects in memory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::{Credentials, Implementation, Port, Prepared, Rights, SwiftOptions, provided};
use crate::process::{Process, run_command};

/// The first commands wait until the monitor and the OSD have come up.
const PATIENCE: Duration = Duration::from_secs(120);

const ATTEMPTS: usize = 5;

struct Ceph {
    /// The unpacked packages.
    root: PathBuf,
    /// Below `usr/lib`: the libraries of this machine's architecture.
    libraries: PathBuf,
    data: PathBuf,
}

pub(super) fn prepare(data: &Path, port: &Port, credentials: &Credentials) -> Prepared {
    started(data, port, &SwiftOptions::default(), |ceph, behind| ceph.make_user(credentials, behind))
}

/// With subusers of these names and keys: the first may do all, and the others nothing yet.
pub(super) fn prepare_swift(
    data: &Path,
    port: &Port,
    options: &SwiftOptions,
    subusers: &[(&str, &str)],
) -> Prepared {
    started(data, port, options, |ceph, behind| {
        ceph.make_user(&Credentials::for_tests(Implementation::Rgw), behind);
        for ((name, key), access) in subusers.iter().zip(["full"].into_iter().chain(std::iter::repeat(""))) {
            ceph.make_subuser(name, key, access, behind);
        }
    })
}

fn started(
    data: &Path,
    port: &Port,
    options: &SwiftOptions,
    make_users: impl FnOnce(&Ceph, &mut [Process]),
) -> Prepared {
    let (ceph, monitor_port) = (Ceph::new(data), Port::reserve());
    let cluster = uuid();
    ceph.configure(&cluster, port, &monitor_port, options);
    ceph.make_monitor(&cluster, &monitor_port);
    let mut behind = vec![Process::spawn("ceph-mon", ceph.program("ceph-mon").args(["-f", "-i", "a"]))];
    ceph.make_osd(&mut behind);
    // Where it asks the monitor for its configuration first, it forgets the cluster's id over that, commands the monitor
    // before it has heard it again, is refused, and ends.
    behind.push(Process::spawn(
        "ceph-osd",
        ceph.program("ceph-osd").args(["-f", "-i", "0", "--no-mon-config"]),
    ));
    make_users(&ceph, &mut behind);
    let mut front = ceph.program("radosgw");
    front.args(["-f", "-n", "client.rgw.a"]);
    Prepared { name: "radosgw", front, behind, ports: vec![monitor_port] }
}

/// What a subuser may do from now on.
pub(super) fn allow(data: &Path, subuser: &str, rights: Rights) {
    let access = match rights {
        Rights::Nothing => "",
        Rights::Read => "read",
        Rights::ReadAndWrite => "readwrite",
    };
    let (subuser, access) = (format!("--subuser={subuser}"), format!("--access={access}"));
    administer(data, &["subuser", "modify", "--uid=test", &subuser, &access]);
}

/// `radosgw-admin` of a server that runs on this data.
pub(super) fn administer(data: &Path, arguments: &[&str]) {
    let mut command = Ceph::at(data).program("radosgw-admin");
    run_command(command.args(["-n", "client.rgw.a"]).args(arguments));
}

impl Ceph {
    fn new(data: &Path) -> Self {
        for directory in ["mon", "osd", "run", "log"] {
            fs::create_dir(data.join(directory)).expect("a directory for ceph");
        }
        Self::at(data)
    }

    fn at(data: &Path) -> Self {
        let root = unpacked();
        let libraries = entry(&root.join("usr/lib"), |name| name.ends_with("-linux-gnu"));
        let libraries = libraries.unwrap_or_else(|| panic!("no libraries below {}", root.display()));
        Self { root, libraries, data: data.to_owned() }
    }

    /// Nothing is installed, so each program is told where everything is.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.root.join("usr/bin").join(name));
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        let architecture = self.libraries.file_name().unwrap_or_default();
        let mut path = OsString::new();
        for directory in
            [self.libraries.clone(), self.libraries.join("ceph"), self.root.join("lib").join(architecture)]
        {
            path.push(directory);
            path.push(":");
        }
        path.push(self.root.join("usr/lib"));
        command.env("LD_LIBRARY_PATH", path).env("CEPH_CONF", self.data.join("ceph.conf"));
        command.env("PYTHONPATH", self.root.join("usr/lib/python3/dist-packages"));
    }

    fn configure(&self, cluster: &str, port: &Port, monitor: &Port, options: &SwiftOptions) {
        let (data, libraries) = (self.data.display().to_string(), self.libraries.display().to_string());
        let text = include_str!("rgw/ceph.conf")
            .replace("{fsid}", cluster)
            .replace("{port}", &port.number().to_string())
            .replace("{monitor}", &monitor.number().to_string())
            .replace("{token_life}", &options.token_life.as_secs().to_string())
            .replace("{data}", &data)
            .replace("{libraries}", &libraries);
        fs::write(self.data.join("ceph.conf"), text).expect("write the configuration of ceph");
    }

    fn make_monitor(&self, cluster: &str, port: &Port) {
        let map = self.data.join("monmap");
        let address = format!("[v1:127.0.0.1:{}]", port.number());
        let mut make_map = self.program("monmaptool");
        run_command(make_map.args(["--create", "--fsid", cluster, "--addv", "a", &address]).arg(&map));
        run_command(self.program("ceph-mon").args(["--mkfs", "-i", "a", "--monmap"]).arg(&map));
    }

    fn make_osd(&self, behind: &mut [Process]) {
        let id = uuid();
        let mut new = self.monitor_command();
        new.args(["osd", "new", &id]);
        // It too may ask before it knows the cluster's id, and has no such option as the OSD. To repeat it is harmless.
        let made = (0..ATTEMPTS).any(|_| attempt("ceph osd new", &mut new, behind).0.success());
        if !made {
            complete("ceph osd new", &mut new, behind);
        }
        let mut format = self.program("ceph-osd");
        complete("ceph-osd --mkfs", format.args(["--mkfs", "-i", "0", "--osd-uuid", &id]), behind);
    }

    /// The distribution's own interpreter: the modules of the packages are built for it. If it was not installed, it is
    /// among what was unpacked.
    fn monitor_command(&self) -> Command {
        let unpacked = self.root.join("usr/bin/python3");
        let mut command = Command::new(if unpacked.exists() { unpacked } else { "/usr/bin/python3".into() });
        self.prepare(&mut command);
        command.arg(self.root.join("usr/bin/ceph"));
        command
    }

    fn make_user(&self, credentials: &Credentials, behind: &mut [Process]) {
        let mut command = self.program("radosgw-admin");
        command.args(["-n", "client.rgw.a", "user", "create", "--uid=test", "--display-name=test"]);
        command.arg(format!("--access-key={}", credentials.access_key));
        command.arg(format!("--secret={}", credentials.secret_key));
        complete("radosgw-admin", &mut command, behind);
    }

    fn make_subuser(&self, name: &str, key: &str, access: &str, behind: &mut [Process]) {
        let mut command = self.program("radosgw-admin");
        command.args(["-n", "client.rgw.a", "subuser", "create", "--uid=test", "--key-type=swift"]);
        command.arg(format!("--subuser={name}")).arg(format!("--access={access}"));
        command.arg(format!("--secret-key={key}"));
        complete("radosgw-admin", &mut command, behind);
    }
}

fn complete(name: &str, command: &mut Command, behind: &mut [Process]) {
    let (status, log) = attempt(name, command, behind);
    assert!(status.success(), "{name} ended with {status}\n{log}");
}

/// Runs it to its end. It would wait for ever for what has ended behind it.
fn attempt(name: &str, command: &mut Command, behind: &mut [Process]) -> (ExitStatus, String) {
    let mut process = Process::spawn(name, command);
    let begin = Instant::now();
    while process.poll().is_none() {
        let ended =
            behind.iter_mut().find_map(|process| process.poll().map(|status| (status, process.log())));
        assert!(ended.is_none(), "while {name} ran: {ended:?}");
        assert!(begin.elapsed() < PATIENCE, "{name} still runs\n{}", process.log());
        thread::sleep(Duration::from_millis(10));
    }
    (process.wait(PATIENCE), process.log())
}

/// Whatever version the distribution has.
fn unpacked() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    let found = entry(&tools, |name| name.starts_with("rgw-") && !name.ends_with(".unfinished"));
    found.and_then(|path| fs::canonicalize(path).ok()).unwrap_or_else(|| provided("rgw-VERSION"))
}

fn entry(directory: &Path, fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    entries.into_iter().find(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())))
}

fn uuid() -> String {
    let path = "/proc/sys/kernel/random/uuid";
    let uuid = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    uuid.trim().to_owned()
}
