//! A session that one writer has. Owns how a commit is made sure of, and how a session goes.
//!
//! No manifest depends on a condition, so nothing stops the late one of a writer that was frozen. Therefore a commit is decided
//! before: by a record with all that the object is made of. Its writer then looks whether its round is over ([`super::rounds`]).
//! If not, whoever comes next finds that record, and makes the same object of it: whoever is late writes what is there. If it
//! is, its writer sends nothing.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::future::try_join;
use longshore_driver_sdk::sessions::parted::{
    CREATED, Committing, Content, Parted, Writer, folder, hex, number_of, with_number,
};
use longshore_driver_sdk::sessions::{Record, SessionHold};
use longshore_driver_sdk::{DriverError, Fence, Moved, Object, Reason, Result, UploadId, UploadState};
use md5::{Digest as _, Md5};

use super::lane::{Sent, SwiftLane};
use super::rounds::{self, Lead};
use super::segments;
use super::store::{Known, Records};
use crate::container::{BATCH, Extra, Found, Segment};
use crate::failure::Failure;
use crate::listing;
use crate::store::Store;

/// Records of one writer that are deleted by their names, whether a listing shows them or not.
const NAMED: u32 = 1000;
/// An object of so few bytes is no manifest: the record that its commit begins has them all.
const PLAIN: u64 = 64 * 1024;

pub(crate) struct SwiftHold {
    sessions: Arc<Records>,
    writer: Writer<SwiftLane>,
    /// `None`: another writer has the session, or had it last.
    lead: Option<Lead>,
}

impl SwiftHold {
    pub(super) fn new(sessions: &Arc<Records>, id: &UploadId, known: Known, lead: Option<Lead>) -> Self {
        let writer = writer(sessions, id, known, lead.clone());
        Self { sessions: Arc::clone(sessions), writer, lead }
    }

    fn id(&self) -> &UploadId {
        self.writer.id()
    }

    fn key(&self) -> &str {
        self.writer.key()
    }

    fn store(&self) -> &Store {
        &self.sessions.store
    }

    /// What is at the session's key.
    async fn found(&self) -> Result<Option<Found>> {
        self.store().found(&self.record().key).await
    }

    /// Whether this writer has the session.
    async fn check(&self) -> Result<()> {
        self.sessions.check(self.id(), self.writer.lane.lead()?.round).await
    }

    /// Makes this writer the one that has the session.
    async fn lead(&mut self, fence: &Fence) -> Result<()> {
        let id = self.id().clone();
        self.lead = None;
        let (lead, known) = self.sessions.lead(&id, fence).await?;
        self.writer = writer(&self.sessions, &id, known, Some(lead.clone()));
        self.lead = Some(lead);
        Ok(())
    }

    /// Finishes a commit that began here or with the writer before.
    async fn settle(&mut self) -> Result<()> {
        let Some(Committing { size, bookmark, whole: Some(whole) }) =
            self.writer.known.state.committing.clone()
        else {
            return Ok(());
        };
        if self.record().state == UploadState::Committed {
            return Ok(());
        }
        let is_there = self.found().await?.is_some_and(|found| found.is_of(self.id()));
        if !is_there {
            let content = self.content_of(&whole).await?;
            self.publish(&whole.parts, content, &bookmark).await?;
        }
        self.writer.parts = whole.parts;
        self.committed(size, bookmark).await.map(drop)
    }

    /// Bytes that a record names, read back.
    async fn content_of(&self, whole: &Parted<Sent>) -> Result<Content> {
        let mut all = BytesMut::new();
        for piece in &whole.pieces {
            for bytes in self.sessions.ledger.read_piece(self.id(), piece, &self.writer.moved()).await? {
                all.extend_from_slice(&bytes);
            }
        }
        Ok(Content::from(all.freeze()))
    }

    /// Makes the object: of segments, or else of bytes.
    async fn publish(&self, parts: &[Sent], content: Content, bookmark: &Bytes) -> Result<()> {
        let extra = Extra { made_by: Some(self.id().as_str()), bookmark: Some(bookmark), ..Extra::default() };
        let container = &self.store().container;
        let outcome = if parts.is_empty() {
            container.put(self.key(), content, extra).await
        } else {
            let segments = self.outer_segments(parts).await?;
            container.put_manifest(self.key(), &segments, extra).await
        };
        outcome.map(drop).map_err(|failure| failure.into_error(&format!("commit {}", self.key())))
    }

    /// The segments that the object's own manifest names: manifests, where it takes no more.
    async fn outer_segments(&self, parts: &[Sent]) -> Result<Vec<Segment>> {
        let all: Vec<Segment> = parts.iter().map(|part| part.segment(self.id())).collect();
        let most = self.per_manifest();
        if all.len() <= most {
            return Ok(all);
        }
        let mut outer = Vec::new();
        for (number, inner) in all.chunks(most).enumerate() {
            let path = segments::path(self.id(), &segments::manifest_name(number));
            let put = self.store().container.put_manifest(&path, inner, Extra::default()).await;
            let found = put.map_err(|failure| failure.into_error(&format!("PUT the manifest {path}")))?;
            let etag = found.etag.unwrap_or_else(|| etag_of(inner.iter().map(|segment| &*segment.etag)));
            outer.push(Segment { name: path, size: found.size, etag, is_manifest: true });
        }
        Ok(outer)
    }

