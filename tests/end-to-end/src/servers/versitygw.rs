//! versitygw over a directory. It alone writes an access log that a test can count in.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Credentials, Options, Port, Prepared, provided};

/// One entry of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// In the words of S3: `PutObject`, `ListObjectsV2`. The log has no HTTP method.
    pub operation: String,
    pub bucket: String,
    /// Decoded; empty for a request about a bucket.
    pub key: String,
    /// As it was on the wire, without the question mark.
    pub query: String,
    pub status: u16,
}

pub(super) fn program() -> Command {
    Command::new(provided("versitygw-v1.8.0/versitygw"))
}

/// Where it writes one, of a server with these data.
pub(super) fn access_log(data: &Path) -> PathBuf {
    data.join("access.log")
}

pub(super) fn prepare(data: &Path, port: &Port, credentials: &Credentials, options: &Options) -> Prepared {
    // It changes its directory to the root of its objects, so every path is absolute.
    let (root, log) = (data.join("objects"), access_log(data));
    std::fs::create_dir(&root).expect("a directory for the objects");
    let mut front = program();
    front.arg("--port").arg(format!("127.0.0.1:{}", port.number()));
    // Without it each request has a connection of its own, as no other server does it.
    front.arg("--keep-alive");
    front.arg("--quiet").arg("--region").arg(&credentials.region).arg("--access-log").arg(&log);
    if let Some(authority) = &options.authority {
        let (certificate, key) = authority.issued();
        front.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
    if options.accounts {
        let accounts = data.join("accounts");
        std::fs::create_dir(&accounts).expect("a directory for the accounts");
        // It would go on believing in one that is gone.
        front.arg("--iam-dir").arg(accounts).arg("--iam-cache-disable");
    }
    front.arg("posix").arg(&root);
    front.env("ROOT_ACCESS_KEY", &credentials.access_key).env("ROOT_SECRET_KEY", &credentials.secret_key);
    Prepared { name: "versitygw", front, behind: Vec::new(), ports: Vec::new() }
}

pub(super) fn requests(log: &Path) -> Vec<Request> {
    let text = std::fs::read_to_string(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let entries = text.lines().filter(|line| !line.starts_with("log starts "));
    entries.map(|line| entry(line).unwrap_or_else(|| panic!("an entry of another form: {line}"))).collect()
}

/// `OWNER BUCKET [TIME ZONE] ADDRESS REQUESTER ID s3_OPERATION KEY /PATH?QUERY STATUS ERROR ...`, a key with its spaces.
fn entry(line: &str) -> Option<Request> {
    let (before, rest) = line.split_once("] ")?;
    let bucket = before.split(' ').nth(1)?;
    let mut words = rest.splitn(5, ' ').skip(3);
    let operation = words.next()?.trim_start_matches("s3_");
    let (key, rest) = words.next()?.split_once(" /")?;
    let mut words = rest.split(' ');
    let (_, query) = words.next().map(|target| target.split_once('?').unwrap_or((target, "")))?;
    let known = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
    Some(Request {
        operation: operation.to_owned(),
        bucket: known(bucket),
        key: known(key),
        query: query.to_owned(),
        status: words.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_with_the_spaces_of_its_key_and_the_query_of_its_request() {
        let line = "k bkt [25/November/2026:22:07:27 +0000] 127.0.0.1 k CHE4 s3_UploadPart a b/c+d \
                    /bkt/a%20b/c%2Bd?uploadId=d5&partNumber=1 200 - 0 1 0 0 - agent - x SigV4";
        let read = entry(line).expect("an entry");
        assert_eq!((read.operation.as_str(), read.bucket.as_str()), ("UploadPart", "bkt"));
        assert_eq!((read.key.as_str(), read.query.as_str()), ("a b/c+d", "uploadId=d5&partNumber=1"));
        assert_eq!(read.status, 200);
    }

    #[test]
    fn an_entry_of_a_request_that_is_about_no_bucket_has_neither_bucket_nor_key() {
        let line = "- - [25/November/2026:22:07:27 +0000] 127.0.0.1 k FNOJ s3_ListAllMyBuckets - / 200 - 288";
        let read = entry(line).expect("an entry");
        assert_eq!((read.bucket.as_str(), read.key.as_str(), read.query.as_str()), ("", "", ""));
    }
}
