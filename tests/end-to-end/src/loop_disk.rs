//! An ext4 disk in a file, and the cutting of its power: the shutdown ioctl stops every write between
//! file system and disk at once, so that after a new mount only what had been made durable is there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::run;
use crate::scratch::{data_directory, tool};

/// EXT4_IOC_SHUTDOWN is `_IOR('X', 125, __u32)`; 2 is EXT4_GOING_FLAGS_NOLOGFLUSH: the journal is not flushed.
/// Rust has no safe call for it; Debian has perl on every machine.
const CUT: &str = r#"sysopen(my $disk, $ARGV[0], 0) or die "$ARGV[0]: $!";
my $flags = pack("L", 2);
defined(ioctl($disk, 0x8004587d, $flags)) or die "EXT4_IOC_SHUTDOWN: $!";"#;

/// Declare it before what runs on it: it is dropped, and unmounted, after that.
pub struct LoopDisk {
    image: PathBuf,
    mount_point: PathBuf,
    mounted: bool,
    _directory: TempDir,
}

impl LoopDisk {
    /// A new, empty and mounted file system. Needs root.
    pub fn new(bytes: u64) -> Self {
        let directory = data_directory();
        let image = directory.path().join("disk.img");
        let mount_point = directory.path().join("mounted");
        File::create(&image).and_then(|file| file.set_len(bytes)).expect("a sparse file");
        std::fs::create_dir(&mount_point).expect("a directory to mount on");
        run(&tool("mkfs.ext4", "e2fsprogs"), &["-q".as_ref(), "-F".as_ref(), image.as_os_str()]);
        let mut disk = Self { image, mount_point, mounted: false, _directory: directory };
        disk.mount();
        disk
    }

    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    pub fn mount(&mut self) {
        let words = ["-o".as_ref(), "loop".as_ref(), self.image.as_os_str(), self.mount_point.as_os_str()];
        run(&tool("mount", "mount"), &words);
        self.mounted = true;
    }

    /// Cuts the power. Whoever still writes gets EIO from now on.
    pub fn cut(&self) {
        let words = ["-e".as_ref(), CUT.as_ref(), self.mount_point.as_os_str()];
        run(&tool("perl", "perl-base"), &words);
    }

    /// Only when nothing has a file open on it any more.
    pub fn unmount(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.mounted {
            match self.try_unmount(&[]) {
                Ok(()) => self.mounted = false,
                Err(reason) => assert!(Instant::now() < deadline, "{reason}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn try_unmount(&self, options: &[&str]) -> Result<(), String> {
        let mut command = std::process::Command::new(tool("umount", "mount"));
        let output =
            command.args(options).arg(&self.mount_point).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for LoopDisk {
    /// A lazy unmount frees the loop device as soon as the last file is closed.
    fn drop(&mut self) {
        if self.mounted && self.try_unmount(&[]).is_err() {
            let _nothing_left_to_try = self.try_unmount(&["--lazy"]);
        }
    }
}
