//! Garage, one node. It enforces no condition on writes. Over its default, LMDB, keys end at some 450 bytes; over SQLite not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{fs, thread};

use super::{Credentials, Port, Prepared, START, provided};
use crate::process::{Process, run_command};

/// Of the one node's share of the data: it is told, not taken.
const CAPACITY: &str = "100G";

struct Garage {
    configuration: PathBuf,
}

pub(super) fn prepare(data: &Path, port: &Port, credentials: &Credentials) -> Prepared {
    let (rpc, garage) = (Port::reserve(), Garage { configuration: data.join("garage.toml") });
    garage.configure(data, port, &rpc, credentials);
    let mut first = garage.program("server");
    // What a node is to store, and who may ask for it, it is told while it runs.
    let node = Process::spawn("garage", &mut first);
    garage.await_node(&node);
    garage.lay_out();
    garage.make_key(credentials);
    drop(node);
    Prepared { name: "garage", front: first, behind: Vec::new(), ports: vec![rpc] }
}

impl Garage {
    fn configure(&self, data: &Path, port: &Port, rpc: &Port, credentials: &Credentials) {
        let text = format!(
            "metadata_dir = {:?}\ndata_dir = {:?}\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{}\"\n\
             [s3_api]\ns3_region = \"{}\"\napi_bind_addr = \"127.0.0.1:{}\"\nroot_domain = \".s3.localhost\"\n",
            data.join("meta"),
            data.join("data"),
            "5e".repeat(32),
            credentials.region,
            port.number(),
            rpc = rpc.number(),
        );
        fs::write(&self.configuration, text).expect("write garage.toml");
    }

    fn program(&self, command: &str) -> Command {
        let mut program = Command::new(provided("garage-2.5.0/bin/garage"));
        program.arg("-c").arg(&self.configuration).args(command.split(' ')).env("RUST_LOG", "garage=warn");
        program
    }

    fn await_node(&self, node: &Process) {
        let begin = Instant::now();
        let answers = || {
            let mut status = self.program("status");
            let status = status.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
            status.expect("garage runs").success()
        };
        while !answers() {
            assert!(begin.elapsed() < START, "no answer\n{}", node.log());
            thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn lay_out(&self) {
        let id = run_command(&mut self.program("node id -q"));
        let id = id.split('@').next().expect("an id").trim();
        run_command(&mut self.program(&format!("layout assign -z one -c {CAPACITY} {id}")));
        run_command(&mut self.program("layout apply --version 1"));
    }

    fn make_key(&self, credentials: &Credentials) {
        let Credentials { access_key, secret_key, .. } = credentials;
        run_command(&mut self.program(&format!("key import --yes -n test {access_key} {secret_key}")));
        run_command(&mut self.program("key allow --create-bucket test"));
    }
}
