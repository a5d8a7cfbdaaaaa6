//! Upload sessions in a local directory: `.driver/uploads/<id>/` with `data`, `journal` and `lock`. Owns the order in
//! which things become durable, and what a crash between any two steps means. How a finished file becomes an object is
//! left to a [`Publish`].

mod hold;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::dir::Dir;
use super::journal::{FILES, Journal, Line, Phase};
use super::storage::{Record, SessionStorage};
use crate::driver::{Object, UploadId, UploadState};
use crate::error::{DriverError, Reason, Result};
use crate::key::Key;
use crate::moved::Moved;
use hold::Held;
pub use hold::SpoolHold;

const UPLOADS: &str = ".driver/uploads";
const DATA: &str = "data";
const LOCK: &str = "lock";
/// A session that is being made, or being removed; never seen as one.
const MAKING: &str = ".new-";
const REMOVING: &str = ".gone-";
/// How often a lock that is taken is tried again.
const RETRY: Duration = Duration::from_millis(20);
/// What was being made for so long never will be.
const STALE: Duration = Duration::from_secs(3600);

/// How a finished file becomes an object.
pub trait Publish: Send + Sync + 'static {
    /// Makes the file the object `key`, as durably as the driver promises, and never over an existing object
    /// ([`Reason::KeyExists`]). It may take the file away, or copy it; a copy had better not be seen before the file
    /// was taken away, or a crash in between leaves an open session whose object is there (contract U14). Where a crash
    /// left the file under both names, this finishes the work.
    ///
    /// # Errors
    /// When it can't; the file is still there then.
    fn publish(&self, finished: &Finished<'_>, key: &Key) -> Result<Object>;

    /// The object at a key.
    ///
    /// # Errors
    /// When that can't be found out.
    fn published(&self, key: &Key) -> Result<Option<Object>>;
}

/// A file that has all its bytes, durably.
#[derive(Debug)]
pub struct Finished<'a> {
    /// Of its session.
    pub id: &'a UploadId,
    pub dir: &'a Dir,
    pub name: &'a str,
    /// Open for reading; its position is anywhere.
    pub file: &'a File,
    pub size: u64,
    /// Where is counted what a copy has of it: the core waits as long as that grows.
    pub moved: &'a Moved,
}

/// Sessions below a local root.
pub struct Spool<P>(Arc<Inner<P>>);

struct Inner<P> {
    root: Dir,
    publish: P,
    /// Whether what is acknowledged must outlive a power cut.
    stable: bool,
}

impl<P: Publish> Spool<P> {
    /// `stable`: sync files and directories before anything is acknowledged.
    pub fn new(root: Dir, publish: P, stable: bool) -> Self {
        Self(Arc::new(Inner { root, publish, stable }))
    }

    async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Inner<P>>) -> Result<T> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        joined(tokio::task::spawn_blocking(move || inner.told(work(&inner))).await)
    }
}

/// What a blocking task came to. It fails to come to an end only when the runtime stops or it panicked.
fn joined<T>(outcome: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    outcome.unwrap_or_else(|error| {
        Err(DriverError::new(Reason::DriverBug, format!("file work was broken off: {error}"))
            .with_source(error))
    })
}

#[async_trait]
impl<P: Publish> SessionStorage for Spool<P> {
    type Hold = SpoolHold<P>;

    async fn create(&self, id: &UploadId, record: Record) -> Result<Self::Hold> {
        let id = id.clone();
        self.run(move |inner| inner.create(&id, &record)).await.map(SpoolHold::new)
    }

    async fn hold(&self, id: &UploadId, wait: Duration) -> Result<Self::Hold> {
        let deadline = Instant::now() + wait;
        loop {
            let wanted = id.clone();
            match self.run(move |inner| inner.hold(&wanted)).await {
                // Waiting here, not in the lock: blocking threads are few.
                Err(error) if error.reason() == Reason::Conflict && Instant::now() < deadline => {
                    tokio::time::sleep(RETRY).await;
                }
                other => return other.map(SpoolHold::new),
            }
        }
    }

    async fn read(&self, id: &UploadId) -> Result<Record> {
        let id = id.clone();
        self.run(move |inner| inner.read(&id)).await
    }

    async fn ids(&self, start_after: &str, limit: usize) -> Result<Vec<UploadId>> {
        let start_after = start_after.to_owned();
        self.run(move |inner| inner.ids(&start_after, limit)).await
    }

    async fn object_at(&self, key: &Key) -> Result<Option<Object>> {
        let key = key.clone();
        self.run(move |inner| inner.publish.published(&key)).await
    }

    async fn sweep(&self, now: SystemTime) -> Result<()> {
        self.run(move |inner| inner.sweep(now)).await
    }
}

