//! Temporary places: data on the disk that holds the build, sockets where paths are short.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The directory of the release binaries: the test executable lies in its `deps`.
pub fn release_directory() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test executable");
    let deps = test.parent().expect("the test executable lies in a directory");
    deps.parent().expect("target/release/deps has a parent").to_owned()
}

/// A release binary of the workspace.
pub fn binary(name: &str) -> PathBuf {
    let path = release_directory().join(name);
    let build =
        "build it with `cargo build --release --workspace --bins`, and the tests with `--release` too";
    assert!(path.is_file(), "{} is missing: {build}", path.display());
    path
}

/// A directory for stores: beside the build, since /tmp may be memory. Removed on drop.
pub fn data_directory() -> TempDir {
    let directory = release_directory().parent().map_or_else(std::env::temp_dir, |target| target.join("tmp"));
    std::fs::create_dir_all(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    tempfile::Builder::new().prefix("end-to-end-").tempdir_in(directory).expect("a temporary directory")
}

/// A directory for sockets (their paths must stay under 108 bytes), mode 0700. Removed on drop.
pub fn socket_directory() -> TempDir {
    tempfile::Builder::new().prefix("longshore-").tempdir().expect("a temporary directory")
}

/// A program that the tests need beside cargo. Debian keeps some of them in sbin.
pub fn tool(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = directories.map(|directory| directory.join(name)).find(|candidate| Path::is_file(candidate));
    found.unwrap_or_else(|| panic!("{name} is missing; install it with `apt-get install -y {package}`"))
}
