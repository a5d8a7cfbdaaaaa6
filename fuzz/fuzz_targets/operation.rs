//! Requests, before anything is known of them but method and URI: what is accepted can be written again and means the
//! same, and names nothing that the grammars do not have.
#![no_main]

use axum::http::{Method, Uri};
use libfuzzer_sys::fuzz_target;
use longshore_core::api::operation::{
    MAX_PAGE, Operation, PageWish, ReferrersWish, Target, UploadWish, parse,
};
use longshore_core::oci::RepositoryName;
use longshore_fuzz::script::Script;
use longshore_fuzz::{grammar, tally};

/// An error goes into a body: it may quote the client, and not at length.
const LONGEST_ERROR: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::POST,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let method = &methods[usize::from(script.byte()) % methods.len()];
    let Ok(uri) = Uri::try_from(script.rest()) else { return tally::count(false) };
    match parse(method, &uri) {
        Ok(operation) => {
            tally::count(true);
            accepted(method, &uri, &operation);
        }
        Err(error) => {
            tally::count(false);
            assert!(error.to_string().len() <= LONGEST_ERROR, "{error}");
        }
    }
});

fn accepted(method: &Method, uri: &Uri, operation: &Operation) {
    if let Some(name) = &operation.name {
        assert!(grammar::is_repository_name(name.as_str().as_bytes()));
        assert!(uri.path().starts_with(&format!("/v2/{name}/")), "{name} of {uri}");
    }
    assert!(!operation.target.name().is_empty());
    let written = written(operation);
    let uri: Uri = written.parse().expect("what is written is a URI");
    assert_eq!(parse(method, &uri).as_ref(), Ok(operation), "{method} {written}");
}

fn written(operation: &Operation) -> String {
    let name = operation.name.as_ref().map_or("", RepositoryName::as_str);
    let of_name = |rest: String| format!("/v2/{name}/{rest}");
    match &operation.target {
        Target::Root => "/v2/".to_owned(),
        Target::Metrics => "/metrics".to_owned(),
        Target::Catalog(wish) => format!("/v2/_catalog?{}", page(wish)),
        Target::Discover if name.is_empty() => "/v2/_oci/ext/discover".to_owned(),
        Target::Discover => of_name("_oci/ext/discover".to_owned()),
        Target::CheckAvailability => of_name("_longshore/content/availability".to_owned()),
        Target::GetBlob(digest) | Target::DeleteBlob(digest) => of_name(format!("blobs/{digest}")),
        Target::StartUpload(wish) => of_name(format!("blobs/uploads/?{}", upload(wish))),
        Target::UploadStatus(id) | Target::AppendUpload(id) | Target::CancelUpload(id) => {
            of_name(format!("blobs/uploads/{id}"))
        }
        Target::FinishUpload(id, digest) => of_name(format!("blobs/uploads/{id}?digest={digest}")),
        Target::GetManifest(reference) | Target::DeleteManifest(reference) => {
            of_name(format!("manifests/{reference}"))
        }
        Target::PutManifest(reference, tags) => {
            assert!(tags.len() <= 64);
            let tags: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
            of_name(format!("manifests/{reference}?{}", tags.join("&")))
        }
        Target::ListTags(wish) => of_name(format!("tags/list?{}", page(wish))),
        Target::ListReferrers(digest, wish) => of_name(format!("referrers/{digest}?{}", referrers(wish))),
    }
}

fn page<L: std::fmt::Display>(wish: &PageWish<L>) -> String {
    let mut query = String::new();
    if let Some(limit) = wish.limit {
        assert!(limit.entries <= MAX_PAGE);
        assert!(!limit.cut || limit.entries == MAX_PAGE);
        query += &format!("n={}", if limit.cut { MAX_PAGE + 1 } else { limit.entries });
    }
    if let Some(last) = &wish.last {
        query += &format!("&last={}", encoded(&last.to_string()));
    }
    query
}

fn upload(wish: &UploadWish) -> String {
    let mut query = format!("digest-algorithm={}", wish.algorithm.as_str());
    let parameters = [
        ("digest", wish.whole.as_ref().map(ToString::to_string)),
        ("mount", wish.mount.as_ref().map(ToString::to_string)),
        ("from", wish.from.as_ref().map(ToString::to_string)),
    ];
    for (name, value) in parameters {
        query += &value.map_or_else(String::new, |value| format!("&{name}={}", encoded(&value)));
    }
    query
}

fn referrers(wish: &ReferrersWish) -> String {
    let wanted = wish.artifact_type.as_ref();
    format!("{}&artifactType={}", page(&wish.page), wanted.map_or_else(String::new, |text| encoded(text)))
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
