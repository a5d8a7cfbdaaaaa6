//! What is being written, durably: old drivers write in place, and a crash leaves a part. Owns the files in the spool that tell
//! the next run so.
//!
//! A put's intent has the bytes: once it is there, the put will be done, and readers are given these bytes until it is. A
//! commit's intent says that what stands at the key is not an object yet. Both go when the old driver has written and what it
//! wrote was looked at. Beside them lies which upload made a large object: that is its etag.
//!
//! A commit has happened once the upload's file is gone: by that its session is committed too (contract U14). So the file goes
//! after the note of who made the object, and before the intent.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use longshore_driver_sdk::{DriverError, Key, Reason, Result, UploadId, backend};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::etag;

const INTENTS: &str = ".driver/intents";
const MADE: &str = ".driver/made";
/// There once the store was written to.
const KNOWN: &str = ".driver/store-was-there";
/// A file that is being made.
const NEW: &str = "new";
/// One that can't be read, and is kept for people.
const DAMAGED: &str = "damaged";

pub(crate) struct Intents {
    spool: PathBuf,
    open: Mutex<BTreeMap<String, Intent>>,
}

/// What is to become of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Intent {
    /// The bytes lie behind this record.
    Put { size: u64, etag: String },
    /// An upload's bytes are on their way to it, from this file in the spool.
    Commit { upload: String, file: PathBuf },
}

#[derive(Serialize, Deserialize)]
struct Note {
    key: String,
    intent: Intent,
}

/// Which upload made an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) size: u64,
    pub(crate) upload: String,
}

impl Intents {
    /// Takes in what a former run left. Blocks.
    pub(crate) fn open(spool: &Path) -> Result<Self> {
        let failed = |error| DriverError::io(format!("use spool={}", spool.display()), error);
        for folder in [INTENTS, MADE] {
            fs::create_dir_all(spool.join(folder)).map_err(failed)?;
        }
        let intents = Self { spool: spool.to_owned(), open: Mutex::default() };
        for file in fs::read_dir(spool.join(INTENTS)).map_err(failed)? {
            intents.take_in(&file.map_err(failed)?.path())?;
        }
        let keys = intents.all().len();
        if keys > 0 {
            tracing::info!(keys, "a former run left writes unfinished; they are finished or undone");
        }
        Ok(intents)
    }

