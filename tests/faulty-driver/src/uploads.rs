//! The calls about sessions (contract section U): opening one, and Get-, List- and EndUpload.

mod session;
mod stream;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::write_open::Mode;

use crate::driver::Driver;
use crate::faults::Fault;
use crate::keys;
use crate::listing::MAX_PAGE;
use crate::refusal::{CONFLICT, DRAINING, REQUEST_NOT_UNDERSTOOD, Refusal, Result};
use crate::store::Store;
use session::{Claim, Session, fenced, is_smaller};
pub(crate) use stream::WriteStream;

/// How long the writer before has to let go (U4).
const HANDOVER: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(5);

impl Driver {
    /// What `open` asks for: the session, which is held from here on.
    async fn open_session(&self, open: v1::WriteOpen) -> Result<Session> {
        let store = &self.store;
        let fault = store.fault;
        let id = open.upload_id;
        store.check_upload_id(&id)?;
        let no_fence = || Refusal::new(REQUEST_NOT_UNDERSTOOD, "an open without a fence");
        let fence = match open.fence {
            None if fault == Fault::FenceMissingTaken => v1::Fence::default(),
            fence => fence.ok_or_else(no_fence)?,
        };
        match open.mode {
            Some(Mode::Create(create)) => {
                if self.is_draining() && fault != Fault::DrainTakesCreates {
                    return Err(Refusal::new(DRAINING, "the driver is about to stop"));
                }
                keys::check(fault, &create.key, Fault::KeyUncheckedInCreate)?;
                store.check_bookmark(&create.bookmark)?;
                store.create_session(&id, &fence, &create)?;
            }
            Some(Mode::Resume(_)) if fault == Fault::ResumeCreates && store.load(&id).is_err() => {
                let create = v1::write_open::Create { key: format!("resumed-{id}"), ..Default::default() };
                store.create_session(&id, &fence, &create)?;
            }
            Some(Mode::Resume(_)) => {}
            None if fault == Fault::OpenUnsetIsResume => {}
            None => return Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "an open without a known mode")),
        }
        let claim = store.claim(&id, &fence)?;
        self.hold(&id, claim).await
    }

    async fn hold(&self, id: &str, claim: Claim) -> Result<Session> {
        let store = &self.store;
        let begin = tokio::time::Instant::now();
        loop {
            store.check_claim(id, &claim)?;
            if let Some(lock) = store.try_hold(id)? {
                store.check_claim(id, &claim)?;
                return store.take_over(id, claim, lock);
            }
            if begin.elapsed() > HANDOVER {
                return Err(Refusal::new(CONFLICT, format!("the writer before still holds upload {id}")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// U16.
    pub(crate) async fn end_upload(&self, request: v1::EndUploadRequest) -> Result<v1::EndUploadResponse> {
        let store = &self.store;
        let id = request.upload_id;
        store.check_upload_id(&id)?;
        let fence =
            request.fence.ok_or_else(|| Refusal::new(REQUEST_NOT_UNDERSTOOD, "an end without a fence"))?;
        let unknown = store.unknown(&id).reason;
        let record = match store.load(&id) {
            Err(refusal) if refusal.reason == unknown && store.fault != Fault::EndUnknownFails => {
                store.reachable().or_else(|gone| match store.fault {
                    Fault::ErrorAsAbsence => Ok(()),
                    _ => Err(gone),
                })?;
                return Ok(v1::EndUploadResponse { existed: store.fault == Fault::EndExistedAlways });
            }
            other => other?,
        };
        let is_committed = record.state() == v1::UploadState::Committed;
        let is_late = record.fence.as_ref().is_some_and(|newest| is_smaller(store.fault, &fence, newest));
        if is_late && store.fault != Fault::EndFenceIgnored {
            return Err(fenced(store.fault, &id));
        }
        if store.fault == Fault::EndRemovesObject && is_committed {
            let item = v1::delete_request::Item { key: record.key.clone(), if_match: None };
            store.delete(&[item])?;
        }
        let keeps = match store.fault {
            Fault::EndKeepsOpen => !is_committed,
            Fault::EndKeepsCommitted => is_committed,
            _ => false,
        };
        if !keeps && !self.end_held(&id, &fence).await? {
            return Ok(v1::EndUploadResponse { existed: false });
        }
        Ok(v1::EndUploadResponse { existed: store.fault != Fault::EndExistedNever })
    }

    /// Shuts a live writer out first.
    async fn end_held(&self, id: &str, fence: &v1::Fence) -> Result<bool> {
        let store = &self.store;
        let unknown = store.unknown(id).reason;
        if store.fault == Fault::EndFenceIgnored {
            store.remove_session(id)?;
            return Ok(true);
        }
        let held = match store.claim(id, fence) {
            Ok(claim) => self.hold(id, claim).await,
            Err(refusal) => Err(refusal),
        };
        match held {
            Err(refusal) if refusal.reason == unknown => store.reachable().map(|()| false),
            Err(refusal) => Err(refusal),
            Ok(_held) => store.remove_session(id).map(|()| true),
        }
    }
}

impl Store {
    pub(crate) fn get_upload(&self, id: &str) -> Result<v1::GetUploadResponse> {
        self.check_upload_id(id)?;
        let upload = self.bend_upload(self.load(id)?);
        Ok(v1::GetUploadResponse { upload: Some(upload) })
    }

    /// What faults make of a session that is told of.
    pub(crate) fn bend_upload(&self, mut upload: v1::Upload) -> v1::Upload {
        match self.fault {
            Fault::UploadStateUntold => upload.state = 0,
            Fault::UploadKeyWrong => upload.key = upload.key.to_ascii_uppercase(),
            Fault::UploadFenceUntold => upload.fence = None,
            Fault::UploadUpdatedUntold => upload.updated = None,
            Fault::BookmarkAsText => {
                upload.bookmark = String::from_utf8_lossy(&upload.bookmark).into_owned().into();
            }
            Fault::CommitObjectUntold => upload.object = None,
            Fault::CommitObjectWrong => {
                if let Some(object) = &mut upload.object {
                    object.etag = format!("x{}", object.etag);
                }
            }
            _ => {}
        }
        upload
    }

    /// U18.
    pub(crate) fn list_uploads(&self, query: &v1::ListUploadsRequest) -> Result<v1::ListUploadsResponse> {
        let limit = self.limit_of(query.limit, MAX_PAGE)?;
        let mut ids = self.upload_ids()?;
        ids.sort_unstable();
        if self.fault == Fault::UploadsUnsorted {
            ids.reverse();
        }
        let since = query.idle_since.and_then(|time| SystemTime::try_from(time).ok());
        let mut uploads = Vec::new();
        let mut more = false;
        for id in ids {
            let is_behind = match self.fault {
                Fault::UploadsStartIncluded => id >= query.start_after,
                Fault::UploadsUnsorted => query.start_after.is_empty() || id < query.start_after,
                _ => id > query.start_after,
            };
            // One that can't be read, or is gone by now, must not hide the others.
            let Some(upload) = is_behind.then(|| self.load(&id).ok()).flatten() else { continue };
            let updated = upload.updated.and_then(|time| SystemTime::try_from(time).ok());
            let is_fresh = since.is_some_and(|since| updated.is_some_and(|updated| updated > since));
            let hidden = match self.fault {
                Fault::UploadsIdleIgnored => false,
                Fault::UploadsIdleReversed => since.is_some() && !is_fresh,
                Fault::UploadsHideCommitted => is_fresh || upload.state() == v1::UploadState::Committed,
                _ => is_fresh,
            };
            if hidden {
                continue;
            }
            if uploads.len() == limit {
                more = true;
                break;
            }
            uploads.push(self.bend_upload(upload));
        }
        match self.fault {
            Fault::UploadsMoreNever => more = false,
            Fault::UploadsMoreWhenFull => more = uploads.len() == limit,
            Fault::UploadsWithoutBookmark => uploads.iter_mut().for_each(|upload| upload.bookmark.clear()),
            _ => {}
        }
        Ok(v1::ListUploadsResponse { uploads, more })
    }

    fn upload_ids(&self) -> Result<Vec<String>> {
        let failed = |error: &std::io::Error| self.failed("the sessions", error);
        let entries = match fs::read_dir(self.uploads()) {
            Err(_) if self.fault == Fault::ErrorAsAbsence => return Ok(Vec::new()),
            other => other.map_err(|error| failed(&error))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed(&error))?;
            ids.extend(entry.file_name().into_string());
        }
        Ok(ids)
    }
}

/// For a stream that serves one session from its opening to its end.
pub(crate) fn new_stream(driver: &Arc<Driver>) -> WriteStream {
    WriteStream::new(Arc::clone(driver))
}
