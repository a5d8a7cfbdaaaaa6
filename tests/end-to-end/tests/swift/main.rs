//! A registry over Swift: what it asks of the server, several cores and drivers over one container, objects of many
//! segments, resumes after kill -9, downloads that the store serves itself, and what goes wrong.

mod bad_input;
mod check;
mod init;
mod kills;
mod load;
mod redirect;
mod requests;
mod run;
mod segments;
mod several_cores;
mod slow_line;
mod stale;

use longshore_end_to_end::container;

const REPOSITORY: &str = "team/app";
