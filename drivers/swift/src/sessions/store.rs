//! Where sessions are: their records below `.driver/uploads/`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use longshore_driver_sdk::sessions::parted::{
    self, CREATED, LAZY_MARK, Ledger, MARK_EVERY, Parted, Schedule, State, UPLOADS, folder, name_of, nonce,
};
use longshore_driver_sdk::sessions::{Record, SessionStorage};
use longshore_driver_sdk::{DriverError, Key, Object, Reason, Result, UploadId, UploadState};

use super::hold::SwiftHold;
use super::lane::Sent;
use super::rounds::{self, Lead, Standing};
use crate::config::Config;
use crate::container::{BATCH, Freshness};
use crate::listing;
use crate::store::Store;

pub(super) type Known = parted::Known<Sent>;
pub(super) type Desk = parted::Desk<Store, Sent>;

/// A record names all segments of its object.
const MOST_SEGMENTS: u64 = 10_000;
/// Where nobody says how many a manifest takes.
const USUAL_SEGMENTS: u64 = 1000;
/// Of a file in the spool: what is above it would be larger than is good for a disk.
const LARGEST_SEGMENT: u64 = 4096 * 1024 * 1024;
/// Sessions whose lead is kept at most: of another one, a new round is begun.
const KEPT: usize = 1024;
/// A record without the first one is what a crash left of an ended session, unless it is younger than requests may be under way.
const LEFT_OVER: Duration = Duration::from_secs(3600);

/// The sessions of one container.
#[derive(Clone)]
pub(crate) struct SwiftSessions(pub(super) Arc<Records>);

/// Their records.
pub(crate) struct Records {
    pub(super) store: Arc<Store>,
    pub(super) ledger: Arc<Ledger<Store, Sent>>,
    spool: PathBuf,
    segment_size: Option<u64>,
    max_segments: Option<u32>,
    /// Sessions that this process has, and nobody writes at the moment.
    leads: Mutex<HashMap<UploadId, Lead>>,
}

impl SwiftSessions {
    pub(crate) fn new(store: Arc<Store>, spool: PathBuf, config: &Config) -> Self {
        let ledger = Arc::new(Ledger::new(Arc::clone(&store)));
        let (segment_size, max_segments) = (config.segment_size, config.max_segments);
        let leads = Mutex::default();
        Self(Arc::new(Records { store, ledger, spool, segment_size, max_segments, leads }))
    }

    /// Where the core is to set marks, and after how many bytes one that nobody waits for is recorded.
    pub(crate) fn marks(&self) -> (u64, u64) {
        (self.0.segment_size.map_or(MARK_EVERY, |size| size.min(MARK_EVERY)), LAZY_MARK)
    }

    /// `None`: the server has not said yet what it takes.
    pub(crate) fn largest_object(&self) -> Option<u64> {
        self.0.store.info().map(|_| self.0.schedule().largest_object())
    }
}

impl Records {
    pub(super) fn desk(&self) -> Desk {
        Desk { ledger: Arc::clone(&self.ledger), spool: self.spool.clone(), schedule: self.schedule() }
    }

    /// Segments that one manifest takes.
    pub(super) fn per_manifest(&self) -> u64 {
        let slo = self.store.info().and_then(|info| info.slo);
        let told = slo.map_or(USUAL_SEGMENTS, |slo| slo.max_segments).max(1);
        self.max_segments.map_or(told, |most| told.min(u64::from(most)))
    }

    fn schedule(&self) -> Schedule {
        let nests = self.store.info().is_none_or(crate::info::Info::nests);
        let most = self.per_manifest();
        let most = if nests { most.saturating_mul(most).min(MOST_SEGMENTS) } else { most.min(MOST_SEGMENTS) };
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let largest = self.store.info().map_or(LARGEST_SEGMENT, |info| info.max_file_size);
        match self.segment_size {
            Some(size) => Schedule::fixed(most, size.min(largest)),
            None if nests => Schedule::doubling(most, most / 8, largest.min(LARGEST_SEGMENT)),
            None => Schedule::doubling(most, most / 64, largest),
        }
    }

    /// What holds of a session: its last record, and if a commit began, what came of it (contract clause U14).
    pub(super) async fn present(&self, id: &UploadId) -> Result<Standing> {
        let Standing { round, known } = self.standing(id).await?;
        let state = &known.state;
        let Some(committing) = state.committing.as_ref().filter(|_| state.record.state == UploadState::Open)
        else {
            return Ok(Standing { round, known });
        };
        let key = &state.record.key;
        let Some(found) = self.store.found(key).await?.filter(|found| found.is_of(id)) else {
            return Ok(Standing { round, known });
        };
        let record = Record {
            state: UploadState::Committed,
            durable: committing.size,
            bookmark: committing.bookmark.clone(),
            object: Some(listing::object(key, found)),
            ..state.record.clone()
        };
        let parted = committing.whole.clone().unwrap_or_else(|| state.parted.clone());
        let state = State { record, parted, committing: None, stands_for: None, is_over: false };
        Ok(Standing { round, known: Known { state: Arc::new(state), ..known } })
    }

