//! Etags, which old drivers have none of. They name contents (contract clause O3).

use sha2::{Digest as _, Sha256};

/// Of an object that goes in one message: it is read whenever it is looked at.
pub(crate) fn of_content(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of a large one that an upload made: no two uploads make the same key without a delete between them.
pub(crate) fn of_upload(id: &str) -> String {
    format!("u{id}")
}

/// Of a large one of which nothing is known, as the old registry left it: it wrote no layer twice.
pub(crate) fn of_size(size: u64) -> String {
    format!("s{size}")
}
