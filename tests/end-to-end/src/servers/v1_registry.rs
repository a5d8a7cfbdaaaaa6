//! docker-registry 0.9.1 of 2014, as PyPI has it, over a directory. It runs under Python 2.7, which few machines have still: where
//! `cargo xtask test` found none, a test that asks for it is told so and not run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::running::{Prepared, Running};
use super::{ANSWER, Port, provided};
use crate::{report, scratch, v1};

const VENV: &str = "docker-registry-0.9.1";
/// Beside the virtualenv, or where it would be: why it is not.
const ABSENT: &str = "docker-registry-0.9.1.absent";
/// What it is configured with where the environment says nothing else; it comes with the package.
const CONFIGURATION: &str = "lib/python2.7/site-packages/config/config_sample.yml";

/// It runs until it is dropped.
pub struct V1Registry {
    running: Running,
    url: String,
}

impl V1Registry {
    /// `None`: it can't be had here, and that was told of this test.
    pub async fn start(test: &str) -> Option<Self> {
        if let Some(reason) = absence() {
            report::not_run(test, &reason);
            return None;
        }
        let (data, port) = (scratch::data_directory(), Port::reserve());
        let url = format!("http://127.0.0.1:{}", port.number());
        let front = command(data.path(), &port);
        let prepared = Prepared { name: "docker-registry", front, behind: Vec::new(), ports: vec![port] };
        let mut registry = Self { running: Running::start(prepared, data), url };
        registry.await_answer().await;
        Some(registry)
    }

    pub fn client(&self) -> v1::Client {
        v1::Client::new(&self.url)
    }

    /// Kills it. What it stored stays until it is dropped.
    pub fn stop(&mut self) {
        self.running.stop();
    }

    /// What it has for its `storage_path`.
    pub fn store(&self) -> PathBuf {
        store(self.running.directory())
    }

    async fn await_answer(&mut self) {
        let (begin, ping) = (Instant::now(), format!("{}/v1/_ping", self.url));
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        loop {
            let why = match http.get(&ping).timeout(ANSWER).send().await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => answer.status().to_string(),
                Err(error) => format!("{error:?}"),
            };
            self.running.await_next_attempt(begin, &ping, &why).await;
        }
    }
}

/// Why it can't be had; without that file it has to be there.
fn absence() -> Option<String> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    std::fs::read_to_string(tools.join(ABSENT)).ok()
}

fn store(data: &Path) -> PathBuf {
    data.join("store")
}

fn command(data: &Path, port: &Port) -> Command {
    let venv = provided(VENV);
    let mut command = Command::new(venv.join("bin/python"));
    command.args(["-c", include_str!("v1_registry/serve.py"), &port.number().to_string()]);
    // It writes a lock into its working directory.
    command.current_dir(data).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("DOCKER_REGISTRY_CONFIG", venv.join(CONFIGURATION)).env("SETTINGS_FLAVOR", "local");
    command.env("STANDALONE", "true").env("SEARCH_BACKEND", "").env("STORAGE_PATH", store(data));
    command
}
