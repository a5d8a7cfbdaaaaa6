//! OpenStack Swift, and with it what asks Keystone who somebody is.

pub(crate) mod account;
pub(crate) mod server;

use std::path::PathBuf;

use super::virtualenv;
use crate::tool_directory;

/// Each package of one version.
const REQUIREMENTS: &str = include_str!("swift-requirements.txt");
/// The file, as pip is told.
const REQUIREMENTS_FILE: &str = "xtask/src/s3_servers/swift-requirements.txt";

/// The virtualenv, made first where it is missing.
pub(crate) fn provide() -> Result<PathBuf, String> {
    let version = virtualenv::version(REQUIREMENTS, REQUIREMENTS_FILE, "swift")?;
    let what = format!("swift {version} into a virtualenv (half a minute)");
    // One without keystonemiddleware had the version alone for a name.
    let name = format!("swift-{version}-keystone");
    tool_directory::provide(&name, &what, |directory| virtualenv::make(directory, REQUIREMENTS_FILE))
}
