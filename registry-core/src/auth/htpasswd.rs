//! A password file: `user:hash` lines, as `htpasswd -B` writes them, or with argon2id hashes in PHC form. Other schemes are
//! refused: they are too cheap to guess.

use std::collections::HashMap;
use std::path::PathBuf;

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2};

/// A password file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HtpasswdProblem {
    #[error("cannot read the password file {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("the password file {path} can be written by others than its owner; chmod 600 or 640 it")]
    Writable { path: PathBuf },
    #[error("{path}, line {line}: {problem}")]
    Line { path: PathBuf, line: usize, problem: LineProblem },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    #[error("not of the form user:hash")]
    NoColon,
    #[error("the hash is neither bcrypt (htpasswd -B) nor argon2id")]
    Scheme,
    #[error("this user has a line already")]
    Twice,
    #[error("the file is not UTF-8")]
    NotText,
}

/// Without `Debug`: hashes are secrets.
#[derive(Clone, PartialEq, Eq)]
enum Hash {
    Bcrypt(String),
    Argon2id(String),
}

#[derive(Default)]
pub(super) struct Htpasswd {
    users: HashMap<String, Hash>,
}

impl std::fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Htpasswd").field("users", &self.users.len()).finish()
    }
}

impl Htpasswd {
    /// The line's number, from 1, and what is wrong with it.
    pub(super) fn parse(content: &[u8]) -> Result<Self, (usize, LineProblem)> {
        let text = std::str::from_utf8(content).map_err(|_| (1, LineProblem::NotText))?;
        let mut users = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let failed = |problem| (number + 1, problem);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = line.split_once(':').ok_or_else(|| failed(LineProblem::NoColon))?;
            if user.is_empty() {
                return Err(failed(LineProblem::NoColon));
            }
            let hash = Hash::parse(hash).ok_or_else(|| failed(LineProblem::Scheme))?;
            if users.insert(user.to_owned(), hash).is_some() {
                return Err(failed(LineProblem::Twice));
            }
        }
        Ok(Self { users })
    }

    /// Costs as much for a user who is not there as for one who is. Blocks.
    pub(super) fn verify(&self, user: &str, password: &str) -> bool {
        match self.users.get(user) {
            Some(hash) => hash.verify(password),
            None => {
                if let Some(another) = self.users.values().next() {
                    let _whatever = another.verify(password);
                }
                false
            }
        }
    }
}

impl Hash {
    fn parse(text: &str) -> Option<Self> {
        if ["$2y$", "$2a$", "$2b$"].iter().any(|scheme| text.starts_with(scheme)) {
            return text.parse::<bcrypt::HashParts>().ok().map(|_| Self::Bcrypt(text.to_owned()));
        }
        let hash = PasswordHash::new(text).ok()?;
        let argon2id =
            Algorithm::new(hash.algorithm.as_str()).is_ok_and(|algorithm| algorithm == Algorithm::Argon2id);
        argon2id.then(|| Self::Argon2id(text.to_owned()))
    }

    fn verify(&self, password: &str) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Argon2id(hash) => PasswordHash::new(hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::PasswordHasher as _;

    #[test]
    fn bcrypt_and_argon2id_are_taken_and_nothing_cheaper() {
        let bcrypt = bcrypt::hash("secret", 4).unwrap().replace("$2b$", "$2y$");
        let argon2 = Argon2::default().hash_password(b"secret").unwrap().to_string();
        let file = Htpasswd::parse(format!("# users\n\nann:{bcrypt}\r\nbob:{argon2}\n").as_bytes()).unwrap();
        for user in ["ann", "bob"] {
            assert!(file.verify(user, "secret"), "{user}");
            assert!(!file.verify(user, "Secret") && !file.verify(user, ""), "{user}");
        }
        assert!(!file.verify("eve", "secret"));
        let argon2i = argon2.replace("$argon2id$", "$argon2i$");
        for (line, problem) in [
            ("ann", LineProblem::NoColon),
            (":x", LineProblem::NoColon),
            ("ann:secret", LineProblem::Scheme),
            ("ann:$apr1$salt$hash", LineProblem::Scheme),
            ("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", LineProblem::Scheme),
            (&format!("ann:{argon2i}"), LineProblem::Scheme),
            ("ann:$2y$05$short", LineProblem::Scheme),
        ] {
            let problem_seen = Htpasswd::parse(format!("bob:{bcrypt}\n{line}\n").as_bytes()).unwrap_err();
            assert_eq!(problem_seen, (2, problem), "{line}");
        }
        assert_eq!(
            Htpasswd::parse(format!("a:{bcrypt}\na:{bcrypt}").as_bytes()).unwrap_err(),
            (2, LineProblem::Twice)
        );
        assert_eq!(Htpasswd::parse(b"\xff").unwrap_err().1, LineProblem::NotText);
    }
}
