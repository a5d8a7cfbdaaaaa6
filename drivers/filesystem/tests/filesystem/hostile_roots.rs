//! Roots with things in them that no driver put there, and disks that are full. These tests mount file systems.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use longshore_driver_filesystem::{FilesystemDriver, Init};
use longshore_driver_sdk::{
    Condition, Driver, KeyPrefix, ListQuery, ProbeState, Reason, UploadQuery, UploadState,
};

use crate::support::*;

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    let status = status
        .unwrap_or_else(|error| panic!("{program} is needed (apt-get install mount coreutils): {error}"));
    assert!(status.success(), "{program} {arguments:?} failed; this test must run as root");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_pipes_and_devices_are_neither_followed_nor_listed() {
    let store = store().await;
    let driver = &store.driver;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "s").unwrap();
    symlink(outside.path().join("secret"), store.root.join("link")).unwrap();
    symlink(outside.path(), store.root.join("folder")).unwrap();
    symlink("nowhere", store.root.join("dangling")).unwrap();
    symlink("store-id", store.root.join(".driver/other")).unwrap();
    run("mkfifo", &[store.root.join("fifo").to_str().unwrap()]);
    run("mknod", &[store.root.join("device").to_str().unwrap(), "c", "1", "5"]);
    for at in ["link", "folder/secret", "dangling", "fifo", "device"] {
        let at = key(at);
        assert_eq!(reason(driver.stat(&at).await), Reason::KeyConflict, "{at}");
        assert_eq!(reason(driver.get(&at).await), Reason::KeyConflict, "{at}");
        assert_eq!(reason(driver.delete(&at, None).await), Reason::KeyConflict, "{at}");
        for condition in [Condition::Always, Condition::IfAbsent] {
            assert_eq!(reason(driver.put(&at, bytes("x"), condition).await), Reason::KeyConflict, "{at}");
        }
        assert_eq!(reason(create(driver, 1, 1, at.as_str()).await), Reason::KeyConflict, "{at}");
    }
    for recursive in [true, false] {
        for prefix in ["", "folder/"] {
            let prefix = KeyPrefix::parse(prefix).unwrap();
            let query = ListQuery { prefix, recursive, start_after: String::new(), limit: 10 };
            assert!(driver.list(&query).await.unwrap().entries.is_empty());
        }
    }
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"s");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert!(std::fs::metadata(store.root.join("fifo")).unwrap().file_type().is_fifo());
}

