//! What operators get wrong, and what servers do: each is said in one line, and goes away without a restart.

mod container;
mod cuts;
mod keystone;
mod lagging;
mod login;
mod permissions;
mod quota;
mod segments;
mod throttling;

use std::time::Duration;

use longshore_end_to_end::Registry;

const PATIENCE: Duration = Duration::from_secs(30);
/// In a driver's log while it can't begin.
const NOT_YET: &str = "can't be used yet";

/// In the core's log, with its reason.
fn told(registry: &Registry, reason: &str, line: &str) -> String {
    let fits = |said: &str| said.contains(line) && said.contains(reason);
    registry.core().await_line_where(&format!("{reason} ... {line}"), fits, PATIENCE)
}
