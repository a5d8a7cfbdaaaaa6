//! Names of repositories, tags and references: they are those of the specification's grammars and no others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_core::oci::{Reference, RepositoryName, Tag};
use longshore_fuzz::{grammar, tally};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return tally::count(false) };
    let (name, tag) = (text.parse::<RepositoryName>(), text.parse::<Tag>());
    let reference = text.parse::<Reference>();
    tally::count(name.is_ok() || reference.is_ok());
    assert_eq!(name.is_ok(), grammar::is_repository_name(input), "{text:?}");
    assert_eq!(tag.is_ok(), grammar::is_tag(input), "{text:?}");
    assert_eq!(reference.is_ok(), grammar::is_tag(input) || grammar::is_digest(input), "{text:?}");
    match name {
        Ok(name) => assert_eq!((name.as_str(), name.to_string().as_str()), (text, text)),
        Err(error) => assert!(error.0.chars().count() <= 255),
    }
    if let Ok(tag) = tag {
        assert_eq!((tag.as_str(), tag.to_string().as_str()), (text, text));
        assert_eq!(reference, Ok(Reference::Tag(tag)));
    } else if let Ok(reference) = reference {
        assert!(matches!(reference, Reference::Digest(_)));
        assert_eq!(reference.to_string(), text);
    }
});
