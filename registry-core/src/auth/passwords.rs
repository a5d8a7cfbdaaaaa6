//! Checking passwords without letting them cost the registry: off the runtime's threads, few at once, and each good one
//! once in a while. Owns the reload of the file: a broken new one keeps the old.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::Refusal;
use super::htpasswd::{Htpasswd, HtpasswdProblem};

/// Checks at once: each takes a core for a tenth of a second, and argon2id its memory.
const AT_ONCE: usize = 2;
/// Checks that may wait.
const QUEUE: usize = 64;
/// How long a good password is not checked again.
const REMEMBERED: Duration = Duration::from_secs(60);
const REMEMBERED_MOST: usize = 4096;

pub(super) struct Passwords {
    file: RwLock<Arc<Htpasswd>>,
    permits: Semaphore,
    waiting: AtomicUsize,
    /// Keyed hashes of good credentials, never these themselves.
    good: Mutex<HashMap<[u8; 32], Instant>>,
    secret: [u8; 32],
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

impl Passwords {
    pub(super) async fn start(path: PathBuf, every: Duration) -> Result<Arc<Self>, HtpasswdProblem> {
        let content = read(&path).await?;
        let file = parse(&path, &content)?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| HtpasswdProblem::Read {
            path: path.clone(),
            error: std::io::Error::other(error.to_string()),
        })?;
        let passwords = Arc::new(Self {
            file: RwLock::new(Arc::new(file)),
            permits: Semaphore::new(AT_ONCE),
            waiting: AtomicUsize::new(0),
            good: Mutex::default(),
            secret,
        });
        tokio::spawn(reload(
            Arc::downgrade(&passwords),
            path,
            content,
            every.max(Duration::from_millis(100)),
        ));
        Ok(passwords)
    }

    /// # Errors
    /// `Busy` when too many checks wait already: nobody is let in, and nobody is told that the password is wrong.
    pub(super) async fn check(&self, user: &str, password: &str) -> Result<bool, Refusal> {
        let key = self.key(user, password);
        if self.is_remembered(&key) {
            return Ok(true);
        }
        let _place = Place::take(&self.waiting).ok_or(Refusal::Busy)?;
        let _permit = self.permits.acquire().await.map_err(|_| Refusal::Busy)?;
        let file = self.file();
        let (of, name, given) = (file.clone(), user.to_owned(), password.to_owned());
        let good =
            tokio::task::spawn_blocking(move || of.verify(&name, &given)).await.map_err(|_| Refusal::Busy)?;
        // Not if the file was replaced meanwhile.
        if good && Arc::ptr_eq(&file, &self.file()) {
            self.remember(key);
        }
        Ok(good)
    }

    fn file(&self) -> Arc<Htpasswd> {
        self.file.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn key(&self, user: &str, password: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update((user.len() as u64).to_le_bytes());
        hash.update(user);
        hash.update(password);
        hash.finalize().into()
    }

    fn is_remembered(&self, key: &[u8; 32]) -> bool {
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.get(key).is_some_and(|since| since.elapsed() < REMEMBERED)
    }

    fn remember(&self, key: [u8; 32]) {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= REMEMBERED_MOST {
            good.retain(|_, since| since.elapsed() < REMEMBERED);
        }
        if good.len() < REMEMBERED_MOST {
            good.insert(key, Instant::now());
        }
    }

    fn replace(&self, file: Htpasswd) {
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(file);
        self.good.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A place among those who wait; given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < QUEUE + AT_ONCE).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, HtpasswdProblem> {
    let failed = |error| HtpasswdProblem::Read { path: path.to_owned(), error };
    let mode = tokio::fs::metadata(path).await.map_err(failed)?.mode();
    if mode & 0o022 != 0 {
        return Err(HtpasswdProblem::Writable { path: path.to_owned() });
    }
    tokio::fs::read(path).await.map_err(failed)
}

fn parse(path: &Path, content: &[u8]) -> Result<Htpasswd, HtpasswdProblem> {
    Htpasswd::parse(content).map_err(|(line, problem)| HtpasswdProblem::Line {
        path: path.to_owned(),
        line,
        problem,
    })
}

/// By content, as certificates are; ends with the last user of the passwords.
async fn reload(passwords: std::sync::Weak<Passwords>, path: PathBuf, mut seen: Vec<u8>, every: Duration) {
    let mut told = false;
    loop {
        tokio::time::sleep(every).await;
        let Some(passwords) = passwords.upgrade() else { return };
        let content = match read(&path).await {
            Ok(content) => content,
            Err(error) => {
                if !told {
                    tracing::error!(%error, "the passwords can't be read again: the old ones stay in use");
                }
                told = true;
                continue;
            }
        };
        told = false;
        if content == seen {
            continue;
        }
        match parse(&path, &content) {
            Ok(file) => {
                passwords.replace(file);
                tracing::info!(htpasswd = %path.display(), "the new passwords are in use");
            }
            Err(error) => tracing::error!(%error, "the new passwords are broken: the old ones stay in use"),
        }
        seen = content;
    }
}
