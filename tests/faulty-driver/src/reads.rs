//! ReadStream (contract section R). Owns the range, the pieces and their checksums. A piece is read when the core has
//! room for it (R18), from a file that stays the same whatever happens to the key (R14).

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use longshore_driver_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::faults::Fault;
use crate::keys::{self, STORE_ID};
use crate::refusal::{
    CONFLICT, IO_ERROR, KEY_NOT_FOUND, OFFSET_PAST_END, PRECONDITION_FAILED, Refusal, Result, SHORT_OBJECT,
};
use crate::store::{HEADER, Opened, Store};

pub(crate) const MAX_CHUNK: u32 = 256 * 1024;

/// A read under way.
pub(crate) struct Reading {
    store: Arc<Store>,
    opened: Opened,
    offset: u64,
    end: u64,
    is_first: bool,
    /// For faults: only one read goes on at a time.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Store {
    /// Opens an object for a read, and settles the range.
    pub(crate) fn begin_read(self: &Arc<Self>, request: &v1::ReadStreamRequest) -> Result<Reading> {
        let key = &request.key;
        if key != STORE_ID || self.fault != Fault::StoreIdStreamed {
            keys::check(self.fault, key, Fault::KeyUncheckedInRead)?;
        }
        let mut opened = match self.find(key) {
            Err(refusal) if self.fault == Fault::ReadAbsentReason && refusal.reason == KEY_NOT_FOUND => {
                return Err(Refusal::new(IO_ERROR, refusal.message));
            }
            other => other?,
        };
        let is_another = !request.if_match.is_empty() && request.if_match != opened.object.etag;
        if is_another && self.fault != Fault::ReadIfMatchIgnored {
            let reason = if self.fault == Fault::ReadIfMatchReason { CONFLICT } else { PRECONDITION_FAILED };
            return Err(Refusal::new(reason, format!("another content at {key}")));
        }
        let (offset, end) = self.range(request, opened.object.size)?;
        self.bend_object(&mut opened.object)?;
        if self.fault == Fault::ReadSizeOfRange {
            opened.object.size = end - offset;
        }
        Ok(Reading { store: Arc::clone(self), opened, offset, end, is_first: true, _turn: None })
    }

    /// R12.
    fn range(&self, request: &v1::ReadStreamRequest, size: u64) -> Result<(u64, u64)> {
        let past = |message: &str| Err(Refusal::new(OFFSET_PAST_END, message).with("size", size));
        let offset = request.offset;
        if offset > size {
            if self.fault == Fault::ReadPastEndIsEmpty {
                return Ok((size, size));
            }
            return past("the offset is past the end");
        }
        if offset == size && size > 0 && self.fault == Fault::ReadAtEndRefused {
            return past("the offset is at the end");
        }
        let mut end = request.length.map_or(size, |length| offset.saturating_add(length));
        if end > size && self.fault == Fault::ReadLengthPastEndRefused {
            return past("the length goes past the end");
        }
        let is_range = request.length.is_some();
        match self.fault {
            Fault::ReadLengthZeroIsAll if request.length == Some(0) => end = size,
            Fault::ReadLengthIgnored => end = size,
            Fault::ReadRangeOneMore if is_range => end += 1,
            Fault::ReadRangeOneLess if is_range => end = end.saturating_sub(1).max(offset),
            _ => {}
        }
        let offset = if self.fault == Fault::ReadOffsetIgnored { 0 } else { offset };
        Ok((offset, end.min(size)))
    }
}

impl Reading {
    /// Waits for its turn, where a fault gives turns.
    pub(crate) async fn in_turn(mut self, turns: &Arc<Semaphore>) -> Self {
        if self.store.fault == Fault::ReadsInTurn {
            self._turn = Arc::clone(turns).acquire_owned().await.ok();
        }
        self
    }

    /// The pieces, each made when it is asked for.
    pub(crate) fn pieces(
        self,
    ) -> impl Stream<Item = std::result::Result<v1::ReadStreamResponse, tonic::Status>> + Send {
        let fault = self.store.fault;
        futures_util::stream::unfold(Some(self), move |reading| async move {
            let mut reading = reading?;
            match reading.next() {
                Ok(None) => None,
                Ok(Some(piece)) => Some((Ok(piece), Some(reading))),
                Err(refusal) => Some((Err(refusal.into_status(fault)), None)),
            }
        })
    }

    fn next(&mut self) -> Result<Option<v1::ReadStreamResponse>> {
        let fault = self.store.fault;
        if self.offset == self.end && !self.is_first {
            return Ok(None);
        }
        if fault == Fault::ReadEndsEarly && self.offset > 0 && self.end - self.offset <= u64::from(MAX_CHUNK)
        {
            return Ok(None);
        }
        let size = match fault {
            Fault::ReadPiecesLarge => 2 * MAX_CHUNK,
            Fault::ReadPiecesSmall => 1024,
            _ => MAX_CHUNK,
        };
        let length = (self.end - self.offset).min(u64::from(size)) as usize;
        let data = self.piece(length)?;
        let told = self.told_offset();
        let object = self.is_first || fault == Fault::ReadObjectInEach;
        let object = if fault == Fault::ReadObjectMissing { false } else { object };
        let crc32c = match fault {
            Fault::ReadCrcWrong => Some(crc32c::crc32c(&data) ^ 1),
            _ => Some(crc32c::crc32c(&data)),
        };
        let data = self.bend(data);
        let object = object.then(|| self.opened.object.clone());
        self.is_first = false;
        self.offset += length as u64;
        Ok(Some(v1::ReadStreamResponse { object, offset: told, data, crc32c }))
    }

    fn told_offset(&self) -> u64 {
        match self.store.fault {
            Fault::ReadOffsetsFromZero if self.is_first => 0,
            Fault::ReadOffsetsStand if !self.is_first => 0,
            _ => self.offset,
        }
    }

    fn piece(&mut self, length: usize) -> Result<Bytes> {
        let key = &self.opened.object.key;
        if self.store.fault == Fault::ReadMixes && !self.is_first {
            sleep(Duration::from_millis(5));
            if let Ok(other) = self.store.find(key) {
                self.opened.file = other.file;
            }
        }
        let mut data = vec![0; length];
        let read = self.opened.file.read_exact_at(&mut data, HEADER + self.offset);
        match read {
            Ok(()) => Ok(data.into()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Refusal::new(SHORT_OBJECT, format!("{key} ends early")))
            }
            Err(error) => Err(Refusal::io(key, &error)),
        }
    }

    /// Faults in the bytes themselves.
    fn bend(&self, mut data: Bytes) -> Bytes {
        let is_later = self.offset > 0 && !self.is_first;
        match self.store.fault {
            Fault::ReadLosesByteAtEdge if is_later && !data.is_empty() => data.split_off(1),
            Fault::ReadBitFlipped if data.len() == MAX_CHUNK as usize => {
                let mut bent = data.to_vec();
                bent[MAX_CHUNK as usize - 1] ^= 1;
                bent.into()
            }
            Fault::ReadZeroesTail if is_later => {
                let keep = data.len() / 2;
                data.truncate(keep);
                let mut bent = data.to_vec();
                bent.resize(keep * 2, 0);
                bent.into()
            }
            _ => data,
        }
    }
}
