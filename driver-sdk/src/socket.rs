//! Binding a unix socket where something may lie already: what is in use, is no socket, or is another user's stays as it
//! is and is refused; a socket that a killed process of ours left is replaced.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// The longest path that the kernel takes.
pub const MAX_PATH: usize = 107;

/// The file of a bound socket. Dropping it removes the file, if it is still this one's.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl SocketFile {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds with this mode, in a directory that others can't write to; a missing directory is made with mode 0700.
///
/// # Errors
/// When the path is in use, is no socket, belongs to another user, or lies where others could replace it.
pub fn bind(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    prepare_directory(path)?;
    remove_stale(path)?;
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    let inode = std::fs::symlink_metadata(path)?.ino();
    Ok((UnixListener::from_std(listener)?, SocketFile { path: path.to_owned(), inode }))
}

fn prepare_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    if !directory.exists() {
        std::fs::create_dir_all(directory)?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    }
    let mode = std::fs::metadata(directory)?.mode();
    let sticky = mode & 0o1000 != 0;
    if mode & 0o002 != 0 && !sticky {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} is writable by everyone: anybody could replace the socket; chmod it to 0750 or less",
                directory.display()
            ),
        ));
    }
    Ok(())
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} exists and is no socket: remove it or choose another path", path.display()),
        ));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} belongs to user {}: choose another path", path.display(), found.uid()),
        ));
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("another process listens at {}: stop it or choose another path", path.display()),
        ));
    }
    std::fs::remove_file(path)
}
