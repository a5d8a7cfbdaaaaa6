//! A real docker engine pushes a layer of 1 GiB to a registry over each S3 server, and pulls it back.

use std::fs::File;
use std::io::Read;
use std::thread;
use std::time::Instant;

use longshore_end_to_end::bucket::{Bucket, Driver};
use longshore_end_to_end::docker_engine::Engine;
use longshore_end_to_end::layer::write_layer;
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::{Random, Registry, figure};

const LAYER: usize = 1 << 30;
/// What docker tells of a pushed manifest is `REPOSITORY@` and this.
const DIGEST: &str = "sha256:";

/// Fields are dropped in order: the core, its driver, and the server with all that it holds.
struct Place {
    registry: Registry,
    _driver: Driver,
    _bucket: Bucket,
    implementation: Implementation,
}

impl Place {
    async fn start(implementation: Implementation) -> Self {
        let bucket = Bucket::start(implementation).await;
        let driver = bucket.driver("driver");
        let registry = driver.core("").await;
        Self { registry, _driver: driver, _bucket: bucket, implementation }
    }

    fn tag(&self) -> String {
        format!("{}/team/app:1", self.registry.address().replace("127.0.0.1", "localhost"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_pushes_and_pulls_a_layer_of_1_gib_over_each_s3_server() {
    let engine = Engine::start();
    let made = make_image(&engine);
    let [one, two, three] = Implementation::ALL.map(Place::start);
    let (one, two, three) = tokio::join!(one, two, three);
    let places = [one, two, three];
    // docker compresses a layer for each push, which takes one CPU most of the time.
    let digests = thread::scope(|scope| {
        let pushes = places.each_ref().map(|place| scope.spawn(|| push(&engine, place, &made)));
        pushes.map(|push| push.join().expect("a push"))
    });
    for (place, digest) in places.into_iter().zip(digests) {
        engine.remove_image();
        let begin = Instant::now();
        engine.docker(&["pull", "--quiet", &place.tag()]);
        let seconds = begin.elapsed().as_secs_f64();
        figure!("docker: pull of 1 GiB over {:?} took {seconds:.1} s", place.implementation);
        assert_eq!(engine.repository_digest(&place.tag()), digest);
        assert_eq!(engine.image_id(&place.tag()), made, "{:?} gave another image", place.implementation);
    }
}

/// Gives what docker calls it by there.
fn push(engine: &Engine, place: &Place, image: &str) -> String {
    let tag = place.tag();
    engine.docker(&["tag", image, &tag]);
    let begin = Instant::now();
    let said = engine.docker(&["push", &tag]);
    let seconds = begin.elapsed().as_secs_f64();
    figure!("docker: push of 1 GiB over {:?} took {seconds:.1} s", place.implementation);
    let (_, digest) = said.split_once("digest: ").unwrap_or_else(|| panic!("no digest: {said}"));
    let digest = digest.split_whitespace().next().unwrap_or_default();
    assert!(digest.starts_with(DIGEST), "{said}");
    format!("{}@{digest}", tag.trim_end_matches(":1"))
}

/// An image of one layer, which neither gzip nor a server makes smaller; gives its id.
fn make_image(engine: &Engine) -> String {
    let archive = engine.directory("layer").join("layer.tar");
    let content = Content { random: Random::announced("docker over s3"), left: LAYER };
    write_layer(File::create(&archive).expect("an archive"), LAYER as u64, content);
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
