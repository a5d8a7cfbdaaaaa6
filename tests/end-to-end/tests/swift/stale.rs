//! Writers that are stopped and wake too late, at each request that an upload makes of Swift.

use longshore_end_to_end::proxy::Moment;
use longshore_end_to_end::servers::Flavour;
use longshore_end_to_end::stale_writers::{Trial, stale_writers};

use crate::container::{Container, SEGMENTS, UPLOADS};

/// Bytes that are durable, and bytes that come with the end: of one segment.
const SMALL: [usize; 2] = [1000, 3000];
/// Bytes in a record, segments, and segments that come with the end.
const LARGE: [usize; 3] = [1000, 24 << 20, 16 << 20];

/// Where the writer is stopped.
#[derive(Clone, Copy)]
enum Steps {
    /// At each request that writes something of the upload.
    Writes,
    /// At the last of them: the object itself.
    Commit,
    /// At every request, in every way.
    #[cfg(feature = "full")]
    All,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_a_small_object_on_swift() {
    stop_writers(Flavour::SwiftTempauth, &SMALL, Steps::Writes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_a_small_object_on_rgw() {
    stop_writers(Flavour::RgwSwift, &SMALL, Steps::Writes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_an_object_of_segments_on_swift() {
    stop_writers(Flavour::SwiftTempauth, &LARGE, Steps::Writes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_of_an_object_of_segments_on_rgw() {
    stop_writers(Flavour::RgwSwift, &LARGE, Steps::Commit).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_whatever_request_to_swift_it_is_stopped_at() {
    stop_writers(Flavour::SwiftTempauth, &SMALL, Steps::All).await;
    stop_writers(Flavour::SwiftTempauth, &LARGE, Steps::All).await;
}

#[cfg(feature = "full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_changes_no_byte_whatever_request_to_rgw_it_is_stopped_at() {
    stop_writers(Flavour::RgwSwift, &SMALL, Steps::All).await;
    stop_writers(Flavour::RgwSwift, &LARGE, Steps::All).await;
}

async fn stop_writers(flavour: Flavour, chunks: &[usize], steps: Steps) {
    let name = format!("swift on {flavour:?}");
    let includes = |line: &str, moment| steps.include(line, moment);
    let least_stops = if matches!(steps, Steps::Commit) { 2 } else { 5 };
    let trial = Trial { name, chunks, includes: &includes, least_stops };
    stale_writers(trial, async || Container::start(flavour).await).await;
}

impl Steps {
    fn include(self, line: &str, moment: Moment) -> bool {
        let is_write = !line.starts_with("GET ") && !line.starts_with("HEAD ");
        let is_segment = is_write && line.contains(SEGMENTS);
        let is_of_object = is_write && line.contains("/objects/");
        if moment == Moment::Body && !(is_segment && line.starts_with("PUT ")) {
            return false;
        }
        match self {
            // What a writer finds that wakes after the answer, one that wakes before the next request finds, too.
            Self::Writes if line.contains(UPLOADS) => is_write && moment == Moment::Request,
            Self::Writes => is_segment || is_of_object,
            Self::Commit => is_of_object,
            #[cfg(feature = "full")]
            Self::All => true,
        }
    }
}
