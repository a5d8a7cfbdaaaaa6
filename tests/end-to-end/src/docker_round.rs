//! A real docker engine pushes a layer to registries over servers, and pulls it back.

use std::fs::File;
use std::io::Read;
use std::thread;
use std::time::Instant;

use crate::docker_engine::Engine;
use crate::figures::mib;
use crate::layer::write_layer;
use crate::{Random, Registry, figure};

/// A large layer.
pub const GIB: usize = 1 << 30;
/// What docker tells of a pushed manifest is `REPOSITORY@` and this.
const DIGEST: &str = "sha256:";

/// A registry, with what it stands on. Fields are dropped in order: the core, its driver, and the server with all that it
/// holds.
pub struct Place<D, S> {
    registry: Registry,
    _driver: D,
    _server: S,
    name: String,
}

impl<D, S> Place<D, S> {
    /// The name is for what is told of it.
    pub fn new(registry: Registry, driver: D, server: S, name: String) -> Self {
        Self { registry, _driver: driver, _server: server, name }
    }

    fn tag(&self) -> String {
        format!("{}/team/app:1", self.registry.address().replace("127.0.0.1", "localhost"))
    }
}

/// A layer of so many bytes to all at once, and back from one after the other, each of which goes away afterwards.
pub fn pushes_and_pulls<D: Sync, S: Sync>(places: Vec<Place<D, S>>, layer: usize) {
    let engine = Engine::start();
    let made = make_image(&engine, layer);
    let size = mib(layer as u64);
    // docker compresses a layer for each push, which takes one CPU most of the time.
    let digests: Vec<_> = thread::scope(|scope| {
        let (engine, made) = (&engine, &made);
        let pushes: Vec<_> =
            places.iter().map(|place| scope.spawn(move || push(engine, place, made, layer))).collect();
        pushes.into_iter().map(|push| push.join().expect("a push")).collect()
    });
    for (place, digest) in places.into_iter().zip(digests) {
        engine.remove_image();
        let begin = Instant::now();
        engine.docker(&["pull", "--quiet", &place.tag()]);
        let seconds = begin.elapsed().as_secs_f64();
        figure!("docker: pull of {size} over {} took {seconds:.1} s", place.name);
        assert_eq!(engine.repository_digest(&place.tag()), digest);
        assert_eq!(engine.image_id(&place.tag()), made, "{} gave another image", place.name);
    }
}

/// Gives what docker calls it by there.
fn push<D, S>(engine: &Engine, place: &Place<D, S>, image: &str, layer: usize) -> String {
    let tag = place.tag();
    engine.docker(&["tag", image, &tag]);
    let begin = Instant::now();
    let said = engine.docker(&["push", &tag]);
    let seconds = begin.elapsed().as_secs_f64();
    figure!("docker: push of {} over {} took {seconds:.1} s", mib(layer as u64), place.name);
    let (_, digest) = said.split_once("digest: ").unwrap_or_else(|| panic!("no digest: {said}"));
    let digest = digest.split_whitespace().next().unwrap_or_default();
    assert!(digest.starts_with(DIGEST), "{said}");
    format!("{}@{digest}", tag.trim_end_matches(":1"))
}

/// An image of one layer, which neither gzip nor a server makes smaller; gives its id.
fn make_image(engine: &Engine, layer: usize) -> String {
    let archive = engine.directory("layer").join("layer.tar");
    let content = Content { random: Random::announced("docker"), left: layer };
    write_layer(File::create(&archive).expect("an archive"), layer as u64, content);
    let id = engine.docker(&["import", &archive.display().to_string()]);
    std::fs::remove_file(archive).expect("remove the archive");
    id
}

/// Pseudo-random bytes.
struct Content {
    random: Random,
    left: usize,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = buffer.len().min(self.left);
        self.random.fill(&mut buffer[..size]);
        self.left -= size;
        Ok(size)
    }
}
