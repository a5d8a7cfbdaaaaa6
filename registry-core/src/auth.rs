//! Who a caller is, and what they may do. [`Auth::authenticate`] tells the one, [`Auth::authorise`] is the one function
//! that every operation passes through; tokens and policies will come in behind these two.

mod htpasswd;
mod passwords;
mod rules;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::config::auth::{Access, Anonymous};
use crate::oci::RepositoryName;
pub use htpasswd::HtpasswdProblem;
use passwords::Passwords;
use rules::Rules;

/// A caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// There is no login here.
    Everybody,
    /// Did not say who they are.
    Anonymous,
    User(Arc<str>),
}

impl Caller {
    /// For logs.
    pub fn name(&self) -> &str {
        match self {
            Self::Everybody | Self::Anonymous => "-",
            Self::User(name) => name,
        }
    }
}

/// What an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'a> {
    /// To be known, where callers must be: what is told is filtered by [`Auth::may_read`].
    Entry,
    /// To look at the registry as a whole, as its operator does.
    Operate,
    Pull(&'a RepositoryName),
    Push(&'a RepositoryName),
    Delete(&'a RepositoryName),
}

impl Need<'_> {
    /// Whether the store would change.
    pub fn writes(self) -> bool {
        matches!(self, Self::Push(_) | Self::Delete(_))
    }
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("log in first: this needs a user name and a password")]
    Unauthorized,
    #[error("the user name or the password is wrong, or the Authorization header is not of the scheme Basic")]
    BadCredentials,
    #[error("{user} may not {what} {repository}; ask the operator of this registry for access")]
    Denied { user: String, what: &'static str, repository: String },
    #[error("{user} may not see this: it is for users who may read every repository")]
    NoOperator { user: String },
    #[error(
        "this registry is read-only at this time: pulls go on, and its operator can say when pushes will"
    )]
    ReadOnly,
    #[error("too many passwords are being checked at this moment; try again")]
    Busy,
}

/// The login of a registry; without one, everybody may do everything.
#[derive(Debug, Default)]
pub struct Auth(Option<Login>);

#[derive(Debug)]
struct Login {
    passwords: Arc<Passwords>,
    anonymous: Anonymous,
    rules: Rules,
}

impl Auth {
    /// Reads the password file, and goes on looking at it.
    ///
    /// # Errors
    /// When it can't be used.
    pub async fn start(config: Option<crate::config::auth::Auth>) -> Result<Self, HtpasswdProblem> {
        let Some(config) = config else { return Ok(Self(None)) };
        let passwords = Passwords::start(config.htpasswd, config.reload_every).await?;
        Ok(Self(Some(Login { passwords, anonymous: config.anonymous, rules: Rules::new(config.rules) })))
    }

    /// Who sends this `Authorization` header. Wrong credentials are refused even where none would do.
    pub async fn authenticate(&self, authorization: Option<&[u8]>) -> Result<Caller, Refusal> {
        let Some(login) = &self.0 else { return Ok(Caller::Everybody) };
        let Some(header) = authorization else { return Ok(Caller::Anonymous) };
        let (user, password) = basic(header).ok_or(Refusal::BadCredentials)?;
        if user.is_empty() && password.is_empty() {
            // What podman and skopeo send when they have no credentials.
            return Ok(Caller::Anonymous);
        }
        if login.passwords.check(&user, &password).await? {
            Ok(Caller::User(user.into()))
        } else {
            Err(Refusal::BadCredentials)
        }
    }

    /// Whether this caller may do this. A repository that is not there and one that may not be seen look alike: neither is
    /// looked at before this said yes.
    pub fn authorise(&self, caller: &Caller, need: Need<'_>) -> Result<(), Refusal> {
        let (what, repository, wanted) = match need {
            Need::Entry => return self.enter(caller),
            Need::Operate => return self.operate(caller),
            Need::Pull(name) => ("pull from", name, Access::Read),
            Need::Push(name) => ("push to", name, Access::Full),
            Need::Delete(name) => ("delete from", name, Access::Full),
        };
        if self.access(caller, repository) >= wanted {
            return Ok(());
        }
        match caller {
            Caller::User(user) => {
                Err(Refusal::Denied { user: user.to_string(), what, repository: repository.to_string() })
            }
            Caller::Anonymous | Caller::Everybody => Err(Refusal::Unauthorized),
        }
    }

    /// Whether this caller is shown this repository, in lists and as the source of a mount.
    pub fn may_read(&self, caller: &Caller, repository: &RepositoryName) -> bool {
        self.access(caller, repository) >= Access::Read
    }

    pub fn may_push(&self, caller: &Caller, repository: &RepositoryName) -> bool {
        self.access(caller, repository) >= Access::Full
    }

