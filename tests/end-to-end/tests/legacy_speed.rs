//! One object of 1 GiB written and read through a Python worker, beside the same through the filesystem driver: at least a third
//! and a half of its throughput, in less than 128 MiB. In a program of its own: nothing else is measured along.

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use longshore_driver_sdk::client::RemoteDriver;
use longshore_driver_sdk::{Driver as _, Fence, Key, OpenMode, OpenUpload, ReadRange, UploadId};
use longshore_end_to_end::figures::{mib, peak_memory};
use longshore_end_to_end::instance::dial;
use longshore_end_to_end::old_store::{OldStore, Python, workers};
use longshore_end_to_end::{Process, figure, scratch};

/// A disk that has 2 GiB to write is slow to forget a file.
const PATIENCE: Duration = Duration::from_secs(60);
const SIZE: u64 = 1 << 30;
const PIECE: usize = 256 * 1024;
const PAIRS: usize = 3;
const LEAST_OF_A_READ: f64 = 0.5;
const LEAST_OF_A_WRITE: f64 = 1.0 / 3.0;
const MOST_MEMORY: u64 = 128 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gib_goes_through_a_worker_fast_enough_under_python_3() {
    goes_fast_enough(Python::Three, "Python 3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gib_goes_through_a_worker_fast_enough_under_python_2() {
    goes_fast_enough(Python::Two, "Python 2").await;
}

async fn goes_fast_enough(python: Python, name: &str) {
    let test = format!("a_gib_goes_through_a_worker_fast_enough ({name})");
    let Some(python) = python.of_test(&test) else { return };
    // The two of this program measure one after the other.
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _alone = ALONE.lock().await;
    let store = OldStore::of_files(&python);
    let driver = store.driver("driver");
    let (old, new) = (driver.dialled().await, Filesystem::start().await);
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let name = format!("a/{pair}");
        let (old_write, new_write) = (write(&old, &name).await, write(&new.remote, &name).await);
        let (old_read, new_read) = (read(&old, &name).await, read(&new.remote, &name).await);
        let begin = Instant::now();
        writes.push(ratio(new_write, old_write));
        reads.push(ratio(new_read, old_read));
        for remote in [&old, &new.remote] {
            while let Err(error) = remote.delete(&key(&name), None).await {
                assert!(error.is_transient() && begin.elapsed() < PATIENCE, "{error}");
            }
        }
        figure!(
            "{name}, {pair}: write {old_write:.1?} ({new_write:.1?} by the filesystem driver), read {old_read:.1?} ({new_read:.1?})"
        );
    }
    let memory = |id| (id, peak_memory(id));
    let parts: Vec<_> = [driver.process().id()].into_iter().chain(workers(&driver)).map(memory).collect();
    let sum = parts.iter().map(|(_, peak)| peak).sum::<u64>();
    let (write, read) = (median(writes), median(reads));
    figure!(
        "{name}: write {write:.2}, read {read:.2} of the filesystem driver; {} in {} processes",
        mib(sum),
        parts.len()
    );
    assert!(write >= LEAST_OF_A_WRITE, "{write:.2} of the filesystem driver's throughput");
    assert!(read >= LEAST_OF_A_READ, "{read:.2} of the filesystem driver's throughput");
    assert!(sum < MOST_MEMORY, "{} of memory: {parts:?}", mib(sum));
}

/// Of throughputs; the times are given.
fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn key(text: &str) -> Key {
    Key::parse(text).expect("a key")
}

struct Filesystem {
    remote: RemoteDriver,
    _process: Process,
    _places: [tempfile::TempDir; 2],
}

impl Filesystem {
    /// It promises what old drivers do, so that nobody waits for the disk more than they.
    async fn start() -> Self {
        let (data, sockets) = (scratch::data_directory(), scratch::socket_directory());
        let endpoint = format!("unix://{}", sockets.path().join("driver.sock").display());
        let mut command = Command::new(scratch::binary("longshore-driver-filesystem"));
        command.args(["--endpoint", &endpoint, "durability=os", "init=if-absent"]);
        command.arg(format!("root={}", data.path().join("root").display()));
        let process = Process::spawn("filesystem driver", &mut command);
        process.await_line("listening on", Duration::from_secs(60));
        Self { remote: dial(&endpoint).await, _process: process, _places: [data, sockets] }
    }
}

async fn write(remote: &RemoteDriver, name: &str) -> Duration {
    let piece = Bytes::from((0..PIECE).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    let open = OpenUpload {
        id: UploadId::random().expect("an id"),
        fence: Fence { counter: 1, owner: "test".to_owned() },
        mode: OpenMode::Create { key: key(name), size_hint: Some(SIZE), bookmark: Bytes::new() },
    };
    let begin = Instant::now();
    let (_, mut stream) = remote.open_upload(open).await.expect("a session");
    for _ in 0..SIZE / PIECE as u64 {
        stream.write(piece.clone()).await.expect("a piece");
    }
    stream.commit(SIZE, Bytes::new()).await.expect("a commit");
    begin.elapsed()
}

async fn read(remote: &RemoteDriver, name: &str) -> Duration {
    let begin = Instant::now();
    let reading = remote.read(&key(name), ReadRange::default()).await.expect("a read");
    let length = reading.bytes.try_fold(0, |sum, piece| async move { Ok(sum + piece.len() as u64) }).await;
    assert_eq!(length.expect("all of it"), SIZE);
    begin.elapsed()
}
