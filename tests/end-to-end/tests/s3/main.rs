//! A registry over S3: what it asks of the server, several cores and drivers over one bucket, resumes after kill -9, and
//! downloads that the store serves itself.

mod bucket;
mod kills;
mod redirect;
mod requests;
mod several_cores;

const REPOSITORY: &str = "team/app";
