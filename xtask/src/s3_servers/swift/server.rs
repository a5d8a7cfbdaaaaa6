//! A Swift of one machine, for what runs over it outside of the tests: four servers of one process each, over one directory,
//! as the tests start it.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::account::Account;
use crate::process::{Process, free_port};
use crate::s3_servers::{Backend, Purpose, Request, secret, settled};
use crate::step::succeed;

/// The proxy is the last to start, and the first to stop.
const SERVERS: [&str; 4] = ["object", "container", "account", "proxy"];
const START: Duration = Duration::from_secs(60);
/// What logs stands twice, as in Swift's own: before what makes requests of one, and before the last.
const PIPELINE: &str = "catch_errors gatekeeper proxy-logging cache listing_formats bulk tempurl tempauth copy \
                        container-quotas slo dlo versioned_writes symlink proxy-logging proxy-server";
/// An entry of the log. The source is `-` for what was asked from outside, and else the part of Swift that asks; the headers
/// are what a copy says.
const ENTRY: &str = "egg:swift#proxy_logging\naccess_log_headers = true\naccess_log_headers_only = X-Copy-From\n\
                     log_msg_template = asked {method} {container} {object} {source} {headers}";

/// Of the tests: what they rest on, this does too.
const SWIFT_CONF: &str = include_str!("../../../../tests/end-to-end/src/servers/swift/swift.conf");
const PROXY_CONF: &str = include_str!("../../../../tests/end-to-end/src/servers/swift/proxy-server.conf");
const BACK_END_CONF: &str = include_str!("../../../../tests/end-to-end/src/servers/swift/back-end.conf");
const CACHE: &str = include_str!("../../../../tests/end-to-end/src/servers/swift/in_process_cache.py");
const MAKE_RINGS: &str = include_str!("../../../../tests/end-to-end/src/servers/swift/make_rings.py");

/// With one container, on loopback and under a key of its own; stopped when dropped.
pub(crate) struct Swift {
    pub(crate) servers: Vec<Process>,
    account: Account,
    log: PathBuf,
}

/// Where its files are.
struct Place {
    venv: PathBuf,
    configuration: PathBuf,
    devices: PathBuf,
    logs: PathBuf,
}

impl Swift {
    /// Over a directory, which is made and may have been used before.
    pub(crate) fn start(directory: &Path, purpose: Purpose) -> Result<Self, String> {
        let place = Place::make(super::provide()?, directory)?;
        let key = secret()?;
        let ports =
            SERVERS.iter().map(|name| Ok((*name, free_port()?))).collect::<Result<Vec<_>, String>>()?;
        place.configure(&ports, &key)?;
        place.make_rings(&ports)?;
        let account = Account::new(&format!("http://127.0.0.1:{}", ports[ports.len() - 1].1), key);
        let mut swift = Self { servers: Vec::new(), account, log: place.log("proxy") };
        for (name, port) in &ports {
            // Those that run already are stopped when this one does not.
            swift.servers.insert(0, place.server(name, purpose)?);
            place.await_connection(name, *port, &mut swift.servers[0])?;
        }
        swift.account.make_container()?;
        Ok(swift)
    }

    fn logged(&self) -> Result<Vec<Request>, String> {
        let text = fs::read_to_string(&self.log)
            .map_err(|error| format!("cannot read {}: {error}", self.log.display()))?;
        Ok(text.lines().filter_map(request).collect())
    }
}

