//! Real driver processes on one root: conditions and fences between them, and `kill -9` in the middle of uploads.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use longshore_driver_sdk::client::{Deadlines, Remote, RemoteDriver};
use longshore_driver_sdk::endpoint::{Endpoint, TrustedPeer};
use longshore_driver_sdk::{Condition, Driver, Reason, UploadState};

use crate::support::*;

/// A driver process, killed when this is dropped.
struct Process {
    child: Child,
    remote: RemoteDriver,
}

impl Process {
    async fn start(root: &Path, socket: PathBuf) -> Self {
        let endpoint = Endpoint::Unix(socket);
        let child = Command::new(env!("CARGO_BIN_EXE_longshore-driver-filesystem"))
            .args([
                "--endpoint",
                &endpoint.to_string(),
                &format!("root={}", root.display()),
                "init=if-absent",
            ])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let remote = RemoteDriver::new(Remote {
            endpoint,
            trusted: TrustedPeer::default(),
            store_id: None,
            deadlines: Deadlines::default(),
            core_instance: "test".to_owned(),
        });
        let process = Self { child, remote };
        process.remote.connected(Duration::from_secs(20)).await.unwrap();
        process
    }

    fn kill(&mut self) {
        // Killed already: then there is nothing to kill, and wait says so too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn count_up(driver: &RemoteDriver, times: usize) {
    let mut left = times;
    while left > 0 {
        let (object, content) = driver.get(&key("n")).await.unwrap();
        let value: u32 = std::str::from_utf8(&content).unwrap().parse().unwrap();
        let condition = Condition::IfMatch(object.etag.unwrap());
        match driver.put(&key("n"), Bytes::from((value + 1).to_string()), condition).await {
            Ok(_) => left -= 1,
            Err(error) => assert_eq!(error.reason(), Reason::PreconditionFailed),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_lose_no_update_of_a_counter() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("root");
    let one = Process::start(&root, temp.path().join("1.sock")).await;
    let two = Process::start(&root, temp.path().join("2.sock")).await;
    one.remote.put(&key("n"), bytes("0"), Condition::Always).await.unwrap();
    futures_util::join!(count_up(&one.remote, 50), count_up(&two.remote, 50), count_up(&one.remote, 50));
    assert_eq!(read_all(&two.remote, &key("n")).await.unwrap(), b"150");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_moves_from_process_to_process_through_kills() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("root");
    let content = noise(8_000_000);
    let mut process = Process::start(&root, temp.path().join("0.sock")).await;
    drop(create(&process.remote, 1, 1, "objects/x").await.unwrap());
    for round in 1..=8_u64 {
        let (upload, mut stream) = resume(&process.remote, 1, round + 1).await.unwrap();
        let durable = usize::try_from(upload.durable).unwrap();
        assert_eq!(durable, usize::try_from(round - 1).unwrap() * 1_000_000);
        let (marked, unmarked) = (durable + 1_000_000, (durable + 1_500_000).min(content.len()));
        for piece in content.slice(durable..marked).chunks(200_000) {
            stream.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        stream.mark(Bytes::from(round.to_string()), true).await.unwrap();
        // Whether this arrives before the kill is all the same.
        let _ = stream.write(content.slice(marked..unmarked)).await;
        process.kill();
        drop(stream);
        process = Process::start(&root, temp.path().join(format!("{round}.sock"))).await;
        let upload = process.remote.get_upload(&id(1)).await.unwrap();
        assert_eq!((upload.durable, upload.bookmark), (marked as u64, Bytes::from(round.to_string())));
    }
    let (_, mut stream) = resume(&process.remote, 1, 20).await.unwrap();
    stream.commit(8_000_000, bytes("e")).await.unwrap();
    process.kill();
    let process = Process::start(&root, temp.path().join("last.sock")).await;
    assert_eq!(process.remote.get_upload(&id(1)).await.unwrap().state, UploadState::Committed);
    assert!(read_all(&process.remote, &key("objects/x")).await.unwrap() == content);
}
