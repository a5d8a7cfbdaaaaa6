//! Stat, Get, Put, Delete and Move (contract section O). Owns the conditions, and that a change is one step.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use longshore_driver_proto::v1;
use longshore_driver_proto::v1::delete_request::Item;
use longshore_driver_proto::v1::delete_response::Outcome;
use longshore_driver_proto::v1::put_request::Condition;

use crate::faults::Fault;
use crate::keys::{self, STORE_ID};
use crate::refusal::{
    CONFLICT, KEY_EXISTS, KEY_NOT_FOUND, NOT_SUPPORTED, PRECONDITION_FAILED, REQUEST_NOT_UNDERSTOOD, Refusal,
    Result, TOO_LARGE,
};
use crate::store::{GAP, HEADER, Opened, Store, random};

/// 4 MiB for a manifest and 64 KiB for what is around it (H9).
pub(crate) const MAX_INLINE: u32 = 4 * 1024 * 1024 + 64 * 1024;
const MAX_DELETE: usize = 1000;

impl Store {
    pub(crate) fn stat(&self, key: &str) -> Result<v1::StatResponse> {
        keys::check_or_store_id(self.fault, key, Fault::KeyUncheckedInStat)?;
        let found = match self.find(key) {
            Err(refusal) if self.fault == Fault::StatAbsentIsEmpty && refusal.reason == KEY_NOT_FOUND => {
                let object = v1::Object { key: key.to_owned(), ..v1::Object::default() };
                return Ok(v1::StatResponse { object: Some(object) });
            }
            other => other?,
        };
        let mut object = found.object;
        self.bend_object(&mut object)?;
        if self.fault == Fault::StatSizeWrong {
            object.size += HEADER;
        }
        Ok(v1::StatResponse { object: Some(object) })
    }

