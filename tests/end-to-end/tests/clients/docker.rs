//! docker, with an engine of the test's own. It knows images in its own format and nothing else.

use std::fs::{self, File};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use longshore_end_to_end::process::pid;
use longshore_end_to_end::{Process, figures};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::client::{Client, Content, Conversion, Item, Pulled};
use crate::door::Door;
use crate::home::{Home, Refusal, attempt, attempt_with_input, done};
use crate::images::{Built, Images};
use crate::tree::Tree;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(20);

/// What the engine puts into every container.
const OF_THE_ENGINE: [&str; 5] = [".dockerenv", "dev", "etc", "proc", "sys"];

pub(crate) struct Docker {
    engine: Process,
    home: Home,
    door: Door,
}

impl Docker {
    pub(crate) fn start(door: &Door) -> Self {
        let programs = [("docker", "docker.io"), ("dockerd", "docker.io")];
        let home = Home::new(&programs, &["/etc/docker", "/run", "/opt/containerd"]);
        home.write("/etc/docker/daemon.json", "{}");
        let directory = |name: &str| home.data(name).display().to_string();
        let (data, configuration) = (directory("docker"), "/etc/docker/daemon.json");
        let (exec, id) =
            (home.socket("exec").display().to_string(), home.socket("pid").display().to_string());
        let arguments = [
            "--storage-driver=vfs",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--data-root",
            &data,
            "--exec-root",
            &exec,
            "--pidfile",
            &id,
            "--config-file",
            configuration,
            "--host",
            &socket(&home),
        ];
        let engine = Process::spawn("dockerd", &mut home.command("dockerd", &arguments));
        engine.await_line("API listen on", START);
        Self { engine, home, door: door.clone() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command =
            self.home.command("docker", &[&["--host", &socket(&self.home)], arguments].concat());
        command.env("DOCKER_CONFIG", self.home.data("config"));
        // `docker manifest` of old clients is an experiment.
        command.env("DOCKER_CLI_EXPERIMENTAL", "enabled");
        command
    }

    fn docker(&self, arguments: &[&str]) -> Result<String, Refusal> {
        attempt(&mut self.command(arguments)).map(|said| said.trim().to_owned())
    }

    /// Gives the digest that the push printed.
    fn push_built(&self, built: &Built, target: &str) -> Result<String, Refusal> {
        self.docker(&["load", "--input", &built.docker_archive.display().to_string()])?;
        self.docker(&["tag", &format!("built/{}:latest", built.architecture), target])?;
        let said = self.docker(&["push", target])?;
        digest_after(&said, "digest: ")
    }

    /// docker has no lists of its own: it makes one from images that are in the registry.
    fn push_list(&self, images: &Images, target: &str) -> Result<String, Refusal> {
        let mut members = Vec::new();
        for built in &images.built {
            let member = format!("{target}-{}", built.architecture);
            self.push_built(built, &member)?;
            members.push(member);
        }
        let members: Vec<_> = members.iter().map(String::as_str).collect();
        let plain = self.door.plain_option("--insecure");
        self.docker(&[&["manifest", "create"], &plain[..], &[target], &members].concat())?;
        let said = self.docker(&[&["manifest", "push"], &plain[..], &[target]].concat())?;
        digest_after(&said, "")
    }

    fn tree(&self, reference: &str, architecture: &str) -> Result<Tree, Refusal> {
        let platform = format!("linux/{architecture}");
        let container = self.docker(&["create", "--platform", &platform, "--pull", "never", reference])?;
        let archive = self.home.data("tree.tar");
        self.docker(&["export", "--output", &archive.display().to_string(), &container])?;
        self.docker(&["rm", "--volumes", &container])?;
        let mut tree = Tree::of_unpacked(File::open(&archive).expect("what docker wrote"));
        fs::remove_file(archive).expect("remove the archive");
        for path in OF_THE_ENGINE {
            tree.remove(path);
        }
        Ok(tree)
    }
}

fn socket(home: &Home) -> String {
    format!("unix://{}", home.socket("docker.sock").display())
}

/// In what docker printed: the digest after these words.
fn digest_after(said: &str, words: &str) -> Result<String, Refusal> {
    let digest = said.match_indices(words).find_map(|(at, _)| {
        let word = said[at + words.len()..].split_whitespace().next()?;
        word.starts_with("sha256:").then(|| word.to_owned())
    });
    digest.ok_or_else(|| format!("docker told no digest: {said}"))
}

impl Client for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn version(&self) -> String {
        let format = "docker version {{.Client.Version}}, engine {{.Server.Version}}";
        done(&mut self.command(&["version", "--format", format]))
    }

    fn host(&self) -> &str {
        self.door.host()
    }

    fn trust(&self) {
        self.door.trust_in(&self.home, "/etc/docker");
    }

    fn login(&self, password: &str) -> Result<(), Refusal> {
        let login = ["login", "--username", self.door.user(), "--password-stdin", self.door.host()];
        attempt_with_input(&mut self.command(&login), password).map(drop)
    }

    fn tells_wrong_password(&self) -> &'static str {
        "401 Unauthorized"
    }

    fn push(&self, item: Item, images: &Images, repository: &str) -> Result<String, Refusal> {
        let target = format!("{repository}:{}", item.tag());
        match item {
            Item::Image => self.push_built(&images.built[0], &target),
            Item::List => self.push_list(images, &target),
            Item::Artifact => {
                let archive = images.artifact.archive.display().to_string();
                self.docker(&["load", "--input", &archive])
            }
        }
    }

    fn pull(&self, _: Item, reference: &str, architecture: &str) -> Result<Pulled, Refusal> {
        self.docker(&["image", "prune", "--all", "--force"])?;
        assert_eq!(self.docker(&["image", "ls", "--all", "--quiet"])?, "", "docker still has images");
        let said = self.docker(&["pull", "--platform", &format!("linux/{architecture}"), reference])?;
        let digest = digest_after(&said, "Digest: ")?;
        Ok(Pulled { digests: vec![digest], content: Content::Tree(self.tree(reference, architecture)?) })
    }

    fn conversions(&self, item: Item) -> &'static [Conversion] {
        match item {
            Item::Image | Item::List => &[Conversion::DockerTypes, Conversion::Recompressed],
            Item::Artifact => &[],
        }
    }

    /// An artifact has no file that `docker load` looks for.
    fn refuses_to_push_artifacts(&self) -> Option<&'static str> {
        Some("no such file or directory")
    }

    fn refuses_to_pull_artifacts(&self) -> Option<&'static str> {
        Some("unsupported media type application/vnd.oci.empty.v1+json")
    }
}

impl Drop for Docker {
    /// A graceful stop ends its containerd too; if that fails, both are killed.
    fn drop(&mut self) {
        let children = figures::children(self.engine.id()).into_iter();
        let children = children.filter_map(|child| pidfd_open(pid(child), PidfdFlags::empty()).ok());
        let children: Vec<_> = children.collect();
        self.engine.signal(Signal::TERM);
        let begin = Instant::now();
        while self.engine.poll().is_none() && begin.elapsed() < STOP {
            thread::sleep(Duration::from_millis(20));
        }
        for child in children {
            let _already_gone = pidfd_send_signal(child, Signal::KILL);
        }
    }
}
