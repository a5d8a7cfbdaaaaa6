//! Names of links and holders: which object, and since when. A nonce begins with the time of its making, so a name alone
//! tells how old a lease is.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use longshore_driver_sdk::UploadId;

use super::Result;

/// The random name of a blob's bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(String);

impl ObjectId {
    pub fn random() -> Result<Self> {
        Ok(Self(random_hex()?))
    }

    /// The folder that it lies in.
    pub fn shard(&self) -> &str {
        &self.0[..2]
    }

    /// As the last component of an object's key names it.
    pub fn parse(text: &str) -> Option<Self> {
        is_hex(text, 32).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When, and 64 random bits: `<milliseconds since 1970, 12 digits of hex>-<16 digits of hex>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(String);

impl Nonce {
    pub fn now() -> Result<Self> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Self(format!("{:012x}-{}", since.as_millis(), &random_hex()?[..16])))
    }

    fn parse(text: &str) -> Option<Self> {
        let (time, random) = text.split_once('-')?;
        (is_hex(time, 12) && is_hex(random, 16)).then(|| Self(text.to_owned()))
    }

    fn made(&self) -> SystemTime {
        let millis = u64::from_str_radix(&self.0[..12], 16).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    /// Zero for one from the future: clocks differ by minutes.
    pub fn age(&self) -> Duration {
        SystemTime::now().duration_since(self.made()).unwrap_or_default()
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a link and its holder are both named: `<object-id>.<nonce>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    pub object: ObjectId,
    pub nonce: Nonce,
}

impl Lease {
    pub fn new(object: ObjectId) -> Result<Self> {
        Ok(Self { object, nonce: Nonce::now()? })
    }

    pub fn age(&self) -> Duration {
        self.nonce.age()
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.object, self.nonce)
    }
}

/// A name that is no lease: a mark, or something that does not belong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoLease;

impl FromStr for Lease {
    type Err = NoLease;

    fn from_str(text: &str) -> std::result::Result<Self, NoLease> {
        let (object, nonce) = text.split_once('.').ok_or(NoLease)?;
        Ok(Self {
            object: ObjectId::parse(object).ok_or(NoLease)?,
            nonce: Nonce::parse(nonce).ok_or(NoLease)?,
        })
    }
}

fn random_hex() -> Result<String> {
    Ok(UploadId::random()?.as_str().to_owned())
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_read_as_written_and_know_their_age() {
        let lease = Lease::new(ObjectId::random().unwrap()).unwrap();
        assert_eq!(lease.to_string().parse(), Ok(lease.clone()));
        assert!(lease.age() < Duration::from_secs(5));
        let old = Nonce::parse("000000000000-0123456789abcdef").unwrap();
        assert!(old.age() > Duration::from_secs(3600 * 24 * 365 * 50));
    }

    #[test]
    fn other_names_are_no_leases() {
        let object = ObjectId::random().unwrap();
        for text in [
            "latest",
            "",
            ".",
            &format!("{object}.condemned"),
            &format!("{object}"),
            &format!("x{object}.000000000000-0123456789abcdef"),
        ] {
            assert_eq!(text.parse::<Lease>(), Err(NoLease), "{text}");
        }
    }
}
