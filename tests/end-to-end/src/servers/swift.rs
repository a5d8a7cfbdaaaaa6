//! OpenStack Swift with s3api: four servers of one process each, one replica on one directory, tempauth.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::{Port, Prepared, START, provided};
use crate::process::{Process, run, run_command};
use crate::scratch;

const VENV: &str = "swift-2.38.3";
const BACK_ENDS: [&str; 3] = ["object", "container", "account"];

struct Swift {
    venv: PathBuf,
    /// Configuration and rings.
    configuration: PathBuf,
    devices: PathBuf,
    /// Swift looks its user up even where it stays who it is.
    user: String,
}

pub(super) fn prepare(data: &Path, port: &Port) -> Prepared {
    let swift = Swift::new(data);
    let ports: Vec<Port> = BACK_ENDS.iter().map(|_| Port::reserve()).collect();
    swift.configure(port, &ports);
    swift.make_rings(&ports);
    let start = |name: &&str| Process::spawn(&format!("swift {name} server"), &mut swift.server(name));
    let mut behind: Vec<Process> = BACK_ENDS.iter().map(start).collect();
    for (port, process) in ports.iter().zip(&mut behind) {
        await_listener(port, process);
    }
    Prepared { name: "swift proxy server", front: swift.server("proxy"), behind, access_log: None, ports }
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

    fn configure(&self, port: &Port, ports: &[Port]) {
        self.write("swift.conf", include_str!("swift/swift.conf"));
        self.write("in_process_cache.py", include_str!("swift/in_process_cache.py"));
        let proxy = self.defaults("proxy", port) + include_str!("swift/proxy-server.conf");
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