    fn take_in(&self, path: &Path) -> Result<()> {
        match path.extension().and_then(|extension| extension.to_str()) {
            // It was never finished, and nobody relied on it.
            Some(NEW) => return fs::remove_file(path).map_err(|error| failed("remove", path, error)),
            Some(_) => return Ok(()),
            None => {}
        }
        match read(path).and_then(|(note, _)| self.take_in_note(path, note)) {
            Err(error) if error.reason() == Reason::ChecksumMismatch => {
                let aside = fs::rename(path, path.with_extension(DAMAGED));
                aside.map_err(|error| failed("put aside", path, error))?;
                tracing::error!(%error, "after a power cut? The write that it was for may be there by half");
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn take_in_note(&self, path: &Path, note: Note) -> Result<()> {
        if let Intent::Commit { upload, file } = &note.intent {
            let key = Key::parse(&note.key).map_err(|error| damaged(path, error))?;
            if self.has_happened(&key, upload, file)? {
                return self.forget(&key);
            }
        }
        self.all().insert(note.key, note.intent);
        Ok(())
    }

    /// The file that is there once the store was written to.
    pub(crate) fn known(&self) -> PathBuf {
        self.spool.join(KNOWN)
    }

    pub(crate) fn is_known(&self) -> Result<bool> {
        let known = self.known();
        backend::blocking(|| known.try_exists()).map_err(|error| failed("look at", &known, error))
    }

    pub(crate) fn note_known(&self) -> Result<()> {
        let known = self.known();
        backend::blocking(|| fs::write(&known, "")).map_err(|error| failed("write", &known, error))
    }

    pub(crate) fn of(&self, key: &str) -> Option<Intent> {
        self.all().get(key).cloned()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.all().keys().cloned().collect()
    }

    /// Those below a prefix.
    pub(crate) fn below(&self, prefix: &str) -> Vec<(String, Intent)> {
        let all = self.all();
        let found = all.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        found.map(|(key, intent)| (key.clone(), intent.clone())).collect()
    }

    /// From here on the put will be done.
    pub(crate) fn put(&self, key: &Key, content: &[u8]) -> Result<()> {
        let intent = Intent::Put { size: content.len() as u64, etag: etag::of_content(content) };
        self.note(key, intent, content)
    }

    /// The bytes of a put that is not done yet.
    pub(crate) fn content(&self, key: &Key) -> Result<Bytes> {
        backend::blocking(|| read(&self.file(INTENTS, key)).map(|(_, content)| content))
    }

    /// From here on nothing is at the key, whatever the old driver says.
    pub(crate) fn commit(&self, key: &Key, upload: &UploadId, file: &Path) -> Result<()> {
        let file = file.strip_prefix(&self.spool).unwrap_or(file).to_owned();
        self.note(key, Intent::Commit { upload: upload.to_string(), file }, &[])
    }

    /// From here on a commit has happened, also for the next run.
    pub(crate) fn take_away(&self, file: &Path) -> Result<()> {
        backend::blocking(|| fs::remove_file(file)).map_err(|error| failed("remove", file, error))
    }

    /// Whether a commit that a former run left had happened. If not, nobody may take it for one later, when its session has been
    /// ended and the file is gone by that.
    pub(crate) fn has_happened(&self, key: &Key, upload: &str, file: &Path) -> Result<bool> {
        match self.last_made(key)? {
            Some(made) if made.upload == upload => {}
            _ => return Ok(false),
        }
        match fs::symlink_metadata(self.spool.join(file)) {
            Ok(_) => self.forget_made(key).map(|()| false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(failed("look at", file, error)),
        }
    }

    fn note(&self, key: &Key, intent: Intent, content: &[u8]) -> Result<()> {
        let note = Note { key: key.to_string(), intent };
        let mut bytes = json(&note)?;
        bytes.extend_from_slice(content);
        self.write(INTENTS, key, &bytes)?;
        self.all().insert(note.key, note.intent);
        Ok(())
    }

    /// It is done, or undone.
    pub(crate) fn forget(&self, key: &Key) -> Result<()> {
        self.remove(INTENTS, key)?;
        self.all().remove(key.as_str());
        Ok(())
    }

    pub(crate) fn note_made(&self, key: &Key, made: &Made) -> Result<()> {
        self.write(MADE, key, &json(made)?)
    }

    /// Which upload made an object; `None`: it was there before, or it was made and deleted by somebody else since, or a power cut
    /// took the note.
    pub(crate) fn made(&self, key: &Key, size: u64) -> Result<Option<Made>> {
        Ok(self.last_made(key)?.filter(|made| made.size == size))
    }

    fn last_made(&self, key: &Key) -> Result<Option<Made>> {
        let path = self.file(MADE, key);
        let text = match backend::blocking(|| fs::read(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| failed("read", &path, error))?,
        };
        Ok(serde_json::from_slice(&text)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "a note of who made an object is damaged"))
            .ok())
    }

    pub(crate) fn forget_made(&self, key: &Key) -> Result<()> {
        self.remove(MADE, key)
    }

    /// Keys have characters, and a length, that names of files may not have.
    fn file(&self, folder: &str, key: &Key) -> PathBuf {
        let name: String = Sha256::digest(key.as_str()).iter().map(|byte| format!("{byte:02x}")).collect();
        self.spool.join(folder).join(name)
    }

    fn write(&self, folder: &str, key: &Key, bytes: &[u8]) -> Result<()> {
        let path = self.file(folder, key);
        let new = path.with_extension(NEW);
        let write = || {
            fs::File::create(&new)?.write_all(bytes)?;
            fs::rename(&new, &path)
        };
        backend::blocking(write).map_err(|error| failed("write", &path, error))
    }

    fn remove(&self, folder: &str, key: &Key) -> Result<()> {
        let path = self.file(folder, key);
        match backend::blocking(|| fs::remove_file(&path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, error)),
            _ => Ok(()),
        }
    }

    // No code panics while it holds this lock, so a poisoned one guards sound data.
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Intent>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|error| DriverError::new(Reason::DriverBug, format!("write a record: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn read(path: &Path) -> Result<(Note, Bytes)> {
    let mut text = Bytes::from(fs::read(path).map_err(|error| failed("read", path, error))?);
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let note: Note = serde_json::from_slice(&text[..end]).map_err(|error| damaged(path, error))?;
    let content = text.split_off((end + 1).min(text.len()));
    match &note.intent {
        Intent::Put { size, .. } if *size != content.len() as u64 => {
            Err(damaged(path, format!("{} bytes, not {size}", content.len())))
        }
        _ => Ok((note, content)),
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> DriverError {
    DriverError::io(format!("{what} {}", path.display()), error)
}

fn damaged(path: &Path, problem: impl std::fmt::Display) -> DriverError {
    let message = format!("{} is damaged: {problem}", path.display());
    DriverError::new(Reason::ChecksumMismatch, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_run_knows_what_was_being_written() {
        let spool = tempfile::tempdir().unwrap();
        let (a, b) = (Key::parse("a/b").unwrap(), Key::parse("a/c").unwrap());
        let upload = UploadId::random().unwrap();
        let intents = Intents::open(spool.path()).unwrap();
        intents.put(&a, b"new\nbytes").unwrap();
        let file = spool.path().join("data");
        fs::write(&file, "bytes").unwrap();
        intents.commit(&b, &upload, &file).unwrap();
        fs::write(spool.path().join(INTENTS).join("x.new"), "half").unwrap();

        let intents = Intents::open(spool.path()).unwrap();
        assert_eq!(intents.keys(), ["a/b", "a/c"]);
        assert_eq!(&intents.content(&a).unwrap()[..], b"new\nbytes");
        let commit = Intent::Commit { upload: upload.to_string(), file: "data".into() };
        assert_eq!(intents.of("a/c"), Some(commit));
        assert_eq!(intents.below("a/c").len(), 1);
        intents.forget(&a).unwrap();
        intents.forget(&b).unwrap();
        assert!(Intents::open(spool.path()).unwrap().keys().is_empty());
    }

    #[test]
    fn a_commit_has_happened_once_the_file_of_its_upload_is_gone() {
        let spool = tempfile::tempdir().unwrap();
        let (key, upload) = (Key::parse("a").unwrap(), UploadId::random().unwrap());
        let file = spool.path().join("data");
        let made = Made { size: 5, upload: upload.to_string() };
        for (is_noted, is_gone) in [(false, false), (false, true), (true, false), (true, true)] {
            fs::write(&file, "bytes").unwrap();
            let intents = Intents::open(spool.path()).unwrap();
            intents.commit(&key, &upload, &file).unwrap();
            if is_noted {
                intents.note_made(&key, &made).unwrap();
            }
            if is_gone {
                intents.take_away(&file).unwrap();
            }
            let intents = Intents::open(spool.path()).unwrap();
            let has_happened = is_noted && is_gone;
            assert_eq!(intents.keys().is_empty(), has_happened, "{is_noted} {is_gone}");
            assert_eq!(intents.made(&key, 5).unwrap().is_some(), has_happened, "{is_noted} {is_gone}");
            // Nor does it happen later, when somebody ends the session.
            let _gone = fs::remove_file(&file);
            assert_eq!(Intents::open(spool.path()).unwrap().keys().is_empty(), has_happened);
            intents.forget(&key).unwrap();
            intents.forget_made(&key).unwrap();
        }
    }

    #[test]
    fn an_object_of_another_size_is_not_the_one_that_was_made() {
        let spool = tempfile::tempdir().unwrap();
        let key = Key::parse("a").unwrap();
        let intents = Intents::open(spool.path()).unwrap();
        let made = Made { size: 7, upload: "u".to_owned() };
        intents.note_made(&key, &made).unwrap();
        assert_eq!(intents.made(&key, 7).unwrap(), Some(made));
        assert_eq!(intents.made(&key, 8).unwrap(), None);
        intents.forget_made(&key).unwrap();
        assert_eq!(intents.made(&key, 7).unwrap(), None);
        fs::write(intents.file(MADE, &key), "").unwrap();
        assert_eq!(intents.made(&key, 7).unwrap(), None, "a damaged note is none");
    }

    #[test]
    fn a_damaged_intent_is_put_aside() {
        let spool = tempfile::tempdir().unwrap();
        Intents::open(spool.path()).unwrap();
        let file = spool.path().join(INTENTS).join("x");
        for text in
            ["nonsense", "", "{\"key\":\"a\",\"intent\":{\"put\":{\"size\":9,\"etag\":\"e\"}}}\nshort"]
        {
            fs::write(&file, text).unwrap();
            for _ in 0..2 {
                assert!(Intents::open(spool.path()).unwrap().keys().is_empty());
            }
            assert_eq!(fs::read_to_string(file.with_extension(DAMAGED)).unwrap(), text);
        }
    }
}