    /// Keeps what it takes to go on as the same writer.
    pub(super) fn keep(&self, id: &UploadId, lead: Lead) {
        let mut all = self.leads.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT
            && let Some(any) = all.keys().next().cloned()
        {
            all.remove(&any);
        }
        all.insert(id.clone(), lead);
    }

    /// What was kept; it is the caller's alone.
    fn kept(&self, id: &UploadId) -> Option<Lead> {
        self.leads.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    pub(super) fn forget(&self, id: &UploadId) {
        self.kept(id);
        self.ledger.forget(id);
    }

    /// What is left of sessions that have no first record any more, and so are none.
    async fn sweep_records(&self, now: SystemTime) -> Result<()> {
        let mut after = String::new();
        let mut group = Group::default();
        loop {
            let page = self.store.container.list(UPLOADS, false, &after, BATCH).await?;
            for entry in &page.entries {
                let Some((id, name)) = entry.name.strip_prefix(UPLOADS).and_then(|rest| rest.split_once('/'))
                else {
                    continue;
                };
                if group.id != id {
                    self.sweep_group(&std::mem::take(&mut group)).await?;
                    id.clone_into(&mut group.id);
                }
                let age = entry.found.as_ref().and_then(|found| now.duration_since(found.modified?).ok());
                group.has_first |= name == CREATED;
                group.is_young |= age.is_none_or(|age| age < LEFT_OVER);
                group.paths.push(entry.name.clone());
            }
            match page.entries.last() {
                Some(last) if page.more => last.name.clone_into(&mut after),
                _ => return self.sweep_group(&group).await,
            }
        }
    }

    async fn exists(&self, id: &UploadId) -> Result<bool> {
        let path = format!("{}{CREATED}", folder(id));
        let is_there = self.store.container.stat(&path, Freshness::Newest).await?.is_some();
        if !is_there {
            self.store.must_be_there().await?;
        }
        Ok(is_there)
    }

    async fn sweep_group(&self, group: &Group) -> Result<()> {
        if group.paths.is_empty() || group.has_first || group.is_young {
            return Ok(());
        }
        let first = format!("{UPLOADS}{}/{CREATED}", group.id);
        if self.store.container.stat(&first, Freshness::Newest).await?.is_some() {
            return Ok(());
        }
        self.store.must_be_there().await?;
        self.store.delete(&group.paths).await
    }
}

/// The records of one session, as a listing shows them.
#[derive(Default)]
struct Group {
    id: String,
    paths: Vec<String>,
    has_first: bool,
    is_young: bool,
}

#[async_trait]
impl SessionStorage for SwiftSessions {
    type Hold = SwiftHold;

    /// An id that is taken is found here, and a key that is, at the commit.
    fn refuses_what_is_taken(&self) -> bool {
        true
    }

    async fn create(&self, id: &UploadId, record: Record) -> Result<SwiftHold> {
        if self.0.exists(id).await? {
            return Err(DriverError::new(Reason::UploadExists, format!("upload {id} exists; resume it")));
        }
        let nonce = nonce()?;
        let name = name_of(&record.fence, 0, &nonce);
        let stands_for = Some(name.clone());
        let state = State { record, parted: Parted::default(), committing: None, stands_for, is_over: false };
        let known = self.0.ledger.create(id, CREATED, &name, state).await?;
        Ok(SwiftHold::new(&self.0, id, known, Some(Lead { round: 0, nonce, next: 1 })))
    }

    async fn hold(&self, id: &UploadId, _wait: Duration) -> Result<SwiftHold> {
        let Standing { round, known } = self.0.present(id).await?;
        // A newcomer that said that the round is over, and died, leaves it with nobody.
        let is_led = |lead: &Lead| lead.round == round && known.is_own && rounds::is_of(&known, lead);
        let lead = self.0.kept(id).filter(is_led);
        Ok(SwiftHold::new(&self.0, id, known, lead))
    }

    async fn read(&self, id: &UploadId) -> Result<Record> {
        Ok(self.0.present(id).await?.known.state.record.clone())
    }

    async fn ids(&self, start_after: &str, limit: usize) -> Result<Vec<UploadId>> {
        let after = match start_after {
            "" => String::new(),
            // Behind every record of that session.
            id => format!("{UPLOADS}{id}/\u{7f}"),
        };
        let page = self.0.store.container.list(UPLOADS, true, &after, limit).await?;
        let ids = page.entries.iter().filter_map(|entry| entry.name.strip_prefix(UPLOADS)?.strip_suffix('/'));
        Ok(ids.filter(|id| *id > start_after).filter_map(|id| UploadId::parse(id).ok()).collect())
    }

    async fn object_at(&self, key: &Key) -> Result<Option<Object>> {
        Ok(self.0.store.found(key).await?.map(|found| listing::object(key, found)))
    }

    async fn sweep(&self, now: SystemTime) -> Result<()> {
        self.0.sweep_records(now).await
    }
}