impl<P> Inner<P> {
    /// What an outcome says once it is known whether the root is there: without it nothing is known to be absent, and
    /// the medium did not fail (contract rule R5).
    fn told<T>(&self, outcome: Result<T>) -> Result<T> {
        let doubtful =
            |reason| matches!(reason, Reason::UploadUnknown | Reason::KeyNotFound | Reason::IoError);
        match outcome {
            Err(error) if doubtful(error.reason()) => match self.root.must_be_there() {
                Ok(()) => Err(error),
                Err(away) => Err(away.with_source(error)),
            },
            other => other,
        }
    }
}

impl<P: Publish> Inner<P> {
    /// The directory of all sessions; `None`: none was ever made here.
    fn uploads(&self) -> Result<Option<Dir>> {
        self.root.must_be_there()?;
        match self.root.dir(UPLOADS) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DriverError::io(format!("open {UPLOADS}"), error)),
        }
    }

    fn make_uploads(&self) -> Result<Dir> {
        if let Some(dir) = self.uploads()? {
            return Ok(dir);
        }
        let make = || {
            let driver = self.root.make_dir(".driver")?;
            let uploads = driver.make_dir("uploads")?;
            self.sync_dirs(&[&uploads, &driver, &self.root])?;
            Ok(uploads)
        };
        make().map_err(|error| DriverError::io(format!("make {UPLOADS}"), error))
    }

    fn sync_dirs(&self, dirs: &[&Dir]) -> io::Result<()> {
        if self.stable { dirs.iter().try_for_each(|dir| dir.sync()) } else { Ok(()) }
    }

    fn session(&self, id: &UploadId) -> Result<(Dir, Dir)> {
        let uploads = self.uploads()?.ok_or_else(|| DriverError::upload_unknown(id))?;
        match uploads.dir(id.as_str()) {
            Ok(dir) => Ok((uploads, dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DriverError::upload_unknown(id)),
            Err(error) => Err(DriverError::io(format!("open the directory of upload {id}"), error)),
        }
    }

    /// A session is made under another name and then renamed: so it is there whole or not at all, and only once.
    fn create(self: &Arc<Self>, id: &UploadId, record: &Record) -> Result<Held<P>> {
        let uploads = self.make_uploads()?;
        let making = format!("{MAKING}{}", UploadId::random()?);
        let made = self.make_session(&uploads, &making, id, record);
        if made.is_err() {
            // The failure to be told is the one that led here; what stays behind goes with the next sweep.
            let _ = remove_session(&uploads, &making);
        }
        made
    }

    fn make_session(
        self: &Arc<Self>,
        uploads: &Dir,
        making: &str,
        id: &UploadId,
        record: &Record,
    ) -> Result<Held<P>> {
        let failed = |error| DriverError::io(format!("make upload {id}"), error);
        let dir = uploads.make_new_dir(making).map_err(failed)?;
        let lock = dir.file(LOCK, OFlags::RDWR | OFlags::CREATE).map_err(failed)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| failed(e.into()))?;
        let data = dir.file(DATA, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL).map_err(failed)?;
        let line = Line::new(Phase::Open, record.key.as_str(), &record.fence, 0, &record.bookmark);
        let journal = Journal::create(&dir, &line, self.stable).map_err(failed)?;
        self.sync_dirs(&[&dir]).map_err(failed)?;
        match uploads.rename_new_dir(making, id.as_str()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(DriverError::new(Reason::UploadExists, format!("upload {id} exists; resume it")));
            }
            other => other.map_err(failed)?,
        }
        self.sync_dirs(&[uploads]).map_err(failed)?;
        let record = Record { updated: line.updated(), ..record.clone() };
        Ok(Held {
            inner: Arc::clone(self),
            id: id.clone(),
            uploads: uploads.try_clone().map_err(failed)?,
            dir,
            data: Some(data),
            journal,
            record,
            moved: Moved::default(),
            _lock: lock,
        })
    }

    fn hold(self: &Arc<Self>, id: &UploadId) -> Result<Held<P>> {
        let (uploads, dir) = self.session(id)?;
        let lock = lock(&dir, id)?;
        if !is_named(&uploads, id, &dir)? {
            return Err(DriverError::upload_unknown(id));
        }
        let failed = |error| DriverError::io(format!("open upload {id}"), error);
        let (journal, line) = Journal::open(&dir, self.stable).map_err(failed)?.ok_or_else(|| damaged(id))?;
        let data = match dir.file(DATA, OFlags::RDWR) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let record = self.derive(id, &dir, &line)?;
        let mut held = Held {
            inner: Arc::clone(self),
            id: id.clone(),
            uploads,
            dir,
            data,
            journal,
            record,
            moved: Moved::default(),
            _lock: lock,
        };
        held.finish_what_a_crash_left(line.state)?;
        Ok(held)
    }

    fn read(&self, id: &UploadId) -> Result<Record> {
        let (uploads, dir) = self.session(id)?;
        // Removed between the two steps: the name is gone, and with it the session.
        let gone = |error: io::Error| match is_named(&uploads, id, &dir) {
            Ok(true) => DriverError::io(format!("read the journal of upload {id}"), error),
            Ok(false) => DriverError::upload_unknown(id),
            Err(error) => error,
        };
        let line = Journal::read(&dir).map_err(gone)?.ok_or_else(|| damaged(id))?;
        self.derive(id, &dir, &line)
    }

    /// What a journal's last line means, together with what is in the directory. Only publishing takes `data` away, so
    /// a session about to commit whose data is gone has committed.
    fn derive(&self, id: &UploadId, dir: &Dir, line: &Line) -> Result<Record> {
        let key = Key::parse(&line.key).map_err(|_| damaged(id))?;
        let state = match line.state {
            Phase::Open => UploadState::Open,
            Phase::Committed => UploadState::Committed,
            Phase::Committing => match dir.stat(DATA) {
                // Two names of one file: publishing was cut off between its two steps.
                Ok(stat) if stat.st_nlink > 1 => UploadState::Committed,
                Ok(_) => UploadState::Open,
                Err(error) if error.kind() == io::ErrorKind::NotFound => UploadState::Committed,
                Err(error) => {
                    return Err(DriverError::io(format!("look at the bytes of upload {id}"), error));
                }
            },
        };
        let object = match state {
            UploadState::Open => None,
            UploadState::Committed => {
                self.publish.published(&key)?.filter(|object| object.size == line.durable)
            }
        };
        let bookmark = Bytes::from(line.bookmark().ok_or_else(|| damaged(id))?);
        let (fence, durable) = (line.fence.clone(), line.durable);
        Ok(Record { state, key, fence, durable, bookmark, updated: line.updated(), object })
    }

    fn ids(&self, start_after: &str, limit: usize) -> Result<Vec<UploadId>> {
        let failed = |error| DriverError::io(format!("list {UPLOADS}"), error);
        let Some(uploads) = self.uploads()? else { return Ok(Vec::new()) };
        let mut first = BTreeSet::new();
        for name in uploads.names().map_err(failed)? {
            let name = name.map_err(failed)?.name;
            if let Ok(id) = UploadId::parse(&name)
                && id.as_str() > start_after
            {
                first.insert(id);
                if first.len() > limit {
                    first.pop_last();
                }
            }
        }
        Ok(first.into_iter().collect())
    }

    fn sweep(&self, now: SystemTime) -> Result<()> {
        let failed = |error| DriverError::io(format!("sweep {UPLOADS}"), error);
        let Some(uploads) = self.uploads()? else { return Ok(()) };
        for name in uploads.names().map_err(failed)? {
            let name = name.map_err(failed)?.name;
            let stale = name.starts_with(MAKING) && age(&uploads, &name, now).is_some_and(|age| age > STALE);
            if stale || name.starts_with(REMOVING) {
                match remove_session(&uploads, &name) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(%name, %error, "what is left of an upload session can't be removed");
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Takes the lock that keeps other processes out. It is a file of its own, as the data file becomes the object and the
/// journal is replaced.
fn lock(dir: &Dir, id: &UploadId) -> Result<File> {
    let failed = |error| DriverError::io(format!("lock upload {id}"), error);
    let file = match dir.file(LOCK, OFlags::RDWR | OFlags::CREATE) {
        // The directory itself is gone: removed since it was opened.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(DriverError::upload_unknown(id)),
        other => other.map_err(failed)?,
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => {
            let message = format!("another writer still holds upload {id}; try again");
            Err(DriverError::new(Reason::Conflict, message))
        }
        Err(error) => Err(failed(error.into())),
    }
}

/// Whether a session's directory still has its name.
fn is_named(uploads: &Dir, id: &UploadId, dir: &Dir) -> Result<bool> {
    let failed = |error| DriverError::io(format!("look at upload {id}"), error);
    let held = dir.stat_self().map_err(failed)?;
    match uploads.stat(id.as_str()) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn remove_session(uploads: &Dir, name: &str) -> io::Result<()> {
    let dir = uploads.dir(name)?;
    for file in [DATA, LOCK].iter().chain(&FILES) {
        match dir.unlink(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    uploads.remove_dir(name)
}

fn age(dir: &Dir, name: &str, now: SystemTime) -> Option<Duration> {
    let seconds = u64::try_from(dir.stat(name).ok()?.st_mtime).ok()?;
    now.duration_since(UNIX_EPOCH + Duration::from_secs(seconds)).ok()
}

fn damaged(id: &UploadId) -> DriverError {
    let message = format!("the journal of upload {id} is damaged; look at {UPLOADS}/{id} and remove it");
    DriverError::new(Reason::ChecksumMismatch, message)
}
