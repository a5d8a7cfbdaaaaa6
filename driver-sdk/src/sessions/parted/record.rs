//! A record of a session: one line of JSON, and behind it bytes that are too few for a part.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::driver::{Fence, Object, UploadId, UploadState};
use crate::error::{DriverError, Reason, Result};
use crate::key::Key;
use crate::sessions::Record;

/// All sessions.
pub const UPLOADS: &str = ".driver/uploads/";

/// Bytes that the store has acknowledged as a part of an object.
pub trait Part:
    std::fmt::Debug + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    fn size(&self) -> u64;
}

/// What is durably known of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State<P> {
    pub record: Record,
    pub parted: Parted<P>,
    /// A commit that began: whether the object is there tells what came of it.
    pub committing: Option<Committing<P>>,
    /// In a record under a fixed name: the name of the one that it stands for.
    pub stands_for: Option<String>,
    /// In a record under a fixed name: another writer has the session by now.
    pub is_over: bool,
}

/// What the session is to be once its object is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committing<P> {
    pub size: u64,
    pub bookmark: Bytes,
    /// All that the object is made of, where another writer may have to make it.
    pub whole: Option<Parted<P>>,
}

/// Where the bytes up to the durable mark are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "P: Part")]
pub struct Parted<P> {
    /// What the store numbers the parts within, where it has such a thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multipart: Option<String>,
    /// The number of the next part: numbers are never used twice.
    pub next: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<P>,
    /// Behind the parts, in their order: bytes that lie in records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Piece>,
}

/// Bytes at the end of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The record's name in the session's folder.
    pub record: String,
    /// Where in it they begin.
    #[serde(default)]
    pub at: u64,
    pub size: u64,
}

impl<P> Default for Parted<P> {
    fn default() -> Self {
        Self { multipart: None, next: 1, parts: Vec::new(), pieces: Vec::new() }
    }
}

impl<P: Part> Parted<P> {
    /// Bytes in parts.
    pub fn base(&self) -> u64 {
        self.parts.iter().map(Part::size).sum()
    }

    /// Bytes in pieces.
    pub fn tail(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.size).sum()
    }
}

/// The line, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(bound = "P: Part")]
struct Line<P> {
    version: u32,
    state: Phase,
    key: String,
    counter: u64,
    owner: String,
    durable: u64,
    bookmark: String,
    /// Milliseconds of Unix time.
    updated: u64,
    #[serde(flatten)]
    parted: Parted<P>,
    /// Bytes behind this line; their piece is the last.
    own: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// Size and bookmark of a commit that began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    committing: Option<(u64, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whole: Option<Parted<P>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stands_for: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_over: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Open,
    Committed,
}

const VERSION: u32 = 1;

impl<P: Part> State<P> {
    /// The line of the record `name`; `own` bytes will follow it, as one more piece.
    ///
    /// # Errors
    /// None that anybody has met.
    pub fn encode(&self, own: u64) -> Result<Bytes> {
        let record = &self.record;
        let updated = record.updated.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let line = Line {
            version: VERSION,
            state: match record.state {
                UploadState::Open => Phase::Open,
                UploadState::Committed => Phase::Committed,
            },
            key: record.key.as_str().to_owned(),
            counter: record.fence.counter,
            owner: record.fence.owner.clone(),
            durable: record.durable,
            bookmark: BASE64.encode(&record.bookmark),
            updated: u64::try_from(updated).unwrap_or(u64::MAX),
            parted: self.parted.clone(),
            own,
            etag: record.object.as_ref().and_then(|object| object.etag.clone()),
            committing: self
                .committing
                .as_ref()
                .map(|committing| (committing.size, BASE64.encode(&committing.bookmark))),
            whole: self.committing.as_ref().and_then(|committing| committing.whole.clone()),
            stands_for: self.stands_for.clone(),
            is_over: self.is_over,
        };
        let mut text = serde_json::to_vec(&line)
            .map_err(|error| DriverError::new(Reason::DriverBug, format!("encode a record: {error}")))?;
        text.push(b'\n');
        Ok(text.into())
    }

    /// What the record `name` says, from its line; its own bytes become the last piece.
    ///
    /// # Errors
    /// [`Reason::ChecksumMismatch`] of a damaged one.
    pub fn decode(id: &UploadId, name: &str, line: &[u8]) -> Result<Self> {
        let damaged = |problem: &str| {
            let message = format!("record {UPLOADS}{id}/{name} is damaged ({problem}); end the upload");
            DriverError::new(Reason::ChecksumMismatch, message)
        };
        let line_length = line.len() as u64 + 1;
        let line: Line<P> = serde_json::from_slice(line).map_err(|error| damaged(&error.to_string()))?;
        let Line { version, state, key, counter, owner, durable, bookmark, updated, parted, own, .. } = line;
        if version != VERSION {
            return Err(damaged(&format!("it is of version {version}, this driver knows {VERSION}")));
        }
        let key = Key::parse(&key).map_err(|error| damaged(&error.to_string()))?;
        let (state, object) = match state {
            Phase::Open => (UploadState::Open, None),
            Phase::Committed => {
                let object = Object { key: key.clone(), size: durable, etag: line.etag, modified: None };
                (UploadState::Committed, Some(object))
            }
        };
        let decode = |text: String| BASE64.decode(text).map_err(|error| damaged(&error.to_string()));
        let bookmark = decode(bookmark)?;
        let committing = match line.committing {
            Some((size, bookmark)) => {
                Some(Committing { size, bookmark: decode(bookmark)?.into(), whole: line.whole })
            }
            None => None,
        };
        let record = Record {
            state,
            key,
            fence: Fence { counter, owner },
            durable,
            bookmark: bookmark.into(),
            updated: UNIX_EPOCH
                .checked_add(Duration::from_millis(updated))
                .ok_or_else(|| damaged("its time is none"))?,
            object,
        };
        let mut read =
            Self { record, parted, committing, stands_for: line.stands_for, is_over: line.is_over };
        if own > 0 {
            read.has_own(Piece { record: name.to_owned(), at: line_length, size: own });
        }
        let fits = |parted: &Parted<P>, size| parted.base() + parted.tail() == size;
        let whole = read.committing.as_ref().and_then(|it| it.whole.as_ref().map(|whole| (whole, it.size)));
        let is_open = read.record.state == UploadState::Open;
        if is_open && !fits(&read.parted, durable) || whole.is_some_and(|(whole, size)| !fits(whole, size)) {
            return Err(damaged("its parts and its offset do not fit"));
        }
        Ok(read)
    }

