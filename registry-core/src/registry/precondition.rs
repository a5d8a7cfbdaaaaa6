//! Writes that depend on what is there (RFC 9110 13.1): a tag that is made only if there is none, or moved only from where
//! its pusher saw it.

use longshore_driver_sdk::{Condition, Optional as _, Reason};

use super::records::{self, TagRecord};
use super::{RegistryError, Repository, Result, layout};
use crate::oci::{Digest, Reference, Tag};

/// How often a conditional write of a tag that keeps moving is tried.
const TRIES: usize = 8;

/// `If-Match` and `If-None-Match` of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    pub only_if: Option<Contents>,
    pub unless: Option<Contents>,
}

/// Contents of a resource, by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    Any,
    /// As the client wrote them; what is no digest fits nothing.
    Of(Vec<String>),
}

impl Contents {
    fn have(&self, current: Option<&Digest>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Of(digests), Some(current)) => digests.contains(&current.to_string()),
        }
    }
}

impl Precondition {
    pub fn is_none(&self) -> bool {
        self.only_if.is_none() && self.unless.is_none()
    }

    pub fn holds(&self, current: Option<&Digest>) -> bool {
        self.only_if.as_ref().is_none_or(|contents| contents.have(current))
            && !self.unless.as_ref().is_some_and(|contents| contents.have(current))
    }
}

impl Repository {
    /// A first look, before anything is stored.
    ///
    /// # Errors
    /// `PreconditionFailed`
    pub(super) async fn check_precondition(
        &self,
        reference: &Reference,
        precondition: &Precondition,
    ) -> Result<()> {
        if precondition.is_none() {
            return Ok(());
        }
        let current = match reference {
            Reference::Tag(tag) => self.read_tag(tag).await?.map(|record| record.digest),
            Reference::Digest(digest) => self.manifest_record(digest).await?.map(|_| digest.clone()),
        };
        if precondition.holds(current.as_ref()) {
            return Ok(());
        }
        Err(RegistryError::PreconditionFailed { reference: reference.clone(), current })
    }

    /// Writes a tag while `holds` is true of what it points at, by compare-and-set where the store has one; without, a tag
    /// that is pushed in the same instant may be overwritten. Else gives what it points at.
    pub(super) async fn write_tag_while(
        &self,
        tag: &Tag,
        record: &TagRecord,
        holds: impl Fn(Option<&Digest>) -> bool,
    ) -> Result<std::result::Result<(), Option<Digest>>> {
        let key = layout::tag(&self.name, tag)?;
        let driver = self.store.driver();
        let capabilities = driver.description().capabilities;
        let content = records::to_bytes(&key, record)?;
        for _ in 0..TRIES {
            let found = driver.get(&key).await.optional()?;
            // A record of length zero is a deleted tag.
            let current = match &found {
                Some((_, bytes)) if !bytes.is_empty() => {
                    Some(records::from_bytes::<TagRecord>(&key, bytes)?.digest)
                }
                _ => None,
            };
            if !holds(current.as_ref()) {
                return Ok(Err(current));
            }
            let condition = match found {
                None if capabilities.put_if_absent => Condition::IfAbsent,
                Some((object, _)) if capabilities.put_if_match => {
                    object.etag.map_or(Condition::Always, Condition::IfMatch)
                }
                _ => Condition::Always,
            };
            match driver.put(&key, content.clone(), condition).await {
                Ok(_) => return Ok(Ok(())),
                Err(error) if matches!(error.reason(), Reason::PreconditionFailed | Reason::KeyExists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(RegistryError::TookTooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_depends_on_what_is_there() {
        let (one, two): (Digest, Digest) = (
            format!("sha256:{}", "1".repeat(64)).parse().unwrap(),
            format!("sha256:{}", "2".repeat(64)).parse().unwrap(),
        );
        let of = |digest: &Digest| Some(Contents::Of(vec!["x".to_owned(), digest.to_string()]));
        let any = || Some(Contents::Any);
        for (only_if, unless, absent, is_one, is_two) in [
            (None, None, true, true, true),
            (any(), None, false, true, true),
            (None, any(), true, false, false),
            (of(&one), None, false, true, false),
            (None, of(&one), true, false, true),
            (any(), of(&two), false, true, false),
        ] {
            let precondition = Precondition { only_if, unless };
            let outcomes = [None, Some(&one), Some(&two)].map(|current| precondition.holds(current));
            assert_eq!(outcomes, [absent, is_one, is_two], "{precondition:?}");
        }
    }
}
