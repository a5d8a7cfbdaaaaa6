//! Keys, prefixes, upload ids, endpoints and request ids: nobody reaches out of a store, or into a log, with one.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use longshore_driver_sdk::endpoint::Endpoint;
use longshore_driver_sdk::key::{STORE_ID_KEY, is_component};
use longshore_driver_sdk::request_id::RequestId;
use longshore_driver_sdk::{Key, KeyPrefix, UploadId};
use longshore_fuzz::{grammar, tally};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return tally::count(false) };
    let outcomes = [key(text), prefix(text), upload_id(text), endpoint(text), request_id(text)];
    tally::count(outcomes.contains(&true));
});

fn key(text: &str) -> bool {
    let bytes = text.as_bytes();
    let parsed = Key::parse(text);
    assert_eq!(parsed.is_ok(), grammar::is_key(bytes) && !grammar::is_drivers_own(bytes), "{text:?}");
    let with_id = Key::parse_with_store_id(text);
    assert_eq!(with_id.is_ok(), parsed.is_ok() || text == STORE_ID_KEY, "{text:?}");
    let Ok(key) = parsed else { return false };
    assert_eq!((key.as_str(), key.to_string().as_str()), (text, text));
    assert!(!key.is_store_id() && text.ends_with(key.name()) && is_component(key.name()));
    let path = Path::new("/store").join(key.as_str());
    assert!(path.starts_with("/store"));
    assert!(Path::new(key.as_str()).components().all(|part| matches!(part, Component::Normal(_))));
    assert!(text.split('/').all(is_component));
    let folder = format!("{text}/");
    assert_eq!(KeyPrefix::parse(&folder).map(|prefix| prefix.as_str().to_owned()), Ok(folder));
    true
}

fn prefix(text: &str) -> bool {
    let parsed = KeyPrefix::parse(text);
    let folder = text.strip_suffix('/').is_some_and(|folder| grammar::is_key(folder.as_bytes()));
    assert_eq!(parsed.is_ok(), text.is_empty() || folder, "{text:?}");
    parsed.is_ok_and(|prefix| {
        assert_eq!(prefix.as_str(), text);
        true
    })
}

fn upload_id(text: &str) -> bool {
    let hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let parsed = UploadId::parse(text);
    assert_eq!(parsed.is_ok(), hex, "{text:?}");
    parsed.is_ok_and(|id| {
        assert_eq!((id.as_str(), id.to_string().as_str()), (text, text));
        true
    })
}

fn endpoint(text: &str) -> bool {
    let Ok(endpoint) = text.parse::<Endpoint>() else { return false };
    match &endpoint {
        Endpoint::Unix(path) => assert!(path.is_absolute() && path.as_os_str().len() <= 107),
        Endpoint::Tcp(address) => assert!(address.ip().is_loopback()),
    }
    assert_eq!(endpoint.to_string().parse::<Endpoint>().expect("as it was written"), endpoint);
    true
}

fn request_id(text: &str) -> bool {
    let Some(id) = RequestId::parse(text) else { return false };
    assert_eq!(id.as_str(), text);
    assert!(
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=')
    );
    true
}