    fn per_manifest(&self) -> usize {
        usize::try_from(self.sessions.per_manifest()).unwrap_or(usize::MAX)
    }

    /// The etag that an object of segments has.
    fn expected_etag(&self) -> String {
        let parts = &self.writer.parts;
        let most = self.per_manifest();
        if parts.len() <= most {
            return etag_of(parts.iter().map(|part| &*part.etag));
        }
        let inner: Vec<String> =
            parts.chunks(most).map(|inner| etag_of(inner.iter().map(|part| &*part.etag))).collect();
        etag_of(inner.iter().map(String::as_str))
    }

    /// Whatever the server answered: what is at the key says whether this session is committed, and with which bytes.
    fn is_ours(&self, found: &Found, size: u64) -> Result<()> {
        if !found.is_of(self.id()) {
            let message = format!("there is another object at key {}", self.key());
            return Err(DriverError::new(Reason::KeyExists, message));
        }
        let is_same = self.writer.parts.is_empty()
            || found.etag.as_ref().is_none_or(|etag| *etag == self.expected_etag());
        if found.size == size && is_same {
            return Ok(());
        }
        let message = format!("another writer finished upload {} with other bytes", self.id());
        Err(DriverError::new(Reason::Fenced, message))
    }

    /// Says that the session is committed, once the object was seen.
    async fn committed(&mut self, size: u64, bookmark: Bytes) -> Result<Object> {
        // Whoever ends the session now takes the object for one that was acknowledged.
        let (found, ()) = try_join(self.found(), self.check()).await?;
        let found = found.ok_or_else(|| {
            let message =
                format!("the object at key {} is not there after its commit; try again", self.key());
            DriverError::new(Reason::BackendUnavailable, message)
        })?;
        self.is_ours(&found, size)?;
        let object = listing::object(&self.record().key, found);
        let state = UploadState::Committed;
        let record =
            Record { state, durable: size, bookmark, object: Some(object.clone()), ..self.writer.touched() };
        self.writer.close();
        self.writer.save(record, self.writer.nothing()).await?;
        Ok(object)
    }

    /// Nobody else writes this session while it goes. A store that is full takes no word of it, and yet sessions must go.
    async fn shut_out_others(&mut self) -> Result<()> {
        if self.lead.is_some() {
            return Ok(());
        }
        let fence = self.record().fence.clone();
        match self.lead(&fence).await {
            Err(error) if matches!(error.reason(), Reason::NoSpace | Reason::QuotaExceeded) => Ok(()),
            other => other,
        }
    }

    /// The bytes of a session that was not committed, wherever they got to.
    async fn discard_bytes(&self) -> Result<()> {
        let mut names = segments::listed(self.store(), self.id()).await?;
        names.extend(self.writer.parts.iter().map(|part| part.name.clone()));
        names.sort_unstable();
        names.dedup();
        segments::delete(self.store(), self.id(), &names).await
    }

    /// Segments that the object does not name: writers sent them that died, or were shut out.
    async fn discard_strays(&self, found: &Found) -> Result<()> {
        let mut strays = segments::listed(self.store(), self.id()).await?;
        if strays.is_empty() {
            return Ok(());
        }
        let Some(owned) = self.owned(found, &strays).await? else {
            tracing::warn!(upload = %self.id(), "not known which segments the object has; what else there is stays");
            return Ok(());
        };
        strays.retain(|name| !owned.contains(name));
        segments::delete(self.store(), self.id(), &strays).await
    }

    /// The names of the segments that the object has; `None`: nobody can tell.
    async fn owned(&self, found: &Found, listed: &[String]) -> Result<Option<HashSet<String>>> {
        if !found.is_manifest {
            return Ok(Some(HashSet::new()));
        }
        if found.etag.as_ref() == Some(&self.expected_etag()) {
            let mut owned: HashSet<String> = self.writer.parts.iter().map(|part| part.name.clone()).collect();
            owned.extend(listed.iter().filter(|name| segments::is_manifest(name)).cloned());
            return Ok(Some(owned));
        }
        self.owned_as_the_server_says().await
    }

    async fn owned_as_the_server_says(&self) -> Result<Option<HashSet<String>>> {
        let folder = segments::folder(self.id());
        let (mut owned, mut manifests) = (HashSet::new(), vec![self.key().to_owned()]);
        while let Some(manifest) = manifests.pop() {
            let segments = match self.store().container.get_manifest(&manifest).await {
                Ok(segments) => segments.unwrap_or_default(),
                Err(Failure::Unknown(_)) => return Ok(None),
                Err(other) => return Err(other.into_error(&format!("GET the manifest {manifest}"))),
            };
            for segment in segments {
                owned.extend(segment.name.strip_prefix(&folder).map(str::to_owned));
                if segment.is_manifest {
                    manifests.push(segment.name);
                }
            }
        }
        Ok(Some(owned))
    }

