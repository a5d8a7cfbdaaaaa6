//! Handshake, Probe and what a driver says of itself (contract section H).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::probe_response::State;

use crate::faults::Fault;
use crate::keys::STORE_ID;
use crate::listing::MAX_PAGE;
use crate::objects::MAX_INLINE;
use crate::reads::MAX_CHUNK;
use crate::refusal::{
    IO_ERROR, KEY_NOT_FOUND, REQUEST_NOT_UNDERSTOOD, Refusal, Result, STORE_MISMATCH, VERSION_MISMATCH,
};
use crate::store::{Store, random};

const MAJOR: u32 = 1;
const UPLOAD_TTL: i64 = 7 * 24 * 3600;

/// An object as large as this fits, for the fault that says another size each time.
static LARGEST: AtomicU64 = AtomicU64::new(1 << 60);

impl Store {
    pub(crate) fn handshake(
        &self,
        request: &v1::HandshakeRequest,
        instance: &str,
    ) -> Result<v1::HandshakeResponse> {
        let selected = self.select(&request.supported)?;
        let store_id = self.store_id()?;
        let is_other = request.expected_store_id.as_ref().is_some_and(|expected| *expected != store_id);
        let passes = match self.fault {
            Fault::ExpectedStoreIgnored => true,
            Fault::ExpectedStoreUninitialised => store_id.is_empty(),
            _ => false,
        };
        if is_other && !passes {
            let reason = match self.fault {
                Fault::StoreMismatchReason => REQUEST_NOT_UNDERSTOOD,
                _ => STORE_MISMATCH,
            };
            return Err(Refusal::new(reason, format!("another store is expected; this is {store_id:?}")));
        }
        let unnamed = self.fault == Fault::NameMissing;
        let now = if self.fault == Fault::ClockOff {
            SystemTime::now() + Duration::from_secs(3600)
        } else {
            SystemTime::now()
        };
        Ok(v1::HandshakeResponse {
            selected,
            driver_name: if unnamed { String::new() } else { "longshore-faulty-driver".to_owned() },
            driver_version: if unnamed { String::new() } else { env!("CARGO_PKG_VERSION").to_owned() },
            driver_instance: match self.fault {
                Fault::InstancePerConnection => random()?,
                Fault::InstanceConstant => "0123456789abcdef0123456789abcdef".to_owned(),
                Fault::InstanceMissing => String::new(),
                _ => instance.to_owned(),
            },
            store_id,
            capabilities: Some(self.capabilities()),
            limits: Some(self.limits()),
            now: (self.fault != Fault::ClockMissing).then(|| now.into()),
        })
    }

    /// H2, H3.
    fn select(&self, supported: &[v1::Version]) -> Result<Option<v1::Version>> {
        let speaks = |version: &&v1::Version| {
            let is_known = version.minor == 0 || self.fault != Fault::MinorRefused;
            version.major == MAJOR && is_known
        };
        let own = v1::Version { major: MAJOR, minor: 0 };
        match self.fault {
            Fault::VersionFirstOffered => return Ok(supported.first().copied()),
            Fault::VersionFirstOnly => {
                return if supported.first().as_ref().is_some_and(speaks) {
                    Ok(Some(own))
                } else {
                    Err(no_version())
                };
            }
            Fault::VersionAny => return Ok(Some(own)),
            Fault::VersionUntold => return Ok(None),
            _ => {}
        }
        if supported.iter().any(|version| speaks(&version)) { Ok(Some(own)) } else { Err(no_version()) }
    }

    /// H5, H7.
    fn store_id(&self) -> Result<String> {
        let id = match self.find(STORE_ID).and_then(|mut found| self.content_of(&mut found)) {
            Ok(content) => String::from_utf8(content.to_vec())
                .map_err(|_| Refusal::new(IO_ERROR, "the store's id is damaged"))?,
            Err(refusal) if refusal.reason == KEY_NOT_FOUND => String::new(),
            Err(_) if self.fault == Fault::StoreIdErrorIsEmpty => String::new(),
            Err(refusal) => return Err(refusal),
        };
        Ok(match self.fault {
            Fault::StoreIdUntold => String::new(),
            Fault::StoreIdOfProcess => format!("process-{}", std::process::id()),
            Fault::StoreIdInvented => "0000-invented".to_owned(),
            _ => id,
        })
    }

    fn capabilities(&self) -> v1::Capabilities {
        let durability = match self.fault {
            Fault::DurabilityUntold => v1::Durability::Unspecified,
            _ => v1::Durability::Stable,
        };
        let cost = match self.fault {
            Fault::MoveUndeclared => v1::MoveCost::Unspecified,
            _ => v1::MoveCost::Rename,
        };
        v1::Capabilities {
            durability: durability.into(),
            range_read: true,
            put_if_absent: true,
            put_if_match: true,
            delete_if_match: true,
            list_is_current: true,
            uploads_shared: true,
            sign_get: true,
            crc32c: true,
            r#move: cost.into(),
        }
    }

    fn limits(&self) -> v1::Limits {
        let mut limits = v1::Limits {
            max_chunk_bytes: MAX_CHUNK,
            max_inline_bytes: MAX_INLINE,
            max_object_bytes: 0,
            max_streams: 0,
            max_page: MAX_PAGE,
            upload_ttl: Some(prost_types::Duration { seconds: UPLOAD_TTL, nanos: 0 }),
        };
        match self.fault {
            // Never the same twice, whatever other checks shake hands in between.
            Fault::LimitsVary => limits.max_object_bytes = LARGEST.fetch_add(1, Ordering::Relaxed),
            Fault::LimitChunkSmall => limits.max_chunk_bytes = 32 * 1024,
            Fault::LimitChunkLarge => limits.max_chunk_bytes = 2 * 1024 * 1024,
            Fault::LimitInlineSmall => limits.max_inline_bytes = 4 * 1024 * 1024,
            Fault::LimitPageSmall => limits.max_page = 500,
            Fault::LimitTtlShort => {
                limits.upload_ttl = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
            }
            _ => {}
        }
        limits
    }

    /// H12.
    pub(crate) fn probe(&self) -> Result<v1::ProbeResponse> {
        if self.fault == Fault::ProbeWrites {
            let put = v1::PutRequest {
                key: format!("probe-{}", random()?),
                content: bytes::Bytes::from_static(b"x"),
                condition: Some(v1::put_request::Condition::Always(v1::put_request::Always {})),
            };
            self.put(&put)?;
        }
        if self.fault == Fault::ProbeReadyAlways {
            return Ok(v1::ProbeResponse {
                state: State::Ready.into(),
                reason: String::new(),
                bytes_free: None,
            });
        }
        self.reachable()?;
        let state = if self.fault == Fault::ProbeStateUnset { State::Unspecified } else { State::Ready };
        let bytes_free = Some(self.bytes_free()?);
        Ok(v1::ProbeResponse { state: state.into(), reason: String::new(), bytes_free })
    }
}

fn no_version() -> Refusal {
    Refusal::new(VERSION_MISMATCH, "this driver speaks version 1 only")
}
