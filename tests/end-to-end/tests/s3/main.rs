//! A registry over S3: what it asks of the server, several cores and drivers over one bucket, resumes after kill -9,
//! downloads that the store serves itself, and what goes wrong.

mod bad_input;
mod check;
mod init;
mod kills;
mod load;
mod redirect;
mod requests;
mod run;
mod several_cores;
mod slow_line;
mod stale;

use longshore_end_to_end::bucket;

const REPOSITORY: &str = "team/app";