    /// The first one goes first: what is left without it is no session.
    async fn discard_records(&self) -> Result<()> {
        let folder = folder(self.id());
        self.store().delete(&[format!("{folder}{CREATED}")]).await?;
        let known = &self.writer.known.name;
        let last = number_of(known);
        let mut names = self.sessions.ledger.names(self.id(), "").await?;
        // Those that a listing may not show yet.
        names.extend((last.saturating_sub(NAMED)..=last).map(|number| with_number(known, number)));
        if let Some(lead) = self.lead.as_ref().filter(|lead| lead.round > 0) {
            names.extend(rounds::names(lead.round));
        }
        names.sort_unstable();
        names.dedup();
        let paths: Vec<String> = names.iter().map(|name| format!("{folder}{name}")).collect();
        for paths in paths.chunks(BATCH) {
            self.store().delete(paths).await?;
        }
        Ok(())
    }
}

/// Another writer's, where there is no lead: it only reads.
fn writer(sessions: &Arc<Records>, id: &UploadId, known: Known, lead: Option<Lead>) -> Writer<SwiftLane> {
    let next = lead.as_ref().map_or(1, |lead| lead.next);
    let nonce = lead.as_ref().map_or_else(String::new, |lead| lead.nonce.clone());
    let lane = SwiftLane { sessions: Arc::clone(sessions), id: id.clone(), lead };
    let mut writer = Writer::new(sessions.desk(), lane, id, nonce, known);
    writer.next = next;
    writer
}

/// As both servers make it: the MD5 of the segments' etags, as they are written.
fn etag_of<'a>(etags: impl Iterator<Item = &'a str>) -> String {
    let mut digest = Md5::new();
    for etag in etags {
        digest.update(etag);
    }
    hex(&digest.finalize())
}

impl Drop for SwiftHold {
    /// The next hold of this process goes on as the same writer, if it is known what this one wrote.
    fn drop(&mut self) {
        let Some(lead) = self.lead.take() else { return };
        let id = self.writer.id();
        if self.writer.is_settled {
            self.sessions.keep(id, Lead { next: self.writer.next, ..lead });
        } else {
            self.sessions.ledger.forget(id);
        }
    }
}

#[async_trait]
impl SessionHold for SwiftHold {
    fn record(&self) -> &Record {
        &self.writer.known.state.record
    }

    fn moved(&self) -> Moved {
        self.writer.moved()
    }

    async fn take_over(&mut self, fence: Fence) -> Result<()> {
        if self.record().state == UploadState::Committed {
            return Ok(());
        }
        // The same writer, at the process where it was before.
        if self.lead.is_none() || self.record().fence != fence {
            self.lead(&fence).await?;
        }
        self.settle().await
    }

    async fn write(&mut self, _offset: u64, pieces: Vec<Bytes>) -> Result<()> {
        self.writer.write(pieces).await
    }

    async fn mark(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
        self.writer.mark(durable, bookmark).await
    }

    async fn mark_soon(&mut self, durable: u64, bookmark: Bytes) -> Result<()> {
        self.writer.mark_soon(durable, bookmark).await
    }

    async fn commit(&mut self, size: u64, bookmark: Bytes) -> Result<Object> {
        let store = Arc::clone(&self.sessions.store);
        let _turn = store.turns.take(self.key()).await;
        self.writer.void_mark();
        let is_plain = size <= PLAIN && !self.writer.has_parts();
        if !is_plain {
            // It is under way while the key is looked at.
            self.writer.send_rest().await?;
        }
        let found = self.found().await?;
        self.writer.arrive().await?;
        if let Some(found) = found {
            self.is_ours(&found, size)?;
        } else {
            self.writer.announce(size, bookmark.clone()).await?;
            self.check().await?;
            let content = self.writer.rest().await?;
            self.publish(&self.writer.parts, content, &bookmark).await?;
        }
        self.committed(size, bookmark).await
    }

    async fn remove(mut self) -> Result<()> {
        if self.record().state == UploadState::Open {
            self.shut_out_others().await?;
        }
        if let Some(Committing { whole: Some(whole), .. }) = &self.writer.known.state.committing {
            self.writer.parts.clone_from(&whole.parts);
        }
        match self.found().await?.filter(|found| found.is_of(self.id())) {
            Some(found) => self.discard_strays(&found).await?,
            // The object of a committed one is gone, and took its segments with it.
            None => self.discard_bytes().await?,
        }
        self.discard_records().await?;
        self.lead = None;
        self.sessions.forget(self.id());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_etag_of_segments_is_that_of_swift() {
        // `printf a | md5sum`, `printf b | md5sum`, and `printf` of both texts.
        let etags = ["0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f"];
        assert_eq!(etag_of(etags.into_iter()), hex(&Md5::digest(etags.concat())));
    }
}