    fn enter(&self, caller: &Caller) -> Result<(), Refusal> {
        match (&self.0, caller) {
            (Some(login), Caller::Anonymous | Caller::Everybody) if login.anonymous == Anonymous::None => {
                Err(Refusal::Unauthorized)
            }
            _ => Ok(()),
        }
    }

    fn operate(&self, caller: &Caller) -> Result<(), Refusal> {
        match (&self.0, caller) {
            (None, _) => Ok(()),
            (Some(login), Caller::User(user)) if login.rules.reads_all(user) => Ok(()),
            (Some(_), Caller::User(user)) => Err(Refusal::NoOperator { user: user.to_string() }),
            (Some(_), Caller::Anonymous | Caller::Everybody) => Err(Refusal::Unauthorized),
        }
    }

    fn access(&self, caller: &Caller, repository: &RepositoryName) -> Access {
        let Some(login) = &self.0 else { return Access::Full };
        let anybody = match login.anonymous {
            Anonymous::None => Access::None,
            Anonymous::Pull => Access::Read,
        };
        match caller {
            Caller::User(user) => login.rules.access(user, repository).max(anybody),
            Caller::Anonymous | Caller::Everybody => anybody,
        }
    }
}

/// `Basic <base64 of user:password>` (RFC 7617).
fn basic(header: &[u8]) -> Option<(String, String)> {
    let (scheme, rest) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    let decoded = BASE64.decode(rest.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::auth::{Auth as Config, Rule};

    fn header(user: &str, password: &str) -> Vec<u8> {
        format!("Basic {}", BASE64.encode(format!("{user}:{password}"))).into_bytes()
    }

    async fn auth(anonymous: Anonymous, rules: Vec<Rule>) -> (Auth, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("htpasswd");
        std::fs::write(
            &file,
            format!("ann:{}\nbob:{}\n", bcrypt::hash("a", 4).unwrap(), bcrypt::hash("b", 4).unwrap()),
        )
        .unwrap();
        let config =
            Config { htpasswd: file, anonymous, rules, reload_every: std::time::Duration::from_secs(1) };
        (Auth::start(Some(config)).await.unwrap(), directory)
    }

    #[tokio::test]
    async fn a_caller_is_who_the_password_says_and_a_wrong_one_is_nobody() {
        let (auth, _directory) = auth(Anonymous::Pull, Vec::new()).await;
        let ann = auth.authenticate(Some(&header("ann", "a"))).await;
        assert_eq!(ann, Ok(Caller::User("ann".into())));
        for wrong in [
            header("ann", "b"),
            header("eve", "a"),
            header("ann", ""),
            b"Bearer x".to_vec(),
            b"Basic %".to_vec(),
            vec![0xff],
        ] {
            assert_eq!(auth.authenticate(Some(&wrong)).await, Err(Refusal::BadCredentials));
        }
        assert_eq!(auth.authenticate(None).await, Ok(Caller::Anonymous));
        assert_eq!(auth.authenticate(Some(&header("", ""))).await, Ok(Caller::Anonymous));
    }

    #[tokio::test]
    async fn nothing_is_allowed_that_was_not_given() {
        let rules = vec![
            Rule { users: vec!["ann".into()], prefixes: vec![], access: Access::Full },
            Rule { users: vec!["bob".into()], prefixes: vec!["team".into()], access: Access::Read },
        ];
        let (strict, _directory) = auth(Anonymous::None, rules.clone()).await;
        let (open, _directory) = auth(Anonymous::Pull, rules).await;
        let (team, other): (RepositoryName, RepositoryName) =
            ("team/app".parse().unwrap(), "other".parse().unwrap());
        let user = |name: &str| Caller::User(name.into());
        let needs = [
            Need::Entry,
            Need::Operate,
            Need::Pull(&team),
            Need::Push(&team),
            Need::Delete(&team),
            Need::Pull(&other),
            Need::Push(&other),
        ];
        let table = [
            (&strict, user("ann"), [true; 7]),
            (&strict, user("bob"), [true, false, true, false, false, false, false]),
            (&strict, user("eve"), [true, false, false, false, false, false, false]),
            (&strict, Caller::Anonymous, [false; 7]),
            (&open, user("bob"), [true, false, true, false, false, true, false]),
            (&open, Caller::Anonymous, [true, false, true, false, false, true, false]),
        ];
        for (auth, caller, expected) in table {
            for (need, expected) in needs.into_iter().zip(expected) {
                let outcome = auth.authorise(&caller, need);
                assert_eq!(outcome.is_ok(), expected, "{caller:?} {need:?}: {outcome:?}");
                let denied = matches!(outcome, Err(Refusal::Denied { .. }));
                assert!(
                    !denied || matches!(caller, Caller::User(_)),
                    "only who is known is told that they may not"
                );
            }
        }
        assert!(Auth::default().authorise(&Caller::Everybody, Need::Delete(&team)).is_ok());
    }
}
