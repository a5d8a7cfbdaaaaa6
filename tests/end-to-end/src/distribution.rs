//! The real distribution 3.1.2 over a directory of the test's own. `cargo xtask test` builds it into
//! `target/tools/distribution-v3.1.2/`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::process::Process;

const START: Duration = Duration::from_secs(30);

pub struct Distribution {
    process: Process,
    url: String,
}

impl Distribution {
    /// Serves the store in `root`; its configuration is written beside it.
    pub async fn start(root: &Path) -> Self {
        let port = free_port();
        let config = root.with_extension("yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    \
             enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n",
            root.display()
        );
        std::fs::write(&config, text).expect("write the configuration of distribution");
        let mut command = Command::new(program());
        command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
        let process = Process::spawn("distribution", &mut command);
        let registry = Self { process, url: format!("http://127.0.0.1:{port}") };
        let begin = Instant::now();
        while registry.client().get("/v2/").send().await.is_err() {
            assert!(begin.elapsed() < START, "no answer\n{}", registry.process.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        registry
    }

    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    pub fn stop(mut self) {
        self.process.terminate(START);
    }
}

fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("target/tools/distribution-v3.1.2/registry");
    let install = "GOBIN=$PWD/target/tools/distribution-v3.1.2 \
                   go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2";
    assert!(path.is_file(), "{} is missing: `cargo xtask test` builds it, or {install}", path.display());
    path
}

/// One that nobody had a moment ago: distribution does not tell the port that it found for itself.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
