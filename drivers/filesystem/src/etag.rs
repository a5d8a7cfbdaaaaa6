//! Etags. Owns what tells one content of a key from the next: for small objects, which are overwritten, a hash of the
//! content; for large ones, which are written once, what the file system knows of the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::Stat;
use sha2::{Digest, Sha256};

/// Up to here the content itself is hashed: inode, size and times can repeat within one tick of the clock.
const HASHED: u64 = 64 * 1024;
/// Of larger ones, so much of either end.
const SAMPLE: u64 = 4 * 1024;

/// The etag of an open file.
pub(crate) fn of(file: &File, stat: &Stat) -> io::Result<String> {
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    if size <= HASHED {
        return Ok(of_small(&read(file, 0, size)?));
    }
    let mut ends = read(file, 0, SAMPLE)?;
    ends.extend(read(file, size - SAMPLE, SAMPLE)?);
    let (mtime, ctime) = ((stat.st_mtime, stat.st_mtime_nsec), (stat.st_ctime, stat.st_ctime_nsec));
    let times = format!("{:x}.{:x}-{:x}.{:x}", mtime.0, mtime.1, ctime.0, ctime.1);
    Ok(format!("f{:x}-{size:x}-{times}-{}", stat.st_ino, hash(&ends)))
}

/// Whether the content alone makes the etag.
pub(crate) fn is_small(stat: &Stat) -> bool {
    u64::try_from(stat.st_size).is_ok_and(|size| size <= HASHED)
}

/// The etag of a small object, whose content was read already.
pub(crate) fn of_small(content: &[u8]) -> String {
    format!("c{}", hash(content))
}

fn read(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut content = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut content, offset)?;
    Ok(content)
}

fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etag(content: &[u8]) -> String {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, content).unwrap();
        of(&file, &rustix::fs::fstat(&file).unwrap()).unwrap()
    }

    #[test]
    fn small_contents_have_the_etag_of_their_bytes_and_large_ones_of_their_file() {
        assert_eq!(etag(b"x"), etag(b"x"));
        assert_ne!(etag(b"x"), etag(b"y"));
        assert_ne!(etag(b""), etag(b"x"));
        assert_eq!(etag(&[1; 64 * 1024]), etag(&[1; 64 * 1024]));
        let large = vec![1; 64 * 1024 + 1];
        let mut changed = large.clone();
        changed[3] = 2;
        assert_ne!(etag(&large), etag(&changed));
        let two = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()].map(|mut file| {
            io::Write::write_all(&mut file, &large).unwrap();
            let stat = rustix::fs::fstat(&file).unwrap();
            (of(&file, &stat).unwrap(), file)
        });
        assert_ne!(two[0].0, two[1].0, "two files that are there at once");
    }
}
