//! What a request asks for: `parse` is pure, and reads a path from its right end, because a repository's name may be of
//! any depth. Names the endpoint of the spec at each variant.

mod query;

use axum::http::{Method, Uri};
use longshore_driver_sdk::UploadId;

use crate::oci::{
    Algorithm, Digest, DigestProblem, InvalidRepositoryName, InvalidTag, Reference, RepositoryName, Tag,
};

pub use query::{Limit, MAX_PAGE, PageWish};
use query::{Query, decode, page};

/// As many tags as one push may set (spec end-7b asks for 10 at least).
const MAX_TAGS: usize = 64;

/// A request, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `None` for what is about the whole registry.
    pub name: Option<RepositoryName>,
    pub target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// end-1
    Root,
    /// end-2, GET and HEAD
    GetBlob(Digest),
    /// end-10
    DeleteBlob(Digest),
    /// end-4a, end-4b, end-4c, end-11
    StartUpload(UploadWish),
    /// end-13
    UploadStatus(UploadId),
    /// end-5
    AppendUpload(UploadId),
    /// end-6
    FinishUpload(UploadId, Digest),
    /// end-14
    CancelUpload(UploadId),
    /// end-3, GET and HEAD
    GetManifest(Reference),
    /// end-7a; end-7b with tags
    PutManifest(Reference, Vec<Tag>),
    /// end-9
    DeleteManifest(Reference),
    /// end-8a, end-8b
    ListTags(PageWish<Tag>),
    /// end-12a, end-12b
    ListReferrers(Digest, ReferrersWish),
    /// `_catalog`: the repositories
    Catalog(PageWish<RepositoryName>),
    /// `/metrics`
    Metrics,
    /// `_oci/ext/discover`, of the registry or of a repository
    Discover,
    /// `_longshore/content/availability`: which of these digests a repository has
    CheckAvailability,
}

impl Target {
    /// For metrics and the access log: a closed list, without anything that a client chose.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::GetBlob(_) => "get_blob",
            Self::DeleteBlob(_) => "delete_blob",
            Self::StartUpload(_) => "start_upload",
            Self::UploadStatus(_) => "upload_status",
            Self::AppendUpload(_) => "append_upload",
            Self::FinishUpload(..) => "finish_upload",
            Self::CancelUpload(_) => "cancel_upload",
            Self::GetManifest(_) => "get_manifest",
            Self::PutManifest(..) => "put_manifest",
            Self::DeleteManifest(_) => "delete_manifest",
            Self::ListTags(_) => "list_tags",
            Self::ListReferrers(..) => "list_referrers",
            Self::Catalog(_) => "catalog",
            Self::Metrics => "metrics",
            Self::Discover => "discover",
            Self::CheckAvailability => "check_availability",
        }
    }
}

impl Target {
    /// Whether it brings bytes to keep.
    pub fn adds(&self) -> bool {
        matches!(
            self,
            Self::StartUpload(_) | Self::AppendUpload(_) | Self::FinishUpload(..) | Self::PutManifest(..)
        )
    }
}

/// What a POST asks of a new upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadWish {
    pub whole: Option<Digest>,
    pub mount: Option<Digest>,
    pub from: Option<RepositoryName>,
    pub algorithm: Algorithm,
}

/// Which referrers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferrersWish {
    pub artifact_type: Option<String>,
    pub page: PageWish<Digest>,
}

/// The methods of a path, as the header `Allow` has them (RFC 9110 10.2.1).
pub type Allowed = &'static str;

