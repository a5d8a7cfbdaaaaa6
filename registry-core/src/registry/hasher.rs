//! A hash that can be put aside and taken up again, in another process if need be: its state lies in the bookmark of an
//! upload, so that nothing is ever read twice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

use crate::oci::{Algorithm, Digest};

#[derive(Clone)]
pub(super) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    pub(super) fn digest(&self) -> Digest {
        match self.clone() {
            Self::Sha256(hash) => Digest::from_hash(Algorithm::Sha256, &hash.finalize()),
            Self::Sha512(hash) => Digest::from_hash(Algorithm::Sha512, &hash.finalize()),
        }
    }

    pub(super) fn save(&self) -> String {
        match self {
            Self::Sha256(hash) => BASE64.encode(hash.serialize()),
            Self::Sha512(hash) => BASE64.encode(hash.serialize()),
        }
    }

    /// `None`: not the state of this algorithm, in the form of this version.
    pub(super) fn restore(algorithm: Algorithm, saved: &str) -> Option<Self> {
        let bytes = BASE64.decode(saved).ok()?;
        match algorithm {
            Algorithm::Sha256 => {
                let state = SerializedState::<Sha256>::try_from(bytes.as_slice()).ok()?;
                Sha256::deserialize(&state).ok().map(Self::Sha256)
            }
            Algorithm::Sha512 => {
                let state = SerializedState::<Sha512>::try_from(bytes.as_slice()).ok()?;
                Sha512::deserialize(&state).ok().map(Self::Sha512)
            }
        }
    }
}

/// Of bytes that are at hand.
pub(super) fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_hash_put_aside_at_any_offset_ends_as_if_it_had_not_been(
            bytes in proptest::collection::vec(any::<u8>(), 0..1000), cut in 0_usize..1000, sha512 in any::<bool>()
        ) {
            let algorithm = if sha512 { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let mut first = Hasher::new(algorithm);
            first.update(head);
            let mut second = Hasher::restore(algorithm, &first.save()).unwrap();
            second.update(tail);
            prop_assert_eq!(second.digest(), digest_of(algorithm, &bytes));
        }
    }

    #[test]
    fn a_foreign_state_is_refused() {
        let state = Hasher::new(Algorithm::Sha256).save();
        assert!(Hasher::restore(Algorithm::Sha512, &state).is_none());
        assert!(Hasher::restore(Algorithm::Sha256, "rubbish").is_none());
    }
}
