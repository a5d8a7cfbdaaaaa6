//! A real docker engine pushes an image of ten layers and 1 GiB to `longshore serve`, and pulls it back.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use longshore_end_to_end::figures::{open_files_below, program};
use longshore_end_to_end::registry::{CORE, DRIVER, START};
use longshore_end_to_end::{Random, Registry, figure};

use longshore_end_to_end::docker_engine::Engine;

const LAYERS: usize = 10;
const IMAGE: usize = 1 << 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_pushes_and_pulls_an_image_of_ten_layers_and_1_gib() {
    let mut random = Random::announced("docker");
    let mut registry = Registry::start().await;
    let engine = Engine::start();
    let repository = format!("{}/team/app", registry.address().replace("127.0.0.1", "localhost"));
    let tag = format!("{repository}:1");

    let context = engine.directory("context");
    write_context(&context, &mut random);
    engine.docker(&["build", "--quiet", "--tag", &tag, &context.display().to_string()]);
    fs::remove_dir_all(&context).expect("remove the build context");
    let built = engine.image_id(&tag);
    let layers = engine.docker(&["image", "inspect", "--format", "{{len .RootFS.Layers}} {{.Size}}", &tag]);
    figure!("docker: built {layers} (layers, bytes)");
    assert!(layers.starts_with(&format!("{LAYERS} ")), "{layers}");

    let watch = Watch::begin(&registry);
    timed("push", || engine.docker(&["push", "--quiet", &tag]));
    let digest = engine.repository_digest(&tag);
    assert!(digest.starts_with(&format!("{repository}@sha256:")), "{digest}");

    for (what, reference) in [("pull by tag", &tag), ("pull by digest", &digest)] {
        engine.remove_image();
        timed(what, || engine.docker(&["pull", "--quiet", reference]));
        assert_eq!(engine.image_id(reference), built, "{what} gave another image");
    }
    watch.end();

    // Nothing is sent twice: every layer is found by HEAD.
    engine.docker(&["tag", &digest, &format!("{repository}:2")]);
    let again = timed("push of what is there", || engine.docker(&["push", &format!("{repository}:2")]));
    assert_eq!(again.matches("Layer already exists").count(), LAYERS, "{again}");
    engine.docker(&["manifest", "create", "--insecure", &format!("{repository}:list"), &tag]);
    engine.docker(&["manifest", "push", "--insecure", &format!("{repository}:list")]);
    engine.remove_image();
    engine.docker(&["pull", "--quiet", &format!("{repository}:list")]);
    assert_eq!(engine.image_id(&format!("{repository}:list")), built);
    registry.stop_core(START);
}

/// Pseudo-random files, so that neither gzip nor a shared layer saves a byte.
fn write_context(context: &Path, random: &mut Random) {
    let mut dockerfile = "FROM scratch\n".to_owned();
    for layer in 0..LAYERS {
        let length = IMAGE / LAYERS + usize::from(layer < IMAGE % LAYERS);
        let mut file = File::create(context.join(format!("layer{layer}"))).expect("a file of the context");
        let mut left = length;
        while left > 0 {
            let piece = random.bytes(left.min(1 << 20));
            file.write_all(&piece).expect("a file of the context");
            left -= piece.len();
        }
        writeln!(dockerfile, "COPY layer{layer} /layer{layer}").expect("a line of text");
    }
    fs::write(context.join("Dockerfile"), dockerfile).expect("the Dockerfile");
}

fn timed(what: &str, work: impl FnOnce() -> String) -> String {
    let begin = Instant::now();
    let said = work();
    figure!("docker: {what} took {:.1} s", begin.elapsed().as_secs_f64());
    said
}

/// Looks again and again at who has files of the store open.
struct Watch {
    stop: Arc<AtomicBool>,
    watcher: JoinHandle<(usize, usize)>,
}

impl Watch {
    fn begin(registry: &Registry) -> Self {
        let (core, driver) = (registry.core().id(), registry.driver_pid());
        assert_eq!(program(core).as_deref(), Some(CORE));
        assert_eq!(program(driver).as_deref(), Some(DRIVER));
        let store = registry.store().canonicalize().expect("the store");
        let stop = Arc::new(AtomicBool::new(false));
        let watcher = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let (mut of_core, mut of_driver) = (0, 0);
                while !stop.load(Ordering::SeqCst) {
                    of_core += open_files_below(core, &store).len();
                    of_driver += files(driver, &store);
                    thread::sleep(Duration::from_millis(20));
                }
                (of_core, of_driver)
            }
        });
        Self { stop, watcher }
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        let (of_core, of_driver) = self.watcher.join().expect("the watcher");
        figure!(
            "docker: blobs' files seen open {of_driver} times in the driver, any file of the store {of_core} times in the core"
        );
        assert_eq!(of_core, 0, "the core had files of the store open");
        assert!(of_driver > 0, "the driver had no blob open");
    }
}

/// Those that hold blobs' bytes: objects, and the data of uploads.
fn files(process: u32, store: &Path) -> usize {
    let open = open_files_below(process, store);
    open.iter().filter(|path| path.starts_with(store.join("objects")) || path.ends_with("data")).count()
}
