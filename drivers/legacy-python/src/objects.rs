//! The rules for each key, which old drivers do not keep by themselves: a write is there whole or not at all, two of one key
//! come one after the other, and what is absent is absent only where the backend can be reached.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use longshore_driver_sdk::backend::{self, Start, Turns};
use longshore_driver_sdk::sessions::Finished;
use longshore_driver_sdk::{DriverError, Key, Limits, Object, ReadRange, Reading, Reason, Result};

use crate::etag;
use crate::intents::{Intent, Intents, Made};
use crate::python::{Facts, Found, Names, Python, joined};
use crate::readers::Readers;

pub(crate) struct Objects {
    pub(crate) python: Python,
    /// `None`: nothing is written.
    intents: Option<Intents>,
    turns: Turns,
    readers: Readers,
    pub(crate) facts: Start<Facts>,
}

/// An object, and its bytes where they go in one message.
struct Seen {
    object: Object,
    content: Option<Bytes>,
}

impl Objects {
    pub(crate) fn new(python: Python, intents: Option<Intents>) -> Arc<Self> {
        Arc::new(Self {
            python,
            intents,
            turns: Turns::default(),
            readers: Readers::default(),
            facts: Start::default(),
        })
    }

    pub(crate) fn facts(&self) -> Result<&Facts> {
        self.facts.ready("the old driver is being tried")
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.intents.is_none()
    }

    pub(crate) fn intents(&self) -> Option<&Intents> {
        self.intents.as_ref()
    }

    fn writable(&self) -> Result<&Intents> {
        self.intents.as_ref().ok_or_else(|| {
            let message = "this driver only reads; mode=read-write and spool=DIR let it write";
            DriverError::new(Reason::ReadOnly, message)
        })
    }

    fn intent(&self, key: &Key) -> Option<Intent> {
        self.intents.as_ref()?.of(key.as_str())
    }

