//! A session on the disk: `uploads/ID/` with `record` (a `v1::Upload`), `data` (an object's file to be), `claim` (the
//! newest writer) and `lock` (held by the one that writes). Owns what is durable of a session, and how two processes
//! agree on its writer.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use bytes::Bytes;
use longshore_driver_proto::v1;
use prost::Message as _;
use rustix::fs::FlockOperation;

use crate::faults::Fault;
use crate::refusal::{
    BACKEND_UNAVAILABLE, FENCED, KEY_EXISTS, KEY_NOT_FOUND, REQUEST_NOT_UNDERSTOOD, Reason, Refusal, Result,
    UPLOAD_EXISTS, UPLOAD_UNKNOWN,
};
use crate::store::{HEADER, Store, now, random};

const MAX_BOOKMARK: usize = 4096;

/// Who wants to write. The nonce tells writers with equal fences apart.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) fence: v1::Fence,
    nonce: String,
}

/// A session that is held by this writer.
pub(crate) struct Session {
    pub(crate) record: v1::Upload,
    pub(crate) claim: Claim,
    data: Option<File>,
    _lock: File,
}

/// The larger wins: the counter, then the owner in byte order (U4).
pub(crate) fn is_smaller(fault: Fault, one: &v1::Fence, other: &v1::Fence) -> bool {
    match fault {
        Fault::FenceIgnored => false,
        Fault::FenceOwnerIgnored => one.counter < other.counter,
        Fault::FenceOwnerFirst => {
            (one.owner.as_bytes(), one.counter) < (other.owner.as_bytes(), other.counter)
        }
        Fault::FenceEqualRefused => {
            (one.counter, one.owner.as_bytes()) <= (other.counter, other.owner.as_bytes())
        }
        _ => (one.counter, one.owner.as_bytes()) < (other.counter, other.owner.as_bytes()),
    }
}

pub(crate) fn fenced(fault: Fault, id: &str) -> Refusal {
    let reason = if fault == Fault::FenceReason { UPLOAD_EXISTS } else { FENCED };
    Refusal::new(reason, format!("a later writer has upload {id}"))
}

