//! containerd's `ctr`, with a containerd of the test's own.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longshore_end_to_end::{Process, figure};

use crate::client::{Client, Content, Conversion, Item, Pulled};
use crate::door::Door;
use crate::home::{Home, Refusal, attempt, done};
use crate::images::Images;
use crate::tree::Tree;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(20);

/// `--rm`: or the next image mounted there would be this one. The mount lives in the command's own namespace, so that the archive is made there too.
const ARCHIVE: &str = r#"ctr=$1 socket=$2 platform=$3 image=$4 at=$5 archive=$6
"$ctr" --address "$socket" images mount --snapshotter native --platform "$platform" "$image" "$at"
tar -C "$at" -cf "$archive" .
"$ctr" --address "$socket" images unmount --snapshotter native --rm "$at""#;

pub(crate) struct Ctr {
    containerd: Process,
    home: Home,
    door: Door,
    /// What `--user` takes: ctr has no login, it is told with each command.
    user: Mutex<Option<String>>,
    trusts: AtomicBool,
}

impl Ctr {
    pub(crate) fn start(door: &Door) -> Self {
        let programs = [("ctr", "containerd"), ("containerd", "containerd")];
        let home = Home::new(&programs, &["/run", "/opt/containerd"]);
        let configuration = home.data("containerd.toml");
        let text = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n",
            home.data("root"),
            home.data("state"),
            home.socket("containerd.sock"),
        );
        std::fs::write(&configuration, text).expect("containerd's configuration");
        let mut command = home.command("containerd", &[Path::new("--config"), &configuration]);
        let containerd = Process::spawn("containerd", &mut command);
        containerd.await_line("containerd successfully booted", START);
        Self { containerd, home, door: door.clone(), user: Mutex::default(), trusts: AtomicBool::new(false) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let socket = self.home.socket("containerd.sock").display().to_string();
        self.home.command("ctr", &[&["--address", &socket], arguments].concat())
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String, Refusal> {
        attempt(&mut self.command(arguments)).map(|said| said.trim().to_owned())
    }

    /// A command that speaks to the registry.
    fn remote(&self, words: &[&str], rest: &[&str]) -> Result<String, Refusal> {
        let mut options: Vec<String> =
            self.door.plain_option("--plain-http").into_iter().map(str::to_owned).collect();
        if let Some(secure) = self.door.secure.as_ref().filter(|_| self.trusts.load(Ordering::SeqCst)) {
            options.extend(["--tlscacert".to_owned(), secure.authority.display().to_string()]);
        }
        if let Some(user) = self.user.lock().expect("the user").clone() {
            options.extend(["--user".to_owned(), user]);
        }
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        self.ctr(&[words, &options, rest].concat())
    }

    fn names(&self) -> Result<Vec<String>, Refusal> {
        Ok(self.ctr(&["images", "list", "--quiet"])?.lines().map(str::to_owned).collect())
    }

    /// The digest that the name stands for.
    fn digest(&self, reference: &str) -> Result<String, Refusal> {
        let list = self.ctr(&["images", "list", &format!("name=={reference}")])?;
        let digest = list.split_whitespace().find(|word| word.starts_with("sha256:"));
        digest.map(str::to_owned).ok_or_else(|| format!("no digest in {list:?}"))
    }

    /// `--sync` collects at once what no image needs any more.
    fn forget(&self) -> Result<(), Refusal> {
        for name in self.names()? {
            self.ctr(&["images", "remove", "--sync", &name])?;
        }
        let left = self.ctr(&["content", "list", "--quiet"])?;
        assert_eq!(left, "", "containerd still has content");
        let left = self.ctr(&["snapshots", "--snapshotter", "native", "list"])?;
        assert_eq!(left.lines().count(), 1, "containerd still has snapshots beside the heading: {left}");
        Ok(())
    }

    fn tree(&self, reference: &str, platform: &str) -> Tree {
        let (at, archive) = (self.home.data("mounted"), self.home.data("tree.tar"));
        std::fs::create_dir_all(&at).expect("a place to mount");
        let (ctr, socket) = (self.home.program("ctr"), self.home.socket("containerd.sock"));
        let mut command = self.home.command("sh", &["-ec", ARCHIVE, "sh"]);
        command.arg(ctr).arg(socket).args([platform, reference]).arg(at).arg(&archive);
        done(&mut command);
        Tree::of_unpacked(File::open(archive).expect("what tar wrote"))
    }

    /// An artifact has nothing to unpack: `content fetch` gets what `images pull` gets, and stops there.
    fn fetch_artifact(&self, reference: &str) -> Result<Pulled, Refusal> {
        let unpacked = self.remote(&["images", "pull"], &["--snapshotter", "native", reference]);
        let refusal = unpacked.expect_err("`ctr images pull` unpacked an artifact");
        assert!(refusal.contains("mismatched image rootfs and manifest layers"), "{refusal}");
        self.forget()?;
        self.remote(&["content", "fetch"], &[reference])?;
        let digest = self.digest(reference)?;
        let manifest = self.ctr(&["content", "get", &digest])?;
        let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("a manifest");
        let blob = manifest["layers"][0]["digest"].as_str().expect("a digest");
        let output = self.command(&["content", "get", blob]).output().expect("ctr runs");
        assert!(output.status.success(), "{output:?}");
        Ok(Pulled { digests: vec![digest], content: Content::Blob(output.stdout) })
    }
}

impl Client for Ctr {
    fn name(&self) -> &'static str {
        "ctr"
    }

