//! A record of a session: one line of JSON, and behind it bytes that are too few for a part.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use longshore_driver_sdk::sessions::Record;
use longshore_driver_sdk::{DriverError, Fence, Key, Object, Reason, Result, UploadId, UploadState};
use serde::{Deserialize, Serialize};

use crate::bucket::Part;

/// All sessions.
pub(super) const UPLOADS: &str = ".driver/uploads/";

/// What is durably known of a session on S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) record: Record,
    pub(super) parted: Parted,
    /// A commit that began: whether the object is there tells what came of it.
    pub(super) committing: Option<Committing>,
}

/// What the session is to be once its object is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Committing {
    pub(super) size: u64,
    pub(super) bookmark: Bytes,
}

/// Where the bytes up to the durable mark are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Parted {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) multipart: Option<String>,
    /// The number of the next part: numbers are never used twice.
    pub(super) next: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Part>,
    /// Behind the parts, in their order: bytes that lie in records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) pieces: Vec<Piece>,
}

/// Bytes at the end of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// The record's name in the session's folder.
    pub(super) record: String,
    /// Where in it they begin.
    #[serde(default)]
    pub(super) at: u64,
    pub(super) size: u64,
}

impl Parted {
    /// Bytes in parts.
    pub(super) fn base(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }

    /// Bytes in pieces.
    pub(super) fn tail(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.size).sum()
    }
}

/// The line, as it is written.
#[derive(Serialize, Deserialize)]
struct Line {
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
    parted: Parted,
    /// Bytes behind this line; their piece is the last.
    own: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// Size and bookmark of a commit that began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    committing: Option<(u64, String)>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Open,
    Committed,
}

const VERSION: u32 = 1;

impl State {
    /// The line of the record `name`; `own` bytes will follow it, as one more piece.
    pub(super) fn encode(&self, own: u64) -> Result<Bytes> {
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
        };
        let mut text = serde_json::to_vec(&line)
            .map_err(|error| DriverError::new(Reason::DriverBug, format!("encode a record: {error}")))?;
        text.push(b'\n');
        Ok(text.into())
    }

    /// What the record `name` says, from its line; its own bytes become the last piece.
    pub(super) fn decode(id: &UploadId, name: &str, line: &[u8]) -> Result<Self> {
        let damaged = |problem: &str| {
            let message = format!("record {UPLOADS}{id}/{name} is damaged ({problem}); end the upload");
            DriverError::new(Reason::ChecksumMismatch, message)
        };
        let line_length = line.len() as u64 + 1;
        let line: Line = serde_json::from_slice(line).map_err(|error| damaged(&error.to_string()))?;
        let Line { version, state, key, counter, owner, durable, bookmark, updated, mut parted, own, .. } =
            line;
        if version != VERSION {
            return Err(damaged(&format!("it is of version {version}, this driver knows {VERSION}")));
        }
        if own > 0 {
            parted.pieces.push(Piece { record: name.to_owned(), at: line_length, size: own });
        }
        let key = Key::parse(&key).map_err(|error| damaged(&error.to_string()))?;
        let (state, object) = match state {
            Phase::Open => (UploadState::Open, None),
            Phase::Committed => {
                let object = Object { key: key.clone(), size: durable, etag: line.etag, modified: None };
                (UploadState::Committed, Some(object))
            }
        };
        if state == UploadState::Open && parted.base() + parted.tail() != durable {
            return Err(damaged("its parts and its offset do not fit"));
        }
        let decode = |text: String| BASE64.decode(text).map_err(|error| damaged(&error.to_string()));
        let bookmark = decode(bookmark)?;
        let committing = match line.committing {
            Some((size, bookmark)) => Some(Committing { size, bookmark: decode(bookmark)?.into() }),
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
        Ok(Self { record, parted, committing })
    }
}

/// The first record of a session, where the server lets one writer alone make it. It sorts before all others.
pub(super) const CREATED: &str = "0000000000000000";

/// Sorts as fences do: by counter, then by owner in the order of its bytes, then by number. The nonce is the writer's: one
/// whose fence is equal writes nothing under the same name.
pub(super) fn name_of(fence: &Fence, number: u32, nonce: &str) -> String {
    format!("{:016x}-{}-{number:08x}-{nonce}", fence.counter, hex(fence.owner.as_bytes()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The number in a name.
pub(super) fn number_of(name: &str) -> u32 {
    name.split('-').nth(2).and_then(|number| u32::from_str_radix(number, 16).ok()).unwrap_or(0)
}

/// What no other writer has.
pub(super) fn nonce() -> Result<String> {
    Ok(UploadId::random()?.as_str()[..16].to_owned())
}

/// The present, as records keep it.
pub(super) fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::new(since.as_secs(), since.subsec_millis() * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let part = |number, size| Part { number, size, etag: format!("etag{number}"), crc32c: None };
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
            committing: Some(Committing { size: 7, bookmark: Bytes::from_static(b"then") }),
        }
    }

    #[test]
    fn a_record_comes_back_with_its_own_bytes_as_the_last_piece() {
        let id = UploadId::random().unwrap();
        let state = state();
        let line = state.encode(6).unwrap();
        let read = State::decode(&id, "name", line.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!((&read.record, &read.committing), (&state.record, &state.committing));
        let own = Piece { record: "name".to_owned(), at: line.len() as u64, size: 6 };
        assert_eq!(read.parted.pieces, [state.parted.pieces[0].clone(), own]);
    }

    #[test]
    fn a_record_whose_sizes_do_not_fit_is_damaged() {
        let id = UploadId::random().unwrap();
        let line = state().encode(5).unwrap();
        let error = State::decode(&id, "name", line.strip_suffix(b"\n").unwrap()).unwrap_err();
        assert_eq!(error.reason(), Reason::ChecksumMismatch);
        assert!(State::decode(&id, "name", b"{}").is_err());
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
    }
}