/// A file system of one MiB, gone with this.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Self {
        run("mount", &["-t", "tmpfs", "-o", "size=1m", "longshore-test", at.to_str().unwrap()]);
        Self(at.to_owned())
    }

    fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), self.0.to_str().unwrap()]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the driver may still hold the root.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_as_such_and_harms_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(temp.path());
    let driver = FilesystemDriver::open(config(temp.path(), Init::IfEmpty)).await.unwrap();
    driver.put(&key("small"), bytes("kept"), Condition::Always).await.unwrap();
    let (_, mut stream) = create(&driver, 1, 1, "big").await.unwrap();
    stream.write(noise(300_000)).await.unwrap();
    stream.mark(bytes("m"), true).await.unwrap();
    let too_much = noise(2_000_000);
    assert_eq!(reason(driver.put(&key("other"), too_much.clone(), Condition::Always).await), Reason::NoSpace);
    assert_eq!(reason(driver.put(&key("small"), too_much.clone(), Condition::Always).await), Reason::NoSpace);
    // The piece itself may be taken before it is written; what follows tells.
    if stream.write(too_much).await.is_ok() {
        assert_eq!(broken_by(&mut stream).await.reason(), Reason::NoSpace);
    }
    assert_eq!(reason(stream.write(bytes("x")).await), Reason::NoSpace);
    assert_eq!(reason(stream.commit(300_000, bytes("e")).await), Reason::NoSpace);
    drop(stream);
    let upload = driver.get_upload(&id(1)).await.unwrap();
    assert_eq!((upload.state, upload.durable, upload.bookmark), (UploadState::Open, 300_000, bytes("m")));
    let (_, mut stream) = resume(&driver, 1, 2).await.unwrap();
    stream.commit(300_000, bytes("e")).await.unwrap();
    assert!(read_all(&driver, &key("big")).await.unwrap() == noise(300_000));
    assert_eq!(read_all(&driver, &key("small")).await.unwrap(), b"kept");
    assert_eq!(std::fs::read_dir(temp.path().join(".driver/tmp")).unwrap().count(), 0);
    assert!(driver.probe().await.unwrap().bytes_free.unwrap() < 1024 * 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_still_reads() {
    let temp = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(temp.path());
    let driver = FilesystemDriver::open(config(temp.path(), Init::IfEmpty)).await.unwrap();
    driver.put(&key("a"), bytes("x"), Condition::Always).await.unwrap();
    drop(driver);
    disk.remount("ro");
    let driver = FilesystemDriver::open(config(temp.path(), Init::Never)).await.unwrap();
    assert_eq!(driver.probe().await.unwrap().state, ProbeState::ReadOnly);
    assert_eq!(read_all(&driver, &key("a")).await.unwrap(), b"x");
    assert_eq!(reason(driver.put(&key("b"), bytes("x"), Condition::Always).await), Reason::ReadOnly);
    assert_eq!(reason(create(&driver, 1, 1, "c").await), Reason::ReadOnly);
    let gone: Result<bool, _> = driver.delete(&key("a"), None).await;
    assert_eq!(reason(gone), Reason::ReadOnly);
    assert_eq!(driver.get(&key("a")).await.unwrap().1, Bytes::from_static(b"x"));
}

/// What every look-up of something absent says.
async fn absences(driver: &FilesystemDriver) -> Vec<Reason> {
    let nothing = key("nothing/there");
    vec![
        reason(driver.stat(&nothing).await),
        reason(driver.get(&nothing).await),
        reason(read_all(driver, &nothing).await),
        reason(driver.get_upload(&id(9)).await),
        reason(resume(driver, 9, 1).await),
    ]
}

async fn away(driver: &FilesystemDriver) {
    assert_eq!(absences(driver).await, [Reason::BackendUnavailable; 5]);
    assert_eq!(reason(driver.delete(&key("nothing/there"), None).await), Reason::BackendUnavailable);
    assert_eq!(reason(driver.end_upload(&id(9), &fence(1)).await), Reason::BackendUnavailable);
    assert_eq!(reason(create(driver, 8, 1, "new").await), Reason::BackendUnavailable);
    assert_eq!(
        reason(driver.put(&key("b"), bytes("x"), Condition::Always).await),
        Reason::BackendUnavailable
    );
    assert_eq!(reason(driver.probe().await), Reason::BackendUnavailable);
    let prefix = KeyPrefix::parse("nothing/").unwrap();
    let query = ListQuery { prefix, recursive: true, start_after: String::new(), limit: 10 };
    assert_eq!(reason(driver.list(&query).await), Reason::BackendUnavailable);
    let query = UploadQuery { start_after: String::new(), limit: 10, idle_since: None };
    assert_eq!(reason(driver.list_uploads(&query).await), Reason::BackendUnavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_was_renamed_away_states_no_absence_and_is_found_again() {
    let store = store().await;
    let driver = &store.driver;
    driver.put(&key("a"), bytes("x"), Condition::Always).await.unwrap();
    drop(create(driver, 1, 1, "up").await.unwrap());
    let elsewhere = store.root.with_extension("away");
    std::fs::rename(&store.root, &elsewhere).unwrap();
    away(driver).await;
    std::fs::create_dir(&store.root).unwrap();
    away(driver).await;
    std::fs::remove_dir(&store.root).unwrap();
    std::fs::rename(&elsewhere, &store.root).unwrap();
    let absent = [Reason::KeyNotFound; 3].into_iter().chain([Reason::UploadUnknown; 2]).collect::<Vec<_>>();
    assert_eq!(absences(driver).await, absent);
    assert_eq!(read_all(driver, &key("a")).await.unwrap(), b"x");
    assert_eq!(driver.get_upload(&id(1)).await.unwrap().state, UploadState::Open);
    driver.put(&key("b"), bytes("y"), Condition::Always).await.unwrap();
}

/// An ext4 disk in a file.
struct LoopDisk(PathBuf);

impl LoopDisk {
    fn mount(image: &Path, at: &Path) -> Self {
        let file = std::fs::File::create(image).unwrap();
        file.set_len(16 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        std::fs::create_dir(at).unwrap();
        run("mount", &["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()]);
        Self(at.to_owned())
    }

    /// Cuts it off. Rust has no safe call for EXT4_IOC_SHUTDOWN, which is `_IOR('X', 125, __u32)`; perl is there.
    fn cut(&self) {
        let cut = r#"sysopen(my $disk, $ARGV[0], 0) or die; my $flags = pack("L", 2);
            defined(ioctl($disk, 0x8004587d, $flags)) or die "EXT4_IOC_SHUTDOWN: $!";"#;
        run("perl", &["-e", cut, self.0.to_str().unwrap()]);
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Lazily: the driver may still hold the root.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_disk_states_no_absence_even_of_what_was_absent_a_moment_ago() {
    let temp = tempfile::tempdir().unwrap();
    let disk = LoopDisk::mount(&temp.path().join("image"), &temp.path().join("disk"));
    let driver = FilesystemDriver::open(config(&disk.0, Init::IfEmpty)).await.unwrap();
    driver.put(&key("a"), bytes("x"), Condition::Always).await.unwrap();
    drop(create(&driver, 1, 1, "up").await.unwrap());
    // The kernel remembers these absences, and goes on to tell them without asking the disk.
    let absent = [Reason::KeyNotFound; 3].into_iter().chain([Reason::UploadUnknown; 2]).collect::<Vec<_>>();
    assert_eq!(absences(&driver).await, absent);
    disk.cut();
    for reason in absences(&driver).await {
        assert!(!matches!(reason, Reason::KeyNotFound | Reason::UploadUnknown), "{reason:?}");
    }
    assert!(driver.delete(&key("nothing/there"), None).await.is_err());
    assert!(driver.end_upload(&id(9), &fence(1)).await.is_err());
    assert!(driver.probe().await.is_err());
    let query = UploadQuery { start_after: String::new(), limit: 10, idle_since: None };
    assert!(driver.list_uploads(&query).await.is_err(), "the session is there");
}