impl Backend for Swift {
    const DATA: &'static [&'static str] = &["devices"];

    fn start_to_measure(directory: &Path) -> Result<Self, String> {
        Self::start(directory, Purpose::Measure)
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

/// One from outside.
fn request(line: &str) -> Option<Request> {
    let mut words = line.split_once("asked ")?.1.split(' ');
    let mut word = || words.next().map(|word| if word == "-" { "" } else { word });
    let (operation, _container, key, source, headers) = (word()?, word()?, word()?, word()?, word()?);
    let is_copy = operation == "COPY" || !headers.is_empty();
    let (operation, key) = (operation.to_owned(), key.to_owned());
    source.is_empty().then_some(Request { operation, key, is_copy })
}

impl Place {
    fn make(venv: PathBuf, directory: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot use {}: {error}", directory.display());
        fs::create_dir_all(directory).map_err(failed)?;
        let directory = directory.canonicalize().map_err(failed)?;
        let [configuration, devices, logs] = ["etc", "devices", "logs"].map(|name| directory.join(name));
        for made in [&configuration, &devices.join("d1"), &logs] {
            fs::create_dir_all(made).map_err(failed)?;
        }
        Ok(Self { venv, configuration, devices, logs })
    }

    fn configure(&self, ports: &[(&str, u16)], key: &str) -> Result<(), String> {
        self.write("swift.conf", SWIFT_CONF)?;
        self.write("in_process_cache.py", CACHE)?;
        let user = whoami()?;
        for (name, port) in ports {
            let sections = match *name {
                "proxy" => proxy(key),
                back_end => BACK_END_CONF.replace("{name}", back_end),
            };
            let text = self.defaults(name, *port, &user) + &sections;
            self.write(&format!("{name}-server.conf"), &text)?;
        }
        Ok(())
    }

    /// `swift_dir` keeps it away from /etc/swift.
    fn defaults(&self, name: &str, port: u16, user: &str) -> String {
        let (directory, devices) = (self.configuration.display(), self.devices.display());
        format!(
            "[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\nuser = {user}\nlog_name = {name}\n\
             log_udp_host =\nswift_dir = {directory}\ndevices = {devices}\nmount_check = false\n\
             disable_fallocate = true\nfallocate_reserve = 0\n"
        )
    }

    /// They are of this run's ports; where an object lies does not depend on them.
    fn make_rings(&self, ports: &[(&str, u16)]) -> Result<(), String> {
        let mut command = self.python();
        command.args(["-c", MAKE_RINGS]).arg(&self.configuration).arg(self.devices.join("d1"));
        let back_ends = ports.iter().filter(|(name, _)| *name != "proxy");
        succeed(command.args(back_ends.map(|(name, port)| format!("{name}={port}"))))
    }

    fn python(&self) -> Command {
        let mut command = Command::new(self.venv.join("bin/python"));
        command.env("PYTHONPATH", &self.configuration).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn server(&self, name: &'static str, purpose: Purpose) -> Result<Process, String> {
        let path = self.log(name);
        let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        let log = File::create(&path).map_err(failed)?;
        let mut command = self.python();
        command.arg(self.venv.join(format!("bin/swift-{name}-server")));
        command.arg(self.configuration.join(format!("{name}-server.conf"))).arg("--verbose");
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
        if purpose == Purpose::Serve {
            command.process_group(0);
        }
        Process::start("a server of Swift", &mut command)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn await_connection(&self, name: &str, port: u16, server: &mut Process) -> Result<(), String> {
        let end = Instant::now() + START;
        while let Err(error) = TcpStream::connect(("127.0.0.1", port)) {
            if server.poll().is_some() || Instant::now() > end {
                let log = self.log(name);
                return Err(format!(
                    "Swift's {name} server does not come up: {error}; see {}",
                    log.display()
                ));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.configuration.join(name);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}

fn proxy(key: &str) -> String {
    PROXY_CONF
        .replace("{pipeline}", PIPELINE)
        .replace("user_test_tester = testing", &format!("user_test_tester = {key}"))
        .replace("user_test_guest = guesting\n", "")
        .replace("egg:swift#proxy_logging", ENTRY)
        .replace("{token_life}", "86400")
        .replace("{container_memory}", "60")
        .replace("{writes_per_second}", "0")
}

/// Swift looks its user up even where it stays who it is.
fn whoami() -> Result<String, String> {
    let output =
        Command::new("id").arg("-un").output().map_err(|error| format!("cannot start `id`: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_from_outside_is_read_from_the_log() {
        let read = |words: &str| request(&format!("proxy-server: asked {words} (txn: tx1-2)"));
        let asked = |operation: &str, key: &str, is_copy| {
            Some(Request { operation: operation.to_owned(), key: key.to_owned(), is_copy })
        };
        assert_eq!(read("PUT registry a/b - -"), asked("PUT", "a/b", false));
        assert_eq!(read("PUT registry a/b - X-Copy-From%3A%20/registry/c"), asked("PUT", "a/b", true));
        assert_eq!(read("GET registry - - -"), asked("GET", "", false));
        assert_eq!(read("HEAD registry .driver/segments/1 SLO -"), None);
        assert_eq!(request("proxy-server: Starting"), None);
    }
}