/// Why a request is none of the spec's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("there is nothing at this path; the distribution API lives below /v2/")]
    NoSuchPath,
    #[error("this path takes the methods {0}")]
    Method(Allowed),
    #[error(transparent)]
    Name(#[from] InvalidRepositoryName),
    #[error(transparent)]
    Digest(#[from] DigestProblem),
    #[error(transparent)]
    Tag(#[from] InvalidTag),
    #[error("{0:?} is no upload of this registry")]
    UploadId(String),
    #[error("the query lacks digest=ALGORITHM:HEX, which ends an upload")]
    NoDigest,
    #[error("n={0:?} is not a number of entries")]
    PageSize(String),
    #[error("a push may set at most {MAX_TAGS} tags at once")]
    TooManyTags,
}

/// Understands a request, or says why not.
///
/// # Errors
/// Each is the client's: a path, method or parameter outside the spec.
pub fn parse(method: &Method, uri: &Uri) -> Result<Operation, RouteError> {
    if uri.path() == "/metrics" {
        return only(method, READ).map(|()| Operation { name: None, target: Target::Metrics });
    }
    let query = Query::parse(uri.query().unwrap_or_default());
    let path = uri.path().strip_prefix("/v2").ok_or(RouteError::NoSuchPath)?;
    if path.is_empty() {
        return only(method, READ).map(|()| Operation { name: None, target: Target::Root });
    }
    let parts: Vec<&str> = path.strip_prefix('/').ok_or(RouteError::NoSuchPath)?.split('/').collect();
    let (name, target): (&[&str], _) = match parts.as_slice() {
        [""] => (&[], only(method, READ).map(|()| Target::Root)?),
        ["_catalog"] => (&[], catalog(method, &query)?),
        [name @ .., "_oci", "ext", "discover"] => (name, only(method, READ).map(|()| Target::Discover)?),
        [name @ .., "_longshore", "content", "availability"] if !name.is_empty() => {
            (name, only(method, "POST").map(|()| Target::CheckAvailability)?)
        }
        [name @ .., "blobs", "uploads", ""] | [name @ .., "blobs", "uploads"] if !name.is_empty() => {
            (name, start(method, &query)?)
        }
        [name @ .., "blobs", "uploads", id] if !name.is_empty() => (name, upload(method, id, &query)?),
        [name @ .., "blobs", digest] if !name.is_empty() => (name, blob(method, digest)?),
        [name @ .., "manifests", reference] if !name.is_empty() => {
            (name, manifest(method, reference, &query)?)
        }
        [name @ .., "tags", "list"] if !name.is_empty() => (name, tags(method, &query)?),
        [name @ .., "referrers", digest] if !name.is_empty() => (name, referrers(method, digest, &query)?),
        _ => return Err(RouteError::NoSuchPath),
    };
    let name = if name.is_empty() { None } else { Some(name.join("/").parse()?) };
    Ok(Operation { name, target })
}

const READ: Allowed = "GET, HEAD";

fn only(method: &Method, allowed: Allowed) -> Result<(), RouteError> {
    let known = allowed.split(", ").any(|one| one == method.as_str());
    if known { Ok(()) } else { Err(RouteError::Method(allowed)) }
}

fn start(method: &Method, query: &Query) -> Result<Target, RouteError> {
    only(method, "POST")?;
    let digest = |name: &str| query.get(name).map(str::parse::<Digest>).transpose();
    let algorithm = query.get("digest-algorithm").map(str::parse).transpose()?.unwrap_or(Algorithm::Sha256);
    let from = query.get("from").map(str::parse).transpose()?;
    Ok(Target::StartUpload(UploadWish { whole: digest("digest")?, mount: digest("mount")?, from, algorithm }))
}

fn upload(method: &Method, id: &str, query: &Query) -> Result<Target, RouteError> {
    only(method, "GET, PATCH, PUT, DELETE")?;
    let id = UploadId::parse(id).map_err(|_| RouteError::UploadId(id.chars().take(64).collect()))?;
    match *method {
        Method::PATCH => Ok(Target::AppendUpload(id)),
        Method::PUT => {
            Ok(Target::FinishUpload(id, query.get("digest").ok_or(RouteError::NoDigest)?.parse()?))
        }
        Method::DELETE => Ok(Target::CancelUpload(id)),
        _ => Ok(Target::UploadStatus(id)),
    }
}

fn blob(method: &Method, digest: &str) -> Result<Target, RouteError> {
    only(method, "GET, HEAD, DELETE")?;
    let digest = decode(digest).parse()?;
    Ok(if *method == Method::DELETE { Target::DeleteBlob(digest) } else { Target::GetBlob(digest) })
}

fn manifest(method: &Method, reference: &str, query: &Query) -> Result<Target, RouteError> {
    only(method, "GET, HEAD, PUT, DELETE")?;
    let reference: Reference = decode(reference).parse().map_err(|error| match error {
        crate::oci::InvalidReference::Tag(error) => RouteError::Tag(error),
        crate::oci::InvalidReference::Digest(error) => RouteError::Digest(error),
    })?;
    match *method {
        Method::PUT => {
            let tags: Vec<Tag> = query.all("tag").map(str::parse).collect::<Result<_, _>>()?;
            if tags.len() > MAX_TAGS {
                Err(RouteError::TooManyTags)
            } else {
                Ok(Target::PutManifest(reference, tags))
            }
        }
        Method::DELETE => Ok(Target::DeleteManifest(reference)),
        _ => Ok(Target::GetManifest(reference)),
    }
}

fn tags(method: &Method, query: &Query) -> Result<Target, RouteError> {
    only(method, READ)?;
    Ok(Target::ListTags(page(query)?))
}

fn catalog(method: &Method, query: &Query) -> Result<Target, RouteError> {
    only(method, READ)?;
    Ok(Target::Catalog(page(query)?))
}

fn referrers(method: &Method, digest: &str, query: &Query) -> Result<Target, RouteError> {
    only(method, READ)?;
    let artifact_type = query.get("artifactType").filter(|wanted| !wanted.is_empty()).map(str::to_owned);
    let wish = ReferrersWish { artifact_type, page: page(query)? };
    Ok(Target::ListReferrers(decode(digest).parse()?, wish))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn target(method: &Method, uri: &str) -> Result<Target, RouteError> {
        parse(method, &uri.parse().unwrap()).map(|operation| operation.target)
    }

    #[test]
    fn every_endpoint_of_the_spec_is_understood() {
        let digest: Digest = DIGEST.parse().unwrap();
        let id = UploadId::parse(&"0a".repeat(16)).unwrap();
        assert_eq!(target(&Method::GET, "/v2/"), Ok(Target::Root));
        assert_eq!(
            target(&Method::HEAD, &format!("/v2/a/b/blobs/{DIGEST}")),
            Ok(Target::GetBlob(digest.clone()))
        );
        assert_eq!(
            target(&Method::GET, &format!("/v2/a/blobs/{}", DIGEST.replace(':', "%3A"))),
            Ok(Target::GetBlob(digest.clone()))
        );
        assert_eq!(
            target(&Method::DELETE, &format!("/v2/a/blobs/{DIGEST}")),
            Ok(Target::DeleteBlob(digest.clone()))
        );
        assert!(matches!(target(&Method::POST, "/v2/a/blobs/uploads/"), Ok(Target::StartUpload(_))));
        assert_eq!(
            target(&Method::GET, &format!("/v2/a/blobs/uploads/{id}")),
            Ok(Target::UploadStatus(id.clone()))
        );
        assert_eq!(
            target(&Method::PATCH, &format!("/v2/a/blobs/uploads/{id}")),
            Ok(Target::AppendUpload(id.clone()))
        );
        assert_eq!(
            target(&Method::PUT, &format!("/v2/a/blobs/uploads/{id}?digest={DIGEST}")),
            Ok(Target::FinishUpload(id.clone(), digest.clone()))
        );
        assert_eq!(target(&Method::PUT, &format!("/v2/a/blobs/uploads/{id}")), Err(RouteError::NoDigest));
        assert_eq!(
            target(&Method::DELETE, &format!("/v2/a/blobs/uploads/{id}")),
            Ok(Target::CancelUpload(id))
        );
        assert!(matches!(
            target(&Method::GET, "/v2/a/manifests/latest"),
            Ok(Target::GetManifest(Reference::Tag(_)))
        ));
        assert!(
            matches!(target(&Method::PUT, &format!("/v2/a/manifests/{DIGEST}?tag=a&tag=b")), Ok(Target::PutManifest(Reference::Digest(_), tags)) if tags.len() == 2)
        );
        assert!(matches!(target(&Method::DELETE, "/v2/a/manifests/latest"), Ok(Target::DeleteManifest(_))));
        assert_eq!(
            target(&Method::GET, "/v2/a/tags/list?n=5&last=x"),
            Ok(Target::ListTags(PageWish {
                limit: Some(Limit { entries: 5, cut: false }),
                last: Some("x".parse().unwrap())
            }))
        );
        let wanted = ReferrersWish {
            artifact_type: Some("application/vnd.example+json".to_owned()),
            page: PageWish { limit: None, last: None },
        };
        assert_eq!(
            target(
                &Method::GET,
                &format!("/v2/a/referrers/{DIGEST}?artifactType=application/vnd.example+json")
            ),
            Ok(Target::ListReferrers(digest, wanted))
        );
        assert_eq!(
            target(&Method::GET, "/v2/_catalog?last=a/b"),
            Ok(Target::Catalog(PageWish { limit: None, last: Some("a/b".parse().unwrap()) }))
        );
        assert_eq!(target(&Method::GET, "/v2/_oci/ext/discover"), Ok(Target::Discover));
        assert_eq!(target(&Method::GET, "/v2/a/b/_oci/ext/discover"), Ok(Target::Discover));
        assert_eq!(
            target(&Method::POST, "/v2/a/_longshore/content/availability"),
            Ok(Target::CheckAvailability)
        );
    }

    #[test]
    fn a_repository_may_be_called_like_a_part_of_the_api() {
        let uri = format!("/v2/blobs/uploads/manifests/blobs/{DIGEST}");
        let operation = parse(&Method::GET, &uri.parse().unwrap()).unwrap();
        assert_eq!(operation.name.unwrap().as_str(), "blobs/uploads/manifests");
    }

    #[test]
    fn what_is_outside_the_spec_is_refused() {
        for path in [
            "/",
            "/v1/",
            "/v2x",
            "/v2/_catalog/x",
            "/v2/_longshore/content/availability",
            "/v2/a",
            "/v2/blobs/uploads/",
            "/v2/tags/list",
        ] {
            assert_eq!(target(&Method::GET, path), Err(RouteError::NoSuchPath), "{path}");
        }
        for path in [
            "/v2/A/tags/list",
            "/v2/a/../b/tags/list",
            "/v2//tags/list",
            "/v2/a%2fb/tags/list",
            "/v2/%2e%2e/tags/list",
        ] {
            assert!(matches!(target(&Method::GET, path), Err(RouteError::Name(_))), "{path}");
        }
        assert!(matches!(target(&Method::GET, "/v2/a/blobs/sha256:zz"), Err(RouteError::Digest(_))));
        assert!(matches!(target(&Method::GET, "/v2/a/blobs/uploads/..%2f"), Err(RouteError::UploadId(_))));
        assert!(matches!(target(&Method::GET, "/v2/a/manifests/-x"), Err(RouteError::Tag(_))));
        assert!(matches!(target(&Method::POST, "/v2/a/tags/list"), Err(RouteError::Method(_))));
    }

    #[test]
    fn page_sizes_are_cut_or_refused() {
        let limit = |n: &str| match target(&Method::GET, &format!("/v2/a/tags/list?n={n}")) {
            Ok(Target::ListTags(page)) => page.limit,
            _ => None,
        };
        assert_eq!(limit("0"), Some(Limit { entries: 0, cut: false }));
        assert_eq!(limit("1000"), Some(Limit { entries: 1000, cut: false }));
        assert_eq!(limit("1000000000"), Some(Limit { entries: 1000, cut: true }));
        assert_eq!(limit("9223372036854775808000"), Some(Limit { entries: 1000, cut: true }));
        for n in ["-1", "x", "", "+5"] {
            assert!(
                matches!(
                    target(&Method::GET, &format!("/v2/a/tags/list?n={n}")),
                    Err(RouteError::PageSize(_))
                ),
                "{n}"
            );
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(path in "/v2/[a-zA-Z0-9/._%:-]{0,80}", query in "[a-z=&%0-9]{0,40}") {
            if let Ok(uri) = format!("{path}?{query}").parse::<Uri>() {
                for method in [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS] {
                    let _ = parse(&method, &uri);
                }
            }
        }
    }
}
