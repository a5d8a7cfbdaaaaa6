//! Keys (contract section K): their grammar, and the path below the store that stands for one.

use std::path::{Path, PathBuf};

use crate::faults::Fault;
use crate::refusal::{INVALID_KEY, REQUEST_NOT_UNDERSTOOD, Refusal, Result};

/// The one key of the driver's own that the core may name (K4).
pub(crate) const STORE_ID: &str = ".driver/store-id";
const MAX_KEY: usize = 1024;
const MAX_COMPONENT: usize = 255;

/// Refuses what is no key, unless the fault of this call is planted.
pub(crate) fn check(fault: Fault, key: &str, unchecked: Fault) -> Result<()> {
    if fault == unchecked {
        return Ok(());
    }
    grammar(fault, key)?;
    let is_own = key == ".driver" || key.starts_with(".driver/");
    if is_own && fault != Fault::OwnKeysOpen {
        return Err(invalid(fault, key));
    }
    if fault == Fault::OwnKeysByPrefix && key.starts_with(".driver") {
        return Err(invalid(fault, key));
    }
    Ok(())
}

/// The same for calls that may name the store's id.
pub(crate) fn check_or_store_id(fault: Fault, key: &str, unchecked: Fault) -> Result<()> {
    if key == STORE_ID && fault != Fault::StoreIdHidden { Ok(()) } else { check(fault, key, unchecked) }
}

/// Refuses what is no prefix of a listing (L2).
pub(crate) fn check_prefix(fault: Fault, prefix: &str) -> Result<()> {
    if prefix.is_empty() || fault == Fault::ListAnyPrefix {
        return Ok(());
    }
    let folder = prefix.strip_suffix('/').ok_or_else(|| invalid(fault, prefix))?;
    grammar(fault, folder)
}

/// K1.
fn grammar(fault: Fault, key: &str) -> Result<()> {
    let mut text = key;
    if fault == Fault::KeySlashesTaken {
        text = text.trim_matches('/');
    }
    let most = if fault == Fault::Key1024Refused { MAX_KEY - 1 } else { MAX_KEY };
    let is_short = text.len() <= most || fault == Fault::KeyLongTaken;
    let is_shallow = fault != Fault::KeyDeepRefused || text.split('/').count() <= 32;
    if !text.is_empty() && is_short && is_shallow && text.split('/').all(|part| is_component(fault, part)) {
        return Ok(());
    }
    Err(invalid(fault, key))
}

pub(crate) fn is_component(fault: Fault, part: &str) -> bool {
    match part {
        "" => return fault == Fault::KeyEmptyComponentTaken,
        "." | ".." => return fault == Fault::KeyDotsTaken,
        _ => {}
    }
    let most = if fault == Fault::KeyComponent255Refused { MAX_COMPONENT - 1 } else { MAX_COMPONENT };
    let is_short = part.len() <= most || fault == Fault::KeyComponentLongTaken;
    let fits = |byte: u8| match byte {
        b'~' if fault == Fault::KeyTildeRefused => false,
        _ if byte.is_ascii_alphanumeric() || b"._+=,@~-".contains(&byte) => true,
        _ => fault == Fault::KeyCharactersTaken,
    };
    is_short && part.bytes().all(fits)
}

fn invalid(fault: Fault, key: &str) -> Refusal {
    let reason = if fault == Fault::KeyReason { REQUEST_NOT_UNDERSTOOD } else { INVALID_KEY };
    let shown: String = key.chars().take(64).collect();
    Refusal::new(reason, format!("{shown:?} is not a valid key"))
}

/// The path of a key below `top`. Whatever a fault lets through, it stays below.
pub(crate) fn path(fault: Fault, top: &Path, key: &str) -> PathBuf {
    let mut path = top.to_owned();
    for part in key.split('/') {
        path.push(file_name(part));
    }
    if fault == Fault::KeysFoldCase { PathBuf::from(folded(&path, top)) } else { path }
}

fn folded(path: &Path, top: &Path) -> String {
    let below = path.strip_prefix(top).unwrap_or(path).to_string_lossy().to_ascii_lowercase();
    format!("{}/{below}", top.display())
}

fn file_name(part: &str) -> String {
    if is_component(Fault::None, part) {
        return part.to_owned();
    }
    let escaped: String = part.bytes().map(|byte| format!("%{byte:02x}")).take(80).collect();
    format!("%{escaped}")
}
