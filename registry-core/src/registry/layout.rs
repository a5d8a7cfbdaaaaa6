//! Where everything lies. Every storage key is built here and nowhere else.
//!
//! ```text
//! longshore.json                                               layout version, min_reader, min_writer, store id, created
//! objects/<aa>/<object-id>                                     a blob's bytes; immutable; the id is random, not the upload's
//! blobs/<alg>/<aa>/<hex>/<object-id>.<nonce>                   holder: one link somewhere keeps this object (body: repository, size)
//! blobs/<alg>/<aa>/<hex>/<object-id>.condemned                 no new holder may adopt this object; never taken back
//! repositories/<name>/_blobs/<alg>/<hex>/<object-id>.<nonce>   link: this repository may serve this blob from this object (body: size)
//! repositories/<name>/_blobs/<alg>/<hex>/latest                where listings may lag: the newest link's name
//! repositories/<name>/_manifests/<alg>/<hex>                   one JSON line of metadata, newline, the exact manifest bytes
//! repositories/<name>/_tags/<tag>                              tag record: digest, media type, size, updated
//! repositories/<name>/_tagged/<alg>/<hex>/<tag>.<nonce>        reverse marker, a superset, so that delete-by-digest need not read all tags
//! repositories/<name>/_tagged/<alg>/<hex>/@<nonce>             young marker: makes an untagged child a root
//! repositories/<name>/_tagged/<alg>/<hex>/recent               where listings may lag: the tags that were given lately
//! repositories/<name>/_referrers/<alg>/<subject hex>/<digest>  referrer's descriptor ("sha256-<hex>": a key has no colon)
//! check/<run>/...                                              what `longshore storage check` writes, and deletes; nobody reads it
//! catalog/<escaped name>                                       marker, for a paged catalog; '/' is escaped as '~'
//! ```
//!
//! What is written once is never written again, but for tags, `latest`, `recent` and manifests of equal bytes. A link and its
//! holder share a nonce, so each pair lives and dies alone.

use longshore_driver_sdk::{Key, KeyPrefix};

use super::Result;
use super::lease::{Lease, Nonce, ObjectId};
use crate::oci::{Digest, RepositoryName, Tag};

/// The version that this core writes.
pub const VERSION: u32 = 1;
/// How a condemned object's mark ends.
pub const CONDEMNED: &str = "condemned";
/// The fixed name of the newest link, where listings may lag.
pub const LATEST: &str = "latest";

/// The fixed name of a manifest's newest tags, where listings may lag.
const RECENT: &str = "recent";

/// What a check writes lies below this.
pub const CHECK: &str = "check/";

pub fn store_record() -> Result<Key> {
    key("longshore.json")
}

pub fn object(id: &ObjectId) -> Result<Key> {
    key(&format!("objects/{}/{id}", id.shard()))
}

pub fn holders(digest: &Digest) -> Result<KeyPrefix> {
    prefix(&format!("{}/", holders_folder(digest)))
}

pub fn holder(digest: &Digest, lease: &Lease) -> Result<Key> {
    key(&format!("{}/{lease}", holders_folder(digest)))
}

pub fn condemned(digest: &Digest, object: &ObjectId) -> Result<Key> {
    key(&format!("{}/{object}.{CONDEMNED}", holders_folder(digest)))
}

fn holders_folder(digest: &Digest) -> String {
    format!("blobs/{}/{}/{}", digest.algorithm().as_str(), &digest.hex()[..2], digest.hex())
}

pub fn links(repository: &RepositoryName, digest: &Digest) -> Result<KeyPrefix> {
    prefix(&format!("{}/", links_folder(repository, digest)))
}

pub fn link(repository: &RepositoryName, digest: &Digest, lease: &Lease) -> Result<Key> {
    key(&format!("{}/{lease}", links_folder(repository, digest)))
}

pub fn latest_link(repository: &RepositoryName, digest: &Digest) -> Result<Key> {
    key(&format!("{}/{LATEST}", links_folder(repository, digest)))
}