    pub(crate) async fn stat(&self, key: &Key) -> Result<Object> {
        let _turn = self.turns.share(key.as_str()).await;
        self.seen(key).await.map(|seen| seen.object)
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<(Object, Bytes)> {
        let _turn = self.turns.share(key.as_str()).await;
        let Seen { object, content } = self.seen(key).await?;
        match content {
            Some(content) => Ok((object, content)),
            None => {
                let message = format!(
                    "the object at key {key} has {} bytes, a message carries {}; read it as a stream",
                    object.size,
                    inline()
                );
                Err(DriverError::new(Reason::TooLarge, message))
            }
        }
    }

    pub(crate) async fn read(&self, key: &Key, range: &ReadRange) -> Result<Reading> {
        let _turn = self.turns.share(key.as_str()).await;
        let Seen { object, content } = self.seen(key).await?;
        if let Some(content) = content {
            return backend::read_bytes(object, &content, range);
        }
        let wanted = backend::range(&object, range)?;
        let length = wanted.end - wanted.start;
        if length == 0 {
            return Ok(Reading { object, bytes: stream::empty().boxed() });
        }
        let reader = self.readers.begin(key.as_str());
        let pieces = self.python.read(key.as_str(), wanted.start, length, self.facts()?.range).await?;
        let name = key.clone();
        let whole = move |piece| {
            if reader.is_overtaken() { Err(replaced(&name)) } else { piece }
        };
        let bytes = backend::in_pieces(key.clone(), pieces.into_stream().boxed(), length).map(whole).boxed();
        Ok(Reading { object, bytes })
    }

    /// The caller has the key's turn.
    async fn seen(&self, key: &Key) -> Result<Seen> {
        self.look(key).await?.ok_or_else(|| DriverError::key_not_found(key))
    }

    /// What is at a key. The caller has its turn.
    async fn look(&self, key: &Key) -> Result<Option<Seen>> {
        self.facts()?;
        let object = |size, etag| Object { key: key.clone(), size, etag: Some(etag), modified: None };
        match (self.intent(key), &self.intents) {
            (Some(Intent::Commit { .. }), _) => return Ok(None),
            (Some(Intent::Put { size, etag }), Some(intents)) => {
                let content = intents.content(key)?;
                return Ok(Some(Seen { object: object(size, etag), content: Some(content) }));
            }
            _ => {}
        }
        match self.python.get(key.as_str(), inline()).await? {
            Found::Object { content: Some(content), .. } => {
                let object = object(content.len() as u64, etag::of_content(&content));
                Ok(Some(Seen { object, content: Some(content) }))
            }
            Found::Object { size, content: None } => {
                Ok(Some(Seen { object: object(size, self.large_etag(key, size)?), content: None }))
            }
            Found::Folder | Found::Absent => Ok(None),
        }
    }

    fn large_etag(&self, key: &Key, size: u64) -> Result<String> {
        let made = self.intents.as_ref().map(|intents| intents.made(key, size)).transpose()?.flatten();
        Ok(made.map_or_else(|| etag::of_size(size), |made| etag::of_upload(&made.upload)))
    }

    /// A write in the key's turn, which ends when the old driver is done, even if the caller goes away before.
    async fn in_turn<T, F>(self: &Arc<Self>, key: &Key, write: impl FnOnce(Arc<Self>, Key) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.writable()?;
        let turn = self.turns.take(key.as_str()).await;
        let writing = write(Arc::clone(self), key.clone());
        let writing = tokio::spawn(async move {
            let _turn = turn;
            writing.await
        });
        joined(writing.await)
    }

    pub(crate) async fn put(self: &Arc<Self>, key: &Key, content: Bytes, only_new: bool) -> Result<Object> {
        self.in_turn(key, |this, key| async move { this.put_in_turn(&key, content, only_new).await }).await
    }

    async fn put_in_turn(&self, key: &Key, content: Bytes, only_new: bool) -> Result<Object> {
        let intents = self.writable()?;
        if only_new && self.look(key).await?.is_some() {
            return Err(taken(key));
        }
        self.facts()?;
        // What is there by half can't be left so if this comes to nothing.
        self.mend_in_turn(intents, key).await?;
        intents.put(key, &content)?;
        let object = Object {
            key: key.clone(),
            size: content.len() as u64,
            etag: Some(etag::of_content(&content)),
            modified: None,
        };
        self.readers.overtake(key.as_str());
        match self.python.put(key.as_str(), content).await {
            Ok(()) => intents.forget(key)?,
            Err(error) if !error.is_outcome_unknown() => {
                intents.forget(key)?;
                return Err(error);
            }
            // It will be done yet: nobody knows how much of it the old driver has written.
            Err(error) => return Err(error),
        }
        Ok(object)
    }

    pub(crate) async fn delete(self: &Arc<Self>, key: &Key) -> Result<bool> {
        self.in_turn(key, |this, key| async move { this.delete_in_turn(&key).await }).await
    }

    async fn delete_in_turn(&self, key: &Key) -> Result<bool> {
        let intents = self.writable()?;
        let by_prefix = self.facts()?.removes_by_prefix;
        let intent = self.intent(key);
        if matches!(intent, Some(Intent::Commit { .. })) {
            return Ok(false);
        }
        let removed = self.python.remove(key.as_str(), by_prefix).await.inspect_err(|error| {
            // The answer to a delete has no room for words.
            if error.reason() == Reason::NotSupported {
                tracing::warn!(%error, "a key can't be deleted");
            }
        })?;
        intents.forget_made(key)?;
        if intent.is_some() {
            intents.forget(key)?;
        }
        Ok(removed || intent.is_some())
    }

    /// Makes an upload's file the object of a key, never over another. What fails leaves nothing there, or an intent to clear
    /// it away.
    pub(crate) async fn commit(&self, key: &Key, finished: &Finished<'_>, file: &Path) -> Result<Object> {
        let (upload, size) = (finished.id, finished.size);
        let intents = self.writable()?;
        let facts = self.facts()?;
        let _turn = self.turns.take(key.as_str()).await;
        if let Some(there) = self.look(key).await? {
            // It happened before, and whoever asked was not told.
            return match intents.made(key, there.object.size)? {
                Some(made) if made.upload == upload.as_str() => Ok(there.object),
                _ => Err(taken(key)),
            };
        }
        intents.commit(key, upload, file)?;
        self.readers.overtake(key.as_str());
        let written = self.python.write(key.as_str(), file, size, facts.range, finished.moved).await;
        let made = Made { size, upload: upload.to_string() };
        let happened =
            written.and_then(|()| intents.note_made(key, &made)).and_then(|()| intents.take_away(file));
        if let Err(error) = happened {
            self.undo(intents, key).await;
            return Err(error);
        }
        intents.forget(key)?;
        let there = self.look(key).await?;
        there.map(|seen| seen.object).ok_or_else(|| {
            let message = format!("the old driver wrote {key} and does not show it");
            DriverError::new(Reason::ShortObject, message)
        })
    }

    /// As well as it can be done now; the intent stays where it can't.
    async fn undo(&self, intents: &Intents, key: &Key) {
        if let Err(error) = self.undo_now(intents, key).await {
            tracing::warn!(%key, %error, "a part of an object can't be removed yet; it is not shown");
        }
    }

    async fn undo_now(&self, intents: &Intents, key: &Key) -> Result<()> {
        self.python.remove(key.as_str(), self.facts()?.removes_by_prefix).await?;
        intents.forget_made(key)?;
        intents.forget(key)
    }

    /// What is at a key that a session asks for.
    pub(crate) async fn published(&self, key: &Key) -> Result<Option<Object>> {
        let _turn = self.turns.share(key.as_str()).await;
        Ok(self.look(key).await?.map(|seen| seen.object))
    }

    /// Names of a folder, as they are once all that was begun is done.
    pub(crate) async fn names(&self, folder: &str, from: &str, limit: usize) -> Result<Names> {
        self.facts()?;
        let names = self.python.list(folder.trim_end_matches('/'), from, limit).await?;
        let name_of = |rest: &str| rest.split_inclusive('/').next().unwrap_or(rest).to_owned();
        Ok(self.with_intents(names, folder, name_of, |name| name >= from))
    }

    /// The same of all that lies below a folder, where [`Facts::lists_below`].
    pub(crate) async fn names_below(&self, folder: &str, after: &str, limit: usize) -> Result<Names> {
        self.facts()?;
        let names = self.python.list_below(folder.trim_end_matches('/'), after, limit).await?;
        Ok(self.with_intents(names, folder, str::to_owned, |name| name > after))
    }

    /// `name_of`: by which name what lies at the rest of a path is in the listing.
    fn with_intents(
        &self,
        mut names: Names,
        folder: &str,
        name_of: impl Fn(&str) -> String,
        was_asked_for: impl Fn(&str) -> bool,
    ) -> Names {
        let intents = self.intents.as_ref().map(|intents| intents.below(folder)).unwrap_or_default();
        if intents.is_empty() {
            return names;
        }
        let last = names.entries.last().map(|(name, _)| name.clone()).filter(|_| names.more);
        for (key, intent) in intents {
            let Some(rest) = key.strip_prefix(folder) else { continue };
            let name = name_of(rest);
            let is_in_page = was_asked_for(&name) && last.as_deref().is_none_or(|last| name.as_str() <= last);
            match intent {
                Intent::Commit { .. } => names.entries.retain(|(there, _)| *there != rest),
                Intent::Put { size, .. } if is_in_page => {
                    names.entries.retain(|(there, _)| *there != name);
                    names.entries.push((name, size));
                }
                Intent::Put { .. } => {}
            }
        }
        names.entries.sort_unstable();
        names
    }

    /// Finishes the puts and undoes the commits that a failure or a former run left. Says how many are left.
    pub(crate) async fn mend(&self) -> usize {
        let Some(intents) = &self.intents else { return 0 };
        let mut left = 0;
        for text in intents.keys() {
            let Ok(key) = Key::parse_with_store_id(&text) else { continue };
            if let Err(error) = self.mend_key(intents, &key).await {
                left += 1;
                tracing::warn!(%key, %error, "an unfinished write stays unfinished for now");
            }
        }
        left
    }

    async fn mend_key(&self, intents: &Intents, key: &Key) -> Result<()> {
        let _turn = self.turns.take(key.as_str()).await;
        self.mend_in_turn(intents, key).await
    }

    /// The caller has the key's turn.
    async fn mend_in_turn(&self, intents: &Intents, key: &Key) -> Result<()> {
        match intents.of(key.as_str()) {
            None => Ok(()),
            Some(Intent::Put { .. }) => {
                let content = intents.content(key)?;
                self.readers.overtake(key.as_str());
                match self.python.put(key.as_str(), content).await {
                    // It can never be done.
                    Err(error) if matches!(error.reason(), Reason::KeyConflict | Reason::NotSupported) => {
                        tracing::warn!(%key, %error, "an unfinished write is given up");
                    }
                    outcome => outcome?,
                }
                intents.forget(key)
            }
            // Only the note of it could not be removed.
            Some(Intent::Commit { upload, file }) if intents.has_happened(key, &upload, &file)? => {
                intents.forget(key)
            }
            Some(Intent::Commit { .. }) => self.undo_now(intents, key).await,
        }
    }
}

fn inline() -> u32 {
    Limits::default().max_inline
}

fn taken(key: &Key) -> DriverError {
    DriverError::new(Reason::KeyExists, format!("there is an object at key {key} already"))
}

fn replaced(key: &Key) -> DriverError {
    DriverError::new(Reason::ShortObject, format!("the object at key {key} was replaced while it was read"))
}
