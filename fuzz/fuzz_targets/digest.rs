//! Digests: what is accepted has an algorithm of the table, and is written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_core::oci::{Algorithm, Digest, DigestProblem, Tag};
use longshore_fuzz::{grammar, tally};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return tally::count(false) };
    let parsed = text.parse::<Digest>();
    tally::count(parsed.is_ok());
    assert_eq!(parsed.is_ok(), grammar::is_digest(input), "{text:?}");
    match parsed {
        Ok(digest) => accepted(text, &digest),
        Err(DigestProblem::Unsupported(algorithm)) => {
            assert!(algorithm.parse::<Algorithm>().is_err(), "{algorithm} is of the table")
        }
        Err(DigestProblem::Malformed(shown)) => assert!(shown.chars().count() <= 160),
    }
});

fn accepted(text: &str, digest: &Digest) {
    assert_eq!(digest.to_string(), text);
    let algorithm = digest.algorithm();
    assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
    assert_eq!(
        text.strip_prefix(algorithm.as_str()).and_then(|rest| rest.strip_prefix(':')),
        Some(digest.hex())
    );
    let hash: Vec<u8> = (0..digest.hex().len() / 2)
        .map(|at| u8::from_str_radix(&digest.hex()[2 * at..2 * at + 2], 16).expect("accepted hex"))
        .collect();
    assert_eq!(Digest::from_hash(algorithm, &hash), *digest);
    let json = serde_json::to_string(digest).expect("a text");
    assert_eq!(serde_json::from_str::<Digest>(&json).expect("its own text"), *digest);
    let tag = Tag::of_referrers(digest).expect("every digest has a tag for its referrers");
    assert!(grammar::is_tag(tag.as_str().as_bytes()));
}