fn links_folder(repository: &RepositoryName, digest: &Digest) -> String {
    format!("repositories/{repository}/_blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

pub fn manifest(repository: &RepositoryName, digest: &Digest) -> Result<Key> {
    key(&format!("repositories/{repository}/_manifests/{}/{}", digest.algorithm().as_str(), digest.hex()))
}

/// Everything of a repository lies below this; so do repositories whose names go on from its own.
pub fn folder(repository: &RepositoryName) -> String {
    format!("repositories/{repository}")
}

pub fn tags(repository: &RepositoryName) -> Result<KeyPrefix> {
    prefix(&format!("repositories/{repository}/_tags/"))
}

pub fn tag(repository: &RepositoryName, tag: &Tag) -> Result<Key> {
    key(&format!("repositories/{repository}/_tags/{tag}"))
}

pub fn markers(repository: &RepositoryName, digest: &Digest) -> Result<KeyPrefix> {
    prefix(&format!("{}/", markers_folder(repository, digest)))
}

/// Each push writes one of its own, so that no delete can take away another push's (docs/adr/0003).
pub fn tag_marker(repository: &RepositoryName, digest: &Digest, tag: &Tag, nonce: &Nonce) -> Result<Key> {
    key(&format!("{}/{tag}.{nonce}", markers_folder(repository, digest)))
}

/// The tag that a marker is for; none for a young marker. A nonce has no dot, so the last one splits the name.
pub fn marked_tag(marker: &Key) -> Option<Tag> {
    marker.name().rsplit_once('.')?.0.parse().ok()
}

/// What a listing of the markers may not show yet. No marker's name is without a nonce.
pub fn recent_tags(repository: &RepositoryName, digest: &Digest) -> Result<Key> {
    key(&format!("{}/{RECENT}", markers_folder(repository, digest)))
}

pub fn young_marker(repository: &RepositoryName, digest: &Digest, nonce: &Nonce) -> Result<Key> {
    key(&format!("{}/@{nonce}", markers_folder(repository, digest)))
}

fn markers_folder(repository: &RepositoryName, digest: &Digest) -> String {
    format!("repositories/{repository}/_tagged/{}/{}", digest.algorithm().as_str(), digest.hex())
}

pub fn referrers(repository: &RepositoryName, subject: &Digest) -> Result<KeyPrefix> {
    prefix(&format!("{}/", referrers_folder(repository, subject)))
}

pub fn referrer(repository: &RepositoryName, subject: &Digest, referrer: &Digest) -> Result<Key> {
    key(&format!("{}/{}", referrers_folder(repository, subject), referrer_name(referrer)))
}

/// A referrer's digest in one component of a key; the order of referrers.
pub fn referrer_name(referrer: &Digest) -> String {
    format!("{}-{}", referrer.algorithm().as_str(), referrer.hex())
}

/// The referrer that an entry is for; none if something else lies there.
pub fn referring(entry: &Key) -> Option<Digest> {
    entry.name().replacen('-', ":", 1).parse().ok()
}

fn referrers_folder(repository: &RepositoryName, subject: &Digest) -> String {
    format!("repositories/{repository}/_referrers/{}/{}", subject.algorithm().as_str(), subject.hex())
}

/// All manifests of a repository, of every algorithm.
pub fn manifests(repository: &RepositoryName) -> Result<KeyPrefix> {
    prefix(&format!("repositories/{repository}/_manifests/"))
}

pub fn catalog() -> Result<KeyPrefix> {
    prefix("catalog/")
}

pub fn catalog_entry(repository: &RepositoryName) -> Result<Key> {
    key(&format!("catalog/{}", escape(repository)))
}

/// The repository that a catalog entry is for; none if something else lies there.
pub fn cataloged(entry: &Key) -> Option<RepositoryName> {
    entry.name().replace('~', "/").parse().ok()
}

/// A name in one component of a key; the order of the catalog.
pub fn escape(repository: &RepositoryName) -> String {
    repository.as_str().replace('/', "~")
}

fn key(text: &str) -> Result<Key> {
    Ok(Key::parse(text)?)
}

fn prefix(text: &str) -> Result<KeyPrefix> {
    Ok(KeyPrefix::parse(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_still_make_keys() {
        let name: RepositoryName = "n/".repeat(127).trim_end_matches('/').parse().unwrap();
        let digest: Digest = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
        let lease = Lease::new(ObjectId::random().unwrap()).unwrap();
        let longest: Tag = "t".repeat(128).parse().unwrap();
        assert!(link(&name, &digest, &lease).unwrap().as_str().ends_with(&lease.to_string()));
        assert!(
            tag_marker(&name, &digest, &longest, &lease.nonce)
                .is_ok_and(|key| marked_tag(&key) == Some(longest))
        );
        assert_eq!(referring(&referrer(&name, &digest, &digest).unwrap()), Some(digest));
        assert_eq!(cataloged(&catalog_entry(&name).unwrap()), Some(name));
    }
}
