//! OpenStack Swift, with s3api or by its own API: four servers of one process each, one replica on one directory.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::{Port, Prepared, START, SwiftOptions, provided};
use crate::process::{Process, run, run_command};
use crate::scratch;

const VENV: &str = "swift-2.38.3-keystone";
const BACK_ENDS: [&str; 3] = ["object", "container", "account"];

const PIPELINE: &str = "catch_errors gatekeeper cache listing_formats bulk AUTH copy slo dlo versioned_writes \
                        symlink proxy-logging proxy-server";
const NATIVE: &str = "catch_errors gatekeeper cache listing_formats bulk tempurl LIMIT AUTH copy container-quotas \
                      slo dlo versioned_writes symlink proxy-logging proxy-server";

/// What differs from one proxy server to another.
struct Proxy {
    pipeline: String,
    options: SwiftOptions,
    keystone: Option<String>,
}

struct Swift {
    venv: PathBuf,
    /// Configuration and rings.
    configuration: PathBuf,
    devices: PathBuf,
    /// Swift looks its user up even where it stays who it is.
    user: String,
}

/// With s3api.
pub(super) fn prepare(data: &Path, port: &Port) -> Prepared {
    let pipeline = PIPELINE.replace("AUTH", "s3api tempauth");
    started(data, port, &Proxy { pipeline, options: SwiftOptions::default(), keystone: None })
}

/// Its own API. It asks the Keystone at this URL who somebody is, or else knows that itself.
pub(super) fn prepare_native(
    data: &Path,
    port: &Port,
    options: &SwiftOptions,
    keystone: Option<&str>,
) -> Prepared {
    let limit = if options.writes_per_second.is_some() { "ratelimit " } else { "" };
    let auth = if keystone.is_some() { "authtoken keystoneauth" } else { "tempauth" };
    let pipeline = NATIVE.replace("LIMIT ", limit).replace("AUTH", auth);
    started(data, port, &Proxy { pipeline, options: options.clone(), keystone: keystone.map(str::to_owned) })
}

fn started(data: &Path, port: &Port, proxy: &Proxy) -> Prepared {
    let swift = Swift::new(data);
    let ports: Vec<Port> = BACK_ENDS.iter().map(|_| Port::reserve()).collect();
    swift.configure(port, &ports, proxy);
    swift.make_rings(&ports);
    let start = |name: &&str| Process::spawn(&format!("swift {name} server"), &mut swift.server(name));
    let mut behind: Vec<Process> = BACK_ENDS.iter().map(start).collect();
    for (port, process) in ports.iter().zip(&mut behind) {
        await_listener(port, process);
    }
    Prepared { name: "swift proxy server", front: swift.server("proxy"), behind, ports }
}

impl Proxy {
    fn configuration(&self) -> String {
        let writes = self.options.writes_per_second.unwrap_or_default();
        // Limits go by the size that the proxy believes a container to have; a minute is Swift's own.
        let memory = if self.options.writes_per_second.is_some() { "1" } else { "60" };
        let keystone = self.keystone.as_ref().map(|url| {
            // Less than a second would be none.
            let memory = self.options.token_memory.map_or("-1".to_owned(), |time| time.as_secs().to_string());
            let text = include_str!("swift/keystone.conf").replace("{keystone}", url);
            text.replace("{token_memory}", &memory)
        });
        let text = include_str!("swift/proxy-server.conf").to_owned() + &keystone.unwrap_or_default();
        text.replace("{pipeline}", &self.pipeline)
            .replace("{token_life}", &self.options.token_life.as_secs().to_string())
            .replace("{container_memory}", memory)
            .replace("{writes_per_second}", &writes.to_string())
    }
}

impl Swift {
    fn new(data: &Path) -> Self {
        let (configuration, devices) = (data.join("etc"), data.join("devices"));
        fs::create_dir(&configuration).expect("a directory for the configuration");
        fs::create_dir_all(devices.join("d1")).expect("a directory for the objects");
        let user = run(&scratch::tool("id", "coreutils"), &["-un"]).trim().to_owned();
        Self { venv: provided(VENV), configuration, devices, user }
    }

    /// A script of the virtualenv: it names an interpreter by a path that is no longer there.
    fn script(&self, name: &str) -> Command {
        let mut command = self.python();
        command.arg(self.venv.join("bin").join(name));
        command
    }

    fn python(&self) -> Command {
        let mut command = Command::new(self.venv.join("bin/python"));
        // The filter that stands in for memcached is beside the configuration.
        command.env("PYTHONPATH", &self.configuration).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn server(&self, name: &str) -> Command {
        let mut command = self.script(&format!("swift-{name}-server"));
        command.arg(self.configuration.join(format!("{name}-server.conf"))).arg("--verbose");
        command
    }

    fn configure(&self, port: &Port, ports: &[Port], proxy: &Proxy) {
        self.write("swift.conf", include_str!("swift/swift.conf"));
        self.write("in_process_cache.py", include_str!("swift/in_process_cache.py"));
        let proxy = self.defaults("proxy", port) + &proxy.configuration();
        self.write("proxy-server.conf", &proxy);
        for (name, port) in BACK_ENDS.iter().zip(ports) {
            // The server looks for a section of its own name.
            let sections = include_str!("swift/back-end.conf").replace("{name}", name);
            self.write(&format!("{name}-server.conf"), &(self.defaults(name, port) + &sections));
        }
    }

    /// `swift_dir` keeps it away from /etc/swift; the sizes of the disk are not its concern here.
    fn defaults(&self, name: &str, port: &Port) -> String {
        let (directory, devices) = (self.configuration.display(), self.devices.display());
        format!(
            "[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {}\nworkers = 0\nuser = {}\nlog_name = {name}\nlog_udp_host =\n\
             swift_dir = {directory}\ndevices = {devices}\nmount_check = false\ndisable_fallocate = true\n\
             fallocate_reserve = 0\n",
            port.number(),
            self.user
        )
    }

    fn make_rings(&self, ports: &[Port]) {
        let mut command = self.python();
        command.args(["-c", include_str!("swift/make_rings.py")]);
        command.arg(&self.configuration).arg(self.devices.join("d1"));
        command.args(BACK_ENDS.iter().zip(ports).map(|(name, port)| format!("{name}={}", port.number())));
        run_command(&mut command);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.configuration.join(name), text).expect("write the configuration of swift");
    }
}

fn await_listener(port: &Port, process: &mut Process) {
    let (begin, address) = (Instant::now(), SocketAddr::from(([127, 0, 0, 1], port.number())));
    while TcpStream::connect(address).is_err() {
        let waiting = process.poll().is_none() && begin.elapsed() < START;
        assert!(waiting, "nobody listens\n{}", process.log());
        thread::sleep(Duration::from_millis(20));
    }
}