    /// What faults make of an object that is told of.
    pub(crate) fn bend_object(&self, object: &mut v1::Object) -> Result<()> {
        match self.fault {
            Fault::EtagOfSize => object.etag = format!("size-{}", object.size),
            Fault::EtagOfSecond => {
                let time = object.modified.unwrap_or_default();
                object.etag = format!("{}-{}", time.seconds, object.size);
            }
            Fault::EtagChanges => object.etag = random()?,
            Fault::EtagMissing => object.etag.clear(),
            Fault::ObjectKeyWrong => object.key = object.key.to_ascii_uppercase(),
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn get(&self, key: &str) -> Result<v1::GetResponse> {
        keys::check_or_store_id(self.fault, key, Fault::KeyUncheckedInGet)?;
        let mut found = self.find(key)?;
        if found.object.size > u64::from(MAX_INLINE) && self.fault != Fault::GetAnySize {
            return Err(Refusal::new(TOO_LARGE, format!("{key} has {} bytes", found.object.size)));
        }
        let content = self.content_of(&mut found)?;
        self.bend_object(&mut found.object)?;
        Ok(v1::GetResponse { object: Some(found.object), content })
    }

    pub(crate) fn content_of(&self, found: &mut Opened) -> Result<Bytes> {
        let mut content = Vec::with_capacity(found.object.size as usize + HEADER as usize);
        found.file.read_to_end(&mut content).map_err(|error| self.failed(&found.object.key, &error))?;
        let mut content = Bytes::from(content).split_off(HEADER as usize);
        if self.fault == Fault::GetCutAt64K {
            content.truncate(64 * 1024);
        }
        Ok(content)
    }

    pub(crate) fn put(&self, request: &v1::PutRequest) -> Result<v1::PutResponse> {
        let key = &request.key;
        keys::check_or_store_id(self.fault, key, Fault::KeyUncheckedInPut)?;
        let always = Condition::Always(v1::put_request::Always {});
        let condition = match &request.condition {
            None if self.fault == Fault::PutUnsetIsAlways => &always,
            None => return Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "a put without a known condition")),
            Some(condition) => condition,
        };
        if request.content.len() > MAX_INLINE as usize && self.fault != Fault::PutAnySize {
            return Err(Refusal::new(TOO_LARGE, format!("a put of {} bytes", request.content.len())));
        }
        if request.content.is_empty() && self.fault == Fault::PutEmptyRefused {
            return Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "a put of nothing"));
        }
        if key == STORE_ID {
            self.check_store_id(&request.content, condition)?;
        }
        let mut object = self.put_if(key, &request.content, condition)?;
        self.bend_object(&mut object)?;
        if self.fault == Fault::PutSizeWrong {
            object.size = 0;
        }
        Ok(v1::PutResponse { object: Some(object) })
    }

    /// K4.
    fn check_store_id(&self, id: &[u8], condition: &Condition) -> Result<()> {
        if !matches!(condition, Condition::IfAbsent(_)) && self.fault != Fault::StoreIdByAnyPut {
            return Err(Refusal::new(NOT_SUPPORTED, "the store's id is written if absent only"));
        }
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        let is_id = (1..=64).contains(&id.len()) && id.iter().all(fits);
        if !is_id && self.fault != Fault::StoreIdAnyText {
            return Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "a store's id is 1 to 64 of [A-Za-z0-9-]"));
        }
        Ok(())
    }

    fn put_if(&self, key: &str, content: &Bytes, condition: &Condition) -> Result<v1::Object> {
        let path = self.object_path(key);
        let etag = random()?;
        let from = self.written(etag.as_bytes(), content)?;
        let races = match condition {
            Condition::IfAbsent(_) => self.fault == Fault::PutIfAbsentRaces,
            Condition::IfMatch(_) => self.fault == Fault::PutIfMatchRaces,
            Condition::Always(_) => false,
        };
        if races {
            self.put_allowed(key, condition)?;
            sleep(GAP);
        }
        let _lock = self.lock()?;
        if !races {
            self.put_allowed(key, condition).inspect_err(|_| {
                let _ = fs::remove_file(&from);
            })?;
        }
        match (self.fault, condition) {
            (Fault::PutLost, Condition::Always(_)) => self.lose_or_keep(&path)?,
            (Fault::ConditionalPutLost, Condition::IfAbsent(_) | Condition::IfMatch(_)) => {
                self.lose_or_keep(&path)?;
            }
            _ => {}
        }
        if self.fault == Fault::PutNothing {
            return Ok(v1::Object { key: key.to_owned(), size: content.len() as u64, etag, modified: None });
        }
        if self.fault == Fault::PutKeepsTail {
            self.keep_tail(&path, &from, content.len())?;
        }
        if self.fault == Fault::PutInPlace && path.is_file() {
            self.overwrite(&path, etag.as_bytes(), content)?;
        } else {
            self.place(&from, &path)?;
        }
        Ok(self.find(key)?.object)
    }

    /// For faults: at a kill, the object is as before.
    fn lose_or_keep(&self, path: &Path) -> Result<()> {
        if path.exists() { self.lose_change(path) } else { self.lose_new(path) }
    }

    /// The fault that overwrites without cutting.
    fn keep_tail(&self, old: &Path, new: &Path, length: usize) -> Result<()> {
        let Ok(old) = fs::read(old) else { return Ok(()) };
        let tail = old.get(length + HEADER as usize..).unwrap_or_default();
        let append = || {
            let file = fs::OpenOptions::new().write(true).open(new)?;
            file.write_all_at(tail, length as u64 + HEADER)
        };
        append().map_err(|error| self.failed("the tail", &error))
    }

    /// The fault that readers see half of.
    fn overwrite(&self, path: &Path, etag: &[u8], content: &[u8]) -> Result<()> {
        let (first, second) = content.split_at(content.len() / 2);
        let write = || {
            let file = fs::OpenOptions::new().write(true).truncate(true).open(path)?;
            file.write_all_at(etag, 0)?;
            file.write_all_at(first, HEADER)?;
            sleep(GAP / 3);
            file.write_all_at(second, HEADER + first.len() as u64)
        };
        write().map_err(|error| self.failed("the object", &error))
    }

    /// O6.
    fn put_allowed(&self, key: &str, condition: &Condition) -> Result<()> {
        let present = self.present(key)?;
        let taken = || Refusal::new(KEY_EXISTS, format!("there is an object at {key}"));
        match (condition, present) {
            (Condition::IfAbsent(_), Some(_)) => match self.fault {
                Fault::PutIfAbsentOverwrites => Ok(()),
                Fault::StoreIdOverwritten if key == STORE_ID => Ok(()),
                Fault::PutIfAbsentReason => Err(Refusal::new(PRECONDITION_FAILED, "there is an object")),
                _ => Err(taken()),
            },
            (Condition::IfMatch(wanted), Some(found)) if *wanted != found.etag => match self.fault {
                Fault::PutIfMatchIgnored => Ok(()),
                Fault::PutIfMatchReason => Err(Refusal::new(CONFLICT, "another content")),
                _ => Err(another(key)),
            },
            (Condition::IfMatch(_), None) if self.fault != Fault::PutIfMatchCreates => Err(another(key)),
            (Condition::Always(_), Some(_)) if self.fault == Fault::PutAlwaysRefused => Err(taken()),
            _ => Ok(()),
        }
    }

    pub(crate) fn delete(&self, items: &[Item]) -> Result<v1::DeleteResponse> {
        if items.len() > MAX_DELETE && self.fault != Fault::DeleteAnyNumber {
            return Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "more than 1000 items"));
        }
        if items.is_empty() && self.fault == Fault::DeleteEmptyRefused {
            return Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "a delete of nothing"));
        }
        if items.len() > MAX_DELETE / 2 && self.fault == Fault::DeleteFewOnly {
            return Err(Refusal::new(REQUEST_NOT_UNDERSTOOD, "more than 500 items"));
        }
        let mut outcomes = Vec::with_capacity(items.len());
        let mut failed = None;
        for item in items {
            if failed.is_some() && self.fault == Fault::DeleteStops {
                outcomes.push(Outcome::default());
                continue;
            }
            let outcome = self.delete_item(item);
            if let Err(refusal) = &outcome {
                failed = Some(refusal.clone());
            }
            outcomes.push(self.outcome(outcome));
        }
        match (self.fault, failed) {
            (Fault::DeleteFailsWhole, Some(refusal)) => return Err(refusal),
            (Fault::DeleteReversed, _) => outcomes.reverse(),
            (Fault::DeleteOutcomesMissing, _) => outcomes.retain(|outcome| outcome.code != 0),
            _ => {}
        }
        Ok(v1::DeleteResponse { outcomes })
    }

    fn outcome(&self, outcome: Result<bool>) -> Outcome {
        match outcome {
            Ok(existed) => {
                let existed = existed || self.fault == Fault::DeleteExistedAlways;
                Outcome { existed, code: 0, reason: String::new() }
            }
            Err(refusal) => {
                let told = self.fault != Fault::DeleteReasonMissing;
                let reason = if told { refusal.reason.name.to_owned() } else { String::new() };
                Outcome { existed: false, code: refusal.reason.code as i32, reason }
            }
        }
    }

    /// O7.
    fn delete_item(&self, item: &Item) -> Result<bool> {
        let key = &item.key;
        if key != STORE_ID || self.fault != Fault::StoreIdDeletable {
            keys::check(self.fault, key, Fault::KeyUncheckedInDelete)?;
        }
        let races = item.if_match.is_some() && self.fault == Fault::DeleteIfMatchRaces;
        if races {
            self.delete_allowed(item)?;
            sleep(GAP);
        }
        let _lock = self.lock()?;
        let present = self.present(key)?;
        if !races {
            self.delete_allowed(item)?;
        }
        if present.is_none() {
            let absent = Refusal::new(KEY_NOT_FOUND, format!("no object at {key}"));
            return if self.fault == Fault::DeleteAbsentFails { Err(absent) } else { Ok(races) };
        }
        let path = self.object_path(key);
        if self.fault == Fault::DeleteLost {
            self.lose_change(&path)?;
        }
        if self.fault != Fault::DeleteNothing {
            fs::remove_file(&path).map_err(|error| self.failed(key, &error))?;
            self.sync_parent(&path)?;
            self.prune(&path);
        }
        Ok(self.fault != Fault::DeleteExistedNever)
    }

    fn delete_allowed(&self, item: &Item) -> Result<()> {
        let Some(wanted) = &item.if_match else { return Ok(()) };
        match self.present(&item.key)? {
            Some(found) if found.etag != *wanted && self.fault != Fault::DeleteIfMatchIgnored => {
                Err(another(&item.key))
            }
            None if self.fault == Fault::DeleteIfMatchAbsentFails => Err(another(&item.key)),
            _ => Ok(()),
        }
    }

    /// O8.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<v1::MoveResponse> {
        keys::check(self.fault, from, Fault::KeyUncheckedInMove)?;
        keys::check(self.fault, to, Fault::KeyUncheckedInMove)?;
        let races = self.fault == Fault::MoveRaces;
        if races {
            self.move_allowed(from, to)?;
            sleep(GAP);
        }
        let _lock = self.lock()?;
        if !races {
            self.move_allowed(from, to)?;
        }
        let (source, target) = (self.object_path(from), self.object_path(to));
        if self.fault == Fault::MoveLost {
            self.lose_new(&target)?;
            self.lose_change(&source)?;
        }
        self.make_parents(&target)?;
        match self.fault {
            Fault::MoveCopies => fs::copy(&source, &target).map(|_| ()),
            Fault::MoveEmpties => fs::rename(&source, &target)
                .and_then(|()| fs::OpenOptions::new().write(true).open(&target)?.set_len(HEADER)),
            _ => fs::rename(&source, &target),
        }
        .map_err(|error| self.in_the_way(&target, &error))?;
        self.sync_parent(&target)?;
        self.sync_parent(&source)?;
        self.prune(&source);
        let mut object = self.find(to)?.object;
        self.bend_object(&mut object)?;
        if self.fault == Fault::MoveTellsSource {
            from.clone_into(&mut object.key);
        }
        Ok(v1::MoveResponse { object: Some(object) })
    }

    fn move_allowed(&self, from: &str, to: &str) -> Result<()> {
        if self.present(from)?.is_none() {
            let reason =
                if self.fault == Fault::MoveAbsentReason { PRECONDITION_FAILED } else { KEY_NOT_FOUND };
            return Err(Refusal::new(reason, format!("no object at {from}")));
        }
        let overwrites = match self.fault {
            Fault::MoveReplaces => from != to,
            Fault::MoveToItself => from == to,
            _ => false,
        };
        if self.present(to)?.is_some() && !overwrites {
            return Err(Refusal::new(KEY_EXISTS, format!("there is an object at {to}")));
        }
        Ok(())
    }

    /// The longest that a signed URL lives.
    pub(crate) fn signed_until(&self, ttl: Duration) -> SystemTime {
        let ttl = if self.fault == Fault::SignNeverExpires { ttl + Duration::from_secs(3600) } else { ttl };
        SystemTime::now() + ttl
    }
}

fn another(key: &str) -> Refusal {
    Refusal::new(PRECONDITION_FAILED, format!("another content at {key}"))
}
