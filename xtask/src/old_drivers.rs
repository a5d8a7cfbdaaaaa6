//! Drivers of docker-registry 0.x as PyPI has them, with their client libraries, for the tests of the driver that puts them behind
//! the socket: for this machine's Python 3, and for Python 2.7 where that is found.

use crate::python27;
use crate::s3_servers::virtualenv;
use crate::tool_directory;

const THREE: &str = "drivers/legacy-python/python/requirements-3.txt";
const TWO: &str = "drivers/legacy-python/python/requirements-2.txt";

pub(crate) fn provide() -> Result<(), String> {
    let what = "old drivers into a virtualenv of Python 3 (half a minute)";
    tool_directory::provide("old-drivers-3", what, |directory| virtualenv::make_of_just(directory, THREE))?;
    python27::provide("old-drivers-2", TWO, |_| Ok(()))
}
