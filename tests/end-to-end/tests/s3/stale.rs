//! Writers that are stopped and wake too late, at each request that an upload makes of an S3 server.

use longshore_end_to_end::proxy::Moment;
use longshore_end_to_end::servers::Implementation;
use longshore_end_to_end::stale_writers::{Trial, stale_writers};

use crate::bucket::Bucket;

/// One commit by PUT: bytes that are durable, and bytes that come with the end.
const SMALL: [usize; 2] = [1000, 3000];
/// Bytes in a record, parts, and parts that come with the end.
const LARGE: [usize; 3] = [1000, 24 << 20, 16 << 20];

/// Where the writer is stopped.
#[derive(Clone, Copy)]
enum Steps {
    /// At each request that writes something of the upload.
    Writes,
    /// At those alone that write to the object.
    Object,
    /// At the last of them.
    Commit,
    /// At every request, in every way.
    #[cfg(feature = "full")]
    All,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_a_small_object_on_versitygw() {
    stop_writers(Implementation::Versitygw, &SMALL, Steps::Writes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_a_small_object_on_swift() {
    stop_writers(Implementation::Swift, &SMALL, Steps::Writes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_a_small_object_on_rgw() {
    stop_writers(Implementation::Rgw, &SMALL, Steps::Writes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_an_object_of_parts_on_versitygw() {
    stop_writers(Implementation::Versitygw, &LARGE, Steps::Writes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_an_object_of_parts_on_swift() {
    stop_writers(Implementation::Swift, &LARGE, Steps::Commit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_an_object_of_parts_on_rgw() {
    stop_writers(Implementation::Rgw, &LARGE, Steps::Object).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_whatever_request_to_versitygw_it_is_stopped_at() {
    stop_writers(Implementation::Versitygw, &SMALL, Steps::All).await;
    stop_writers(Implementation::Versitygw, &LARGE, Steps::All).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_whatever_request_to_swift_it_is_stopped_at() {
    stop_writers(Implementation::Swift, &SMALL, Steps::All).await;
    stop_writers(Implementation::Swift, &LARGE, Steps::All).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_whatever_request_to_rgw_it_is_stopped_at() {
    stop_writers(Implementation::Rgw, &SMALL, Steps::All).await;
    stop_writers(Implementation::Rgw, &LARGE, Steps::All).await;
}

async fn stop_writers(implementation: Implementation, chunks: &[usize], steps: Steps) {
    let name = format!("s3 on {implementation:?}");
    let includes = |line: &str, moment| steps.include(line, moment);
    let least_stops = 5;
    let trial = Trial { name, chunks, includes: &includes, least_stops };
    stale_writers(trial, async || Bucket::start(implementation).await).await;
}

impl Steps {
    fn include(self, line: &str, moment: Moment) -> bool {
        let is_part = line.contains("partNumber=");
        if moment == Moment::Body && !is_part {
            return false;
        }
        let is_write = !line.starts_with("GET ") && !line.starts_with("HEAD ");
        let is_of_object = is_write && line.contains("/objects/");
        match self {
            // What a writer finds that wakes after the answer, one that wakes before the next request finds, too.
            Self::Writes if line.contains("/.driver/uploads/") => is_write && moment == Moment::Request,
            Self::Writes | Self::Object => is_of_object,
            Self::Commit => is_of_object && (line.contains("partNumber=3") || line.contains("?uploadId=")),
            #[cfg(feature = "full")]
            Self::All => true,
        }
    }
}