    fn version(&self) -> String {
        done(&mut self.command(&["--version"]))
    }

    fn host(&self) -> &str {
        self.door.host()
    }

    fn trust(&self) {
        self.trusts.store(true, Ordering::SeqCst);
    }

    /// Asks for what is not there: who is let in is told so.
    fn login(&self, password: &str) -> Result<(), Refusal> {
        *self.user.lock().expect("the user") = Some(format!("{}:{password}", self.door.user()));
        let absent = format!("{}/clients/nobody:nothing", self.door.host());
        match self.remote(&["content", "fetch"], &[&absent]) {
            Err(said) if said.contains("not found") => Ok(()),
            Err(refusal) => Err(refusal),
            Ok(said) => panic!("{absent} is there: {said}"),
        }
    }

    fn tells_wrong_password(&self) -> &'static str {
        "401 Unauthorized"
    }

    fn push(&self, item: Item, images: &Images, repository: &str) -> Result<String, Refusal> {
        let layout = match item {
            Item::Image => &images.built[0].layout,
            Item::List => &images.list,
            Item::Artifact => &images.artifact,
        };
        let archive = layout.archive.display().to_string();
        let base = format!("built/{}", item.tag());
        let import = ["images", "import", "--no-unpack", "--all-platforms", "--base-name", &base];
        self.ctr(&[&import[..], &[&archive]].concat())?;
        let target = format!("{repository}:{}", item.tag());
        let built = format!("{base}:built");
        self.remote(&["images", "push"], &[&target, &built])?;
        self.digest(&built)
    }

    fn pull(&self, item: Item, reference: &str, architecture: &str) -> Result<Pulled, Refusal> {
        self.forget()?;
        if item == Item::Artifact {
            return self.fetch_artifact(reference);
        }
        let platform = format!("linux/{architecture}");
        let choice = ["--snapshotter", "native", "--platform", &platform, reference];
        self.remote(&["images", "pull"], &choice)?;
        let content = Content::Tree(self.tree(reference, &platform));
        Ok(Pulled { digests: vec![self.digest(reference)?], content })
    }

    fn conversions(&self, _: Item) -> &'static [Conversion] {
        &[]
    }
}

impl Drop for Ctr {
    fn drop(&mut self) {
        self.containerd.signal(rustix::process::Signal::TERM);
        let begin = Instant::now();
        while self.containerd.poll().is_none() && begin.elapsed() < STOP {
            std::thread::sleep(Duration::from_millis(20));
        }
        if self.containerd.poll().is_none() {
            figure!("clients: containerd did not stop by itself; it is killed");
        }
    }
}
