//! A registry over S3: what it asks of the server, several cores and drivers over one bucket, resumes after kill -9,
//! downloads that the store serves itself, and what goes wrong.

mod bad_input;
mod bucket;
mod check;
mod kills;
mod redirect;
mod requests;
mod several_cores;

const REPOSITORY: &str = "team/app";