impl Store {
    /// U21.
    pub(crate) fn check_upload_id(&self, id: &str) -> Result<()> {
        let fits = |byte: u8| match byte {
            b'0'..=b'9' | b'a'..=b'f' => true,
            b'A'..=b'F' => self.fault == Fault::UploadIdUpperTaken,
            _ => false,
        };
        let is_long =
            id.len() == 32 || (self.fault == Fault::UploadIdAnyLength && !id.is_empty() && id.len() < 99);
        if is_long && id.bytes().all(fits) {
            return Ok(());
        }
        Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "an upload id is 32 lower-case hexadecimal digits"))
    }

    /// U5.
    pub(crate) fn check_bookmark(&self, bookmark: &Bytes) -> Result<()> {
        let most = match self.fault {
            Fault::BookmarkLongTaken => usize::MAX,
            Fault::BookmarkLongRefused => 1024,
            _ => MAX_BOOKMARK,
        };
        if bookmark.len() <= most {
            return Ok(());
        }
        Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, format!("a bookmark of {} bytes", bookmark.len())))
    }

    pub(crate) fn session(&self, id: &str) -> PathBuf {
        self.uploads().join(id)
    }

    pub(crate) fn unknown(&self, id: &str) -> Refusal {
        if !self.is_there() && self.fault != Fault::ErrorAsAbsence {
            return Refusal::new(BACKEND_UNAVAILABLE, "the store is not there");
        }
        let reason = match self.fault {
            Fault::UploadUnknownReason => KEY_NOT_FOUND,
            _ => UPLOAD_UNKNOWN,
        };
        Refusal::new(reason, format!("no upload {id}"))
    }

    fn lost(&self, id: &str, error: &io::Error) -> Refusal {
        match error.kind() {
            io::ErrorKind::NotFound => self.unknown(id),
            _ => self.failed(id, error),
        }
    }

    /// What is durable of a session.
    pub(crate) fn load(&self, id: &str) -> Result<v1::Upload> {
        if self.fault == Fault::UploadsOfInstance {
            let place = fs::read_to_string(self.session(id).join("place"));
            if place.is_ok_and(|place| place != self.endpoint()) {
                return Err(self.unknown(id));
            }
        }
        let record = self.read_record(id, "record")?;
        if record.state() != v1::UploadState::Open {
            return Ok(record);
        }
        // A commit that did its work, and died before it said so (U14).
        let Ok(commit) = self.read_record(id, "commit") else { return Ok(record) };
        let etag = commit.object.as_ref().map(|object| object.etag.clone());
        let present = self.present(&record.key)?;
        if present.is_some_and(|object| Some(object.etag) == etag) { Ok(commit) } else { Ok(record) }
    }

    fn read_record(&self, id: &str, name: &str) -> Result<v1::Upload> {
        let bytes = fs::read(self.session(id).join(name)).map_err(|error| self.lost(id, &error))?;
        v1::Upload::decode(Bytes::from(bytes))
            .map_err(|error| Refusal::new(crate::refusal::IO_ERROR, format!("{id}: {error}")))
    }

    /// Puts a record of a session in place, durably.
    pub(crate) fn save(&self, record: &v1::Upload, name: &str) -> Result<()> {
        let from = self.written(&[], &record.encode_to_vec())?;
        let to = self.session(&record.upload_id).join(name);
        fs::rename(&from, &to).map_err(|error| self.lost(&record.upload_id, &error))?;
        self.sync_parent(&to)
    }

    /// U1, U2: a session that the same create has made is left as it is.
    pub(crate) fn create_session(
        &self,
        id: &str,
        fence: &v1::Fence,
        create: &v1::write_open::Create,
    ) -> Result<()> {
        let _lock = self.lock()?;
        match self.load(id) {
            Ok(record) => return self.is_repeated(&record, fence, create),
            Err(refusal) if refusal.reason == self.unknown(id).reason => self.reachable()?,
            Err(refusal) => return Err(refusal),
        }
        if self.present(&create.key)?.is_some() && self.fault != Fault::CreateTakenKey {
            return Err(Refusal::new(KEY_EXISTS, format!("there is an object at {}", create.key)));
        }
        let mut record = v1::Upload {
            upload_id: id.to_owned(),
            state: v1::UploadState::Open.into(),
            key: create.key.clone(),
            durable: 0,
            bookmark: create.bookmark.clone(),
            fence: Some(fence.clone()),
            mark_every: 0,
            updated: now(),
            object: None,
        };
        if self.fault == Fault::CreateBookmarkLost {
            record.bookmark.clear();
        }
        let folder = self.temporary()?;
        let make = || -> Result<()> {
            fs::create_dir(&folder).map_err(|error| self.failed(id, &error))?;
            let place = |name: &str, header: &[u8], content: &[u8]| {
                let from = self.written(header, content)?;
                fs::rename(from, folder.join(name)).map_err(|error| self.failed(id, &error))
            };
            place("lock", &[], &[])?;
            place("place", &[], self.endpoint().as_bytes())?;
            place("data", random()?.as_bytes(), &[])?;
            place("record", &[], &record.encode_to_vec())
        };
        make()?;
        let to = self.session(id);
        if self.fault == Fault::CreateLost {
            self.lose_new(&to)?;
        }
        self.sync_parent(&folder.join("record"))?;
        fs::rename(&folder, &to).map_err(|error| self.failed(id, &error))?;
        self.sync_parent(&to)
    }

    fn is_repeated(
        &self,
        record: &v1::Upload,
        fence: &v1::Fence,
        create: &v1::write_open::Create,
    ) -> Result<()> {
        let is_fresh = record.state() == v1::UploadState::Open && record.durable == 0;
        let is_same = record.key == create.key && record.fence.as_ref() == Some(fence);
        let repeats = match self.fault {
            Fault::CreateRepeatRefused => false,
            Fault::CreateRepeatAnyKey => is_fresh && record.fence.as_ref() == Some(fence),
            Fault::CreateRepeatAnyFence => is_fresh && record.key == create.key,
            Fault::CreateRepeatLate => is_same,
            Fault::CreateTakenId => true,
            _ => is_fresh && is_same,
        };
        if repeats {
            return Ok(());
        }
        let reason: Reason = if self.fault == Fault::UploadExistsReason { KEY_EXISTS } else { UPLOAD_EXISTS };
        Err(Refusal::new(reason, format!("upload {} exists", record.upload_id)))
    }

    /// Announces a writer: from here on, the one before may change nothing more than it has begun (U4).
    pub(crate) fn claim(&self, id: &str, fence: &v1::Fence) -> Result<Claim> {
        let record = self.load(id)?;
        let _lock = self.lock()?;
        let is_late = match self.newest(id)? {
            Some(claim) => is_smaller(self.fault, fence, &claim.fence),
            // The first writer has the fence that the session was made with.
            None => record.fence.is_some_and(|made| made != *fence && is_smaller(self.fault, fence, &made)),
        };
        if is_late {
            return Err(fenced(self.fault, id));
        }
        let claim = Claim { fence: fence.clone(), nonce: random()? };
        let written = v1::Upload {
            upload_id: claim.nonce.clone(),
            fence: Some(fence.clone()),
            ..v1::Upload::default()
        };
        let from = self.written(&[], &written.encode_to_vec())?;
        fs::rename(from, self.session(id).join("claim")).map_err(|error| self.lost(id, &error))?;
        Ok(claim)
    }

    fn newest(&self, id: &str) -> Result<Option<Claim>> {
        match self.read_record(id, "claim") {
            Ok(claim) => Ok(Some(Claim { fence: claim.fence.unwrap_or_default(), nonce: claim.upload_id })),
            Err(refusal) if refusal.reason == self.unknown(id).reason => self.reachable().map(|()| None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Fails once a later writer has claimed the session, or ended it.
    pub(crate) fn check_claim(&self, id: &str, claim: &Claim) -> Result<()> {
        match self.newest(id)? {
            Some(newest) if newest.nonce == claim.nonce => Ok(()),
            Some(_) if self.fault == Fault::FencedWriterGoesOn => Ok(()),
            None if !self.session(id).is_dir() => Err(self.unknown(id)),
            _ => Err(fenced(self.fault, id)),
        }
    }

    /// The right to write, if nobody has it.
    pub(crate) fn try_hold(&self, id: &str) -> Result<Option<File>> {
        let path = self.session(id).join("lock");
        let lock = File::open(&path).map_err(|error| self.lost(id, &error))?;
        let how = match self.fault {
            Fault::FencedWriterGoesOn => FlockOperation::NonBlockingLockShared,
            _ => FlockOperation::NonBlockingLockExclusive,
        };
        match rustix::fs::flock(&lock, how) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(self.failed(id, &error.into())),
        }
        // The session may have been ended, and its id used anew, between the two.
        let there = fs::metadata(&path).map_err(|error| self.lost(id, &error))?;
        let held = lock.metadata().map_err(|error| self.failed(id, &error))?;
        Ok((there.ino() == held.ino()).then_some(lock))
    }

    /// Takes a held session over: what lies behind the last durable mark is forgotten (U3).
    pub(crate) fn take_over(&self, id: &str, claim: Claim, lock: File) -> Result<Session> {
        let mut record = self.load(id)?;
        let folder = self.session(id);
        let is_open = record.state() == v1::UploadState::Open;
        let data = if is_open {
            let file = fs::OpenOptions::new().read(true).write(true).open(folder.join("data"));
            Some(file.map_err(|error| self.lost(id, &error))?)
        } else {
            None
        };
        if let Some(data) = &data {
            if self.fault == Fault::ResumeKeepsTail {
                record.durable = data.metadata().map_or(record.durable, |data| data.len() - HEADER);
            }
            if self.fault == Fault::ResumeAtZero {
                record.durable = 0;
            }
            data.set_len(HEADER + record.durable).map_err(|error| self.failed(id, &error))?;
        }
        if self.fault == Fault::FenceLost {
            self.lose_change(&folder.join("record"))?;
            self.lose_new(&folder.join("claim"))?;
        }
        record.fence = Some(claim.fence.clone());
        record.updated = now();
        self.save(&record, "record")?;
        Ok(Session { record, claim, data, _lock: lock })
    }

    /// U16: the directory goes in one step.
    pub(crate) fn remove_session(&self, id: &str) -> Result<()> {
        let kept = self.temporary()?;
        let path = self.session(id);
        fs::rename(&path, &kept).map_err(|error| self.lost(id, &error))?;
        self.sync_parent(&path)?;
        if self.fault == Fault::EndLost {
            return self.note(Some(&kept), &path);
        }
        // What is left of it in `tmp/` is nobody's.
        let _ = fs::remove_dir_all(&kept);
        Ok(())
    }
}

impl Session {
    pub(crate) fn id(&self) -> &str {
        &self.record.upload_id
    }

    pub(crate) fn is_committed(&self) -> bool {
        self.record.state() == v1::UploadState::Committed
    }

    pub(crate) fn write(&self, store: &Store, offset: u64, data: &[u8]) -> Result<()> {
        let Some(file) = &self.data else { return Ok(()) };
        file.write_all_at(data, HEADER + offset).map_err(|error| store.failed(self.id(), &error))
    }

    /// Makes a mark durable: the bytes first, then the record that counts them (U8, U9).
    pub(crate) fn mark(&mut self, store: &Store, offset: u64, bookmark: Bytes) -> Result<()> {
        if let Some(file) = &self.data {
            file.sync_data().map_err(|error| store.failed(self.id(), &error))?;
        }
        let path = store.session(self.id()).join("record");
        if store.fault == Fault::FlushLost {
            store.lose_change(&path)?;
        }
        self.record.durable = offset;
        self.record.bookmark = bookmark;
        self.record.updated = now();
        store.save(&self.record, "record")
    }

    /// U12: the object is there in one step, or the session is as it was.
    pub(crate) fn commit(&mut self, store: &Store, size: u64, bookmark: Bytes) -> Result<()> {
        let folder = store.session(self.id());
        let object_path = store.object_path(&self.record.key);
        let mut etag = [0; HEADER as usize];
        if let Some(file) = &self.data {
            file.read_exact_at(&mut etag, 0)
                .and_then(|()| file.set_len(HEADER + size))
                .and_then(|()| file.sync_all())
                .map_err(|error| store.failed(self.id(), &error))?;
        }
        let object = v1::Object {
            key: self.record.key.clone(),
            size,
            etag: String::from_utf8_lossy(&etag).into_owned(),
            modified: now(),
        };
        let mut record = self.record.clone();
        record.set_state(v1::UploadState::Committed);
        record.durable = size;
        record.object = Some(object);
        record.updated = now();
        if store.fault != Fault::CommitBookmarkOld {
            record.bookmark = bookmark;
        }
        if store.fault == Fault::CommitLost {
            store.lose_change(&folder.join("record"))?;
            store.lose_new(&object_path)?;
        }
        store.save(&record, "commit")?;
        self.publish(store, &object_path).inspect_err(|refusal| {
            // After any other failure the object may be there: the next look decides.
            if refusal.reason == KEY_EXISTS {
                let _ = fs::remove_file(folder.join("commit"));
            }
        })?;
        store.save(&record, "record")?;
        self.record = record;
        self.data = None;
        if store.fault != Fault::CommitLost {
            let _ = fs::remove_file(folder.join("data"));
        }
        Ok(())
    }

    fn publish(&self, store: &Store, object: &std::path::Path) -> Result<()> {
        let races = store.fault == Fault::CommitRaces;
        let mut is_taken = false;
        if races {
            is_taken = store.present(&self.record.key)?.is_some();
            std::thread::sleep(crate::store::GAP);
        }
        let _lock = store.lock()?;
        if !races {
            is_taken = store.present(&self.record.key)?.is_some();
        }
        if is_taken && !matches!(store.fault, Fault::CommitReplaces | Fault::CreateTakenKey) {
            return Err(Refusal::new(KEY_EXISTS, format!("there is an object at {}", self.record.key)));
        }
        let data = store.session(self.id()).join("data");
        store.make_parents(object)?;
        if store.fault == Fault::CommitInPlace {
            return copy_slowly(&data, object).map_err(|error| store.failed(self.id(), &error));
        }
        let link = store.temporary()?;
        fs::hard_link(&data, &link).map_err(|error| store.failed(self.id(), &error))?;
        store.place(&link, object)
    }
}

/// The fault that readers, and a kill, see half of.
fn copy_slowly(from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
    let content = fs::read(from)?;
    let file = File::create(to)?;
    let half = content.len() / 2;
    file.write_all_at(&content[..half.max(HEADER as usize)], 0)?;
    std::thread::sleep(5 * crate::store::GAP);
    file.write_all_at(&content, 0)?;
    file.sync_all()
}
