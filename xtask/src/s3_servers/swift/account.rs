//! An account of a server that speaks Swift, by Swift's own login, with one container.

use std::process::Command;

pub(crate) const CONTAINER: &str = "registry";
/// The account, and its owner.
pub(crate) const USER: &str = "test:tester";

pub(crate) struct Account {
    auth_url: String,
    pub(crate) key: String,
}

impl Account {
    pub(crate) fn new(endpoint: &str, key: String) -> Self {
        Self { auth_url: format!("{endpoint}/auth/v1.0"), key }
    }

    /// One that is there stays as it is.
    pub(crate) fn make_container(&self) -> Result<(), String> {
        let failed = |error: ureq::Error| format!("{} makes no container: {error}", self.auth_url);
        let login = ureq::get(&self.auth_url).header("x-auth-user", USER).header("x-auth-key", &self.key);
        let login = login.call().map_err(failed)?;
        let told = |name: &str| {
            let value = login.headers().get(name).and_then(|value| value.to_str().ok());
            value.ok_or_else(|| format!("the login at {} tells no {name}", self.auth_url))
        };
        let url = format!("{}/{CONTAINER}", told("x-storage-url")?);
        ureq::put(url).header("x-auth-token", told("x-auth-token")?).send_empty().map(drop).map_err(failed)
    }

    /// Gives a core its store here: the core starts the driver, which makes the store in the empty container.
    pub(crate) fn be_store_of(&self, core: &mut Command) {
        let settings = format!("'container={CONTAINER}', 'init=if-empty'");
        core.env("LONGSHORE_STORAGE__MAIN__COMMAND", format!("['longshore-driver-swift', {settings}]"));
        self.let_in(core);
    }

    /// By the environment of Swift's own programs.
    pub(crate) fn let_in(&self, program: &mut Command) {
        program.env("ST_AUTH", &self.auth_url).env("ST_USER", USER).env("ST_KEY", &self.key);
    }
}