    /// Takes the bytes behind its line in: they are what it makes durable, or the end of what is to be committed.
    pub(super) fn has_own(&mut self, piece: Piece) {
        let whole = self.committing.as_mut().and_then(|committing| committing.whole.as_mut());
        whole.unwrap_or(&mut self.parted).pieces.push(piece);
    }
}

/// The first record of a session, where the server lets one writer alone make it. It sorts before all others.
pub const CREATED: &str = "0000000000000000";

/// Sorts as fences do: by counter, then by owner in the order of its bytes, then by number. The nonce is the writer's: one
/// whose fence is equal writes nothing under the same name.
pub fn name_of(fence: &Fence, number: u32, nonce: &str) -> String {
    format!("{:016x}-{}-{number:08x}-{nonce}", fence.counter, hex(fence.owner.as_bytes()))
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The number in a name.
pub fn number_of(name: &str) -> u32 {
    name.split('-').nth(2).and_then(|number| u32::from_str_radix(number, 16).ok()).unwrap_or(0)
}

/// The writer's nonce in a name.
pub fn nonce_of(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or_default()
}

/// The name that the same writer's record of this number has.
pub fn with_number(name: &str, number: u32) -> String {
    let fence: Vec<&str> = name.split('-').take(2).collect();
    format!("{}-{number:08x}-{}", fence.join("-"), nonce_of(name))
}

/// What no other writer has.
///
/// # Errors
/// When the system has no randomness to give.
pub fn nonce() -> Result<String> {
    Ok(UploadId::random()?.as_str()[..16].to_owned())
}

/// The present, as records keep it.
pub fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::new(since.as_secs(), since.subsec_millis() * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    struct Numbered {
        number: u32,
        size: u64,
    }

    impl Part for Numbered {
        fn size(&self) -> u64 {
            self.size
        }
    }

    fn state() -> State<Numbered> {
        let part = |number, size| Numbered { number, size };
        State {
            record: Record {
                state: UploadState::Open,
                key: Key::parse("a/b").unwrap(),
                fence: Fence { counter: 7, owner: "core-1".to_owned() },
                durable: 1110,
                bookmark: Bytes::from_static(&[0, 255, 10]),
                updated: now(),
                object: None,
            },
            parted: Parted {
                multipart: Some("m".to_owned()),
                next: 12,
                parts: vec![part(1, 1000), part(9, 100)],
                pieces: vec![Piece { record: "r".to_owned(), at: 3, size: 4 }],
            },
            committing: Some(Committing { size: 7, bookmark: Bytes::from_static(b"then"), whole: None }),
            stands_for: Some("another".to_owned()),
            is_over: false,
        }
    }

    #[test]
    fn a_record_comes_back_with_its_own_bytes_as_the_last_piece() {
        let id = UploadId::random().unwrap();
        let state = state();
        let line = state.encode(6).unwrap();
        let read = State::<Numbered>::decode(&id, "name", line.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!((&read.record, &read.committing), (&state.record, &state.committing));
        assert_eq!((&read.stands_for, &read.parted.parts), (&state.stands_for, &state.parted.parts));
        let own = Piece { record: "name".to_owned(), at: line.len() as u64, size: 6 };
        assert_eq!(read.parted.pieces, [state.parted.pieces[0].clone(), own]);
    }

    #[test]
    fn a_record_whose_sizes_do_not_fit_is_damaged() {
        let id = UploadId::random().unwrap();
        let line = state().encode(5).unwrap();
        let error = State::<Numbered>::decode(&id, "name", line.strip_suffix(b"\n").unwrap()).unwrap_err();
        assert_eq!(error.reason(), Reason::ChecksumMismatch);
        assert!(State::<Numbered>::decode(&id, "name", b"{}").is_err());
    }

    #[test]
    fn names_sort_as_fences_do() {
        let fence = |counter, owner: &str| Fence { counter, owner: owner.to_owned() };
        let mut fences = [
            fence(2, "a"),
            fence(10, ""),
            fence(1, "b"),
            fence(1, "ab"),
            fence(1, "a"),
            fence(u64::MAX, "~"),
        ];
        let mut names: Vec<_> = fences.iter().map(|fence| name_of(fence, 3, "0a")).collect();
        fences.sort();
        names.sort();
        assert_eq!(names, fences.iter().map(|fence| name_of(fence, 3, "0a")).collect::<Vec<_>>());
        assert!(name_of(&fences[0], 9, "ff") < name_of(&fences[0], 10, "00"));
        assert!(*CREATED < *name_of(&Fence::default(), 0, "00"));
        assert_eq!((number_of(&name_of(&fences[0], 300, "00")), number_of(CREATED)), (300, 0));
        let name = name_of(&fences[0], 300, "0f");
        assert_eq!((nonce_of(&name), with_number(&name, 7)), ("0f", name_of(&fences[0], 7, "0f")));
    }
}
