//! The images and docker-compose.yml, with a real engine and the real docker-compose: built on a Debian of
//! debootstrap's, started with one command, pushed to and pulled from.

mod base;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use longshore_end_to_end::process::run_command;
use longshore_end_to_end::servers::{Flavour, Login, SwiftServer, provided};
use longshore_end_to_end::{figure, scratch};

use longshore_end_to_end::docker_engine::{Engine, without_proxies};
use tokio::runtime::Runtime;

const HEALTHY: Duration = Duration::from_secs(60);
const IMAGE: &str = "docker://127.0.0.1:5000/team/longshore:1";

/// `docker-compose` in a copy of what it needs of the repository; dropping it takes the services down.
struct Project<'engine> {
    engine: &'engine Engine,
    directory: PathBuf,
}

#[test]
fn docker_compose_starts_core_and_driver_and_an_image_is_pushed_and_pulled() {
    let tarball = base::tarball();
    let engine = Engine::start();
    engine.docker(&["import", &tarball.display().to_string(), "longshore-base:1"]);
    let project = Project::new(&engine);
    let begin = Instant::now();
    project.compose(&["up", "--build", "--detach"]);
    let core = project.service("core");
    let driver = project.service("driver");
    await_health(&engine, &project, &core);
    figure!("containers: built, up and healthy in {:.1} s", begin.elapsed().as_secs_f64());

    for (container, user) in [(&core, "10001:10001"), (&driver, "10002:10002")] {
        let format = "{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}";
        let said = engine.docker(&["inspect", "--format", format, container]);
        assert_eq!(said, format!("{user} true [ALL]"));
        let uid = user.split(':').next().expect("a user");
        let status = fs::read_to_string(format!("/proc/{}/status", pid(&engine, container))).expect("status");
        assert!(status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")), "{status}");
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }

    push_and_pull(&engine, &project, &core);

    // A second start finds the store of the first.
    project.compose(&["down"]);
    project.compose(&["up", "--detach"]);
    let core = project.service("core");
    await_health(&engine, &project, &core);
    pull(&engine, &core, &project.directory.join("again"));
    project.compose(&["down", "--volumes"]);

    make_image_of_the_server(&engine, &project);
    starts_over_a_bucket(&engine, &project);
    starts_over_swift(&engine, &project);
}

/// The third registry, over a Swift that is there.
fn starts_over_swift(engine: &Engine, project: &Project<'_>) {
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(SwiftServer::start(Flavour::SwiftTempauth));
    let Login::V1 { user, key } = server.login() else { panic!("tempauth is a login of v1") };
    let mut up = project.command(&["--profile", "swift", "up", "--build", "--detach"]);
    up.env("SWIFT_CONTAINER", server.container());
    up.env("ST_AUTH", server.auth_url()).env("ST_USER", user).env("ST_KEY", key);
    let begin = Instant::now();
    run_command(&mut up);
    let core = project.service("core-swift");
    await_health(engine, project, &core);
    figure!("containers: up over Swift in {:.1} s", begin.elapsed().as_secs_f64());
    push_and_pull(engine, project, &core);
    project.compose(&["--profile", "swift", "down", "--volumes"]);
}

/// The second registry, whose store is a bucket.
fn starts_over_a_bucket(engine: &Engine, project: &Project<'_>) {
    let begin = Instant::now();
    project.compose(&["--profile", "s3", "up", "--build", "--detach"]);
    let core = project.service("core-s3");
    await_health(engine, project, &core);
    figure!("containers: up over a bucket in {:.1} s", begin.elapsed().as_secs_f64());
    push_and_pull(engine, project, &core);
    project.compose(&["--profile", "s3", "down", "--volumes"]);
}

/// In the place of the published image, which has the program at the same path and is started in the same way.
fn make_image_of_the_server(engine: &Engine, project: &Project<'_>) {
    let directory = engine.directory("versitygw");
    fs::copy(provided("versitygw-v1.8.0/versitygw"), directory.join("versitygw")).expect("copy versitygw");
    let text = "FROM longshore-base:1\nCOPY versitygw /app/versitygw\nENTRYPOINT [\"/app/versitygw\"]\n";
    fs::write(directory.join("Dockerfile"), text).expect("write a Dockerfile");
    let compose = fs::read_to_string(project.directory.join("docker-compose.yml")).expect("the compose file");
    let name = compose
        .lines()
        .find_map(|line| line.trim().strip_prefix("image: versity/"))
        .expect("the server's image");
    engine.docker(&["build", "--tag", &format!("versity/{name}"), &directory.display().to_string()]);
}

fn push_and_pull(engine: &Engine, project: &Project<'_>, core: &str) {
    let id = engine.docker(&["image", "inspect", "--format", "{{.Id}}", "longshore"]);
    let archive = project.directory.join("image.tar").display().to_string();
    engine.docker(&["save", "--output", &archive, "longshore"]);
    let begin = Instant::now();
    skopeo(engine, core, &["--dest-tls-verify=false", &format!("docker-archive:{archive}"), IMAGE]);
    figure!("containers: pushed the image in {:.1} s", begin.elapsed().as_secs_f64());
    let pulled = project.directory.join("pulled");
    let _of_another_store = fs::remove_dir_all(&pulled);
    pull(engine, core, &pulled);
    let manifest = fs::read(pulled.join("manifest.json")).expect("the manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("a manifest");
    assert_eq!(manifest["config"]["digest"], id.as_str(), "another image came back");
}

fn pull(engine: &Engine, core: &str, into: &Path) {
    skopeo(engine, core, &["--src-tls-verify=false", IMAGE, &format!("dir:{}", into.display())]);
}

/// skopeo in the core's network.
fn skopeo(engine: &Engine, core: &str, arguments: &[&str]) {
    let mut command = Command::new(scratch::tool("nsenter", "util-linux"));
    command.arg(format!("--net=/proc/{}/ns/net", pid(engine, core)));
    command.arg(scratch::tool("skopeo", "skopeo")).args(["--insecure-policy", "copy"]).args(arguments);
    run_command(without_proxies(&mut command));
}

fn pid(engine: &Engine, container: &str) -> String {
    engine.docker(&["inspect", "--format", "{{.State.Pid}}", container])
}

fn await_health(engine: &Engine, project: &Project<'_>, container: &str) {
    let begin = Instant::now();
    loop {
        let state = engine.docker(&["inspect", "--format", "{{.State.Health.Status}}", container]);
        if state == "healthy" {
            return;
        }
        if begin.elapsed() > HEALTHY {
            let logs = project.compose(&["--profile", "s3", "--profile", "swift", "logs"]);
            panic!("{state}: {logs}");
        }
        thread::sleep(Duration::from_millis(200));
    }
}

impl<'engine> Project<'engine> {
    fn new(engine: &'engine Engine) -> Self {
        let directory = engine.directory("project");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let release = directory.join("target/release");
        fs::create_dir_all(&release).expect("a directory");
        fs::create_dir_all(directory.join("packaging/docker")).expect("a directory");
        for file in ["Dockerfile", ".dockerignore", "docker-compose.yml", "packaging/docker/longshore.toml"] {
            fs::copy(repository.join(file), directory.join(file)).expect("copy a file of the repository");
        }
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers/docker-compose.test.yml");
        fs::copy(own, directory.join("docker-compose.test.yml")).expect("copy the test's own");
        for name in
            ["longshore", "longshore-driver-filesystem", "longshore-driver-s3", "longshore-driver-swift"]
        {
            fs::copy(scratch::binary(name), release.join(name)).expect("copy a binary");
        }
        Self { engine, directory }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(scratch::tool("docker-compose", "docker-compose"));
        command.args([
            "--project-name",
            "front",
            "-f",
            "docker-compose.yml",
            "-f",
            "docker-compose.test.yml",
        ]);
        command.args(arguments).current_dir(&self.directory).stdin(Stdio::null());
        command.env("DOCKER_HOST", self.engine.host()).env("DOCKER_BUILDKIT", "0");
        command.env("COMPOSE_DOCKER_CLI_BUILD", "0").env("BASE", "longshore-base:1");
        command.env("DOCKER_CONFIG", self.directory.join("config"));
        without_proxies(&mut command);
        command
    }

    fn compose(&self, arguments: &[&str]) -> String {
        run_command(&mut self.command(arguments))
    }

    /// The id of its container.
    fn service(&self, name: &str) -> String {
        self.compose(&["ps", "--quiet", name]).trim().to_owned()
    }
}

impl Drop for Project<'_> {
    /// Also when the test failed.
    fn drop(&mut self) {
        let _already_down = self
            .command(&["--profile", "s3", "--profile", "swift", "down", "--volumes", "--timeout", "5"])
            .output();
    }
}
