//! OpenStack Keystone, and beside it a store with nobody but an administrator in it: to make one takes seven seconds, to copy
//! it none.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::virtualenv;
use crate::step::succeed;
use crate::{console, tool_directory};

/// Each package of one version.
const REQUIREMENTS: &str = include_str!("keystone-requirements.txt");
/// The file, as pip is told.
const REQUIREMENTS_FILE: &str = "xtask/src/s3_servers/keystone-requirements.txt";
/// The tests' Keystone listens on loopback, and lives as long as a test.
const PASSWORD: &str = "administering";
/// The catalogue's own address of Keystone: Keystone fills in what its configuration says when it runs.
const URL: &str = "$(public_endpoint)s/v3";

/// The store is `store` in the directory of the virtualenv.
pub(crate) fn provide() -> Result<(), String> {
    let version = virtualenv::version(REQUIREMENTS, REQUIREMENTS_FILE, "keystone")?;
    let what = format!("keystone {version} into a virtualenv (a minute)");
    tool_directory::provide(&format!("keystone-{version}"), &what, fill).map(drop)
}

fn fill(directory: &Path) -> Result<(), String> {
    virtualenv::make(directory, REQUIREMENTS_FILE)?;
    console::say("keystone-manage bootstrap");
    let (store, configuration) = (directory.join("store"), directory.join("keystone.conf"));
    let failed = |error: std::io::Error| format!("cannot make {}: {error}", store.display());
    fs::create_dir(&store).map_err(failed)?;
    fs::write(&configuration, text(&store, &directory.join("keystone.log"))).map_err(failed)?;
    let (user, group) = (rustix::process::geteuid().to_string(), rustix::process::getegid().to_string());
    let keys = |what| [what, "--keystone-user", &user, "--keystone-group", &group];
    for arguments in [&["db_sync"][..], &keys("fernet_setup"), &keys("credential_setup"), &BOOTSTRAP] {
        let mut manage = Command::new(directory.join("bin/python"));
        manage.arg(directory.join("bin/keystone-manage")).arg("--config-file").arg(&configuration);
        succeed(manage.args(arguments).env("PYTHONWARNINGS", "ignore"))?;
    }
    Ok(())
}

const BOOTSTRAP: [&str; 11] = [
    "bootstrap",
    "--bootstrap-password",
    PASSWORD,
    "--bootstrap-region-id",
    "north",
    "--bootstrap-public-url",
    URL,
    "--bootstrap-internal-url",
    URL,
    "--bootstrap-admin-url",
    URL,
];

/// What is not named here would be looked for, and made, in /etc/keystone.
fn text(store: &Path, log: &Path) -> String {
    let (store, log) = (store.display(), log.display());
    format!(
        "[DEFAULT]\nlog_file = {log}\n[database]\nconnection = sqlite:///{store}/keystone.db\n\
         [fernet_tokens]\nkey_repository = {store}/fernet\n[fernet_receipts]\nkey_repository = {store}/fernet\n\
         [credential]\nkey_repository = {store}/credential\n[identity]\npassword_hash_rounds = 4\n"
    )
}
