//! docker-registry 0.9.1, the last V1 registry, from PyPI: it makes the stores that `longshore v1` is tried on.

use std::fs;
use std::path::Path;

use crate::python27;
use crate::s3_servers::virtualenv;

/// Each package of one version. docker-registry itself asks for some that no longer compile, so that none is fetched because
/// another one needs it.
const REQUIREMENTS: &str = include_str!("docker_registry/requirements.txt");
const REQUIREMENTS_FILE: &str = "xtask/src/docker_registry/requirements.txt";

/// The registry needs the names for keys that it is not given; M2Crypto 0.22 no longer compiles.
const M2CRYPTO: &str = "class RSA(object):\n    pass\n\n\nclass BIO(object):\n    pass\n";

pub(crate) fn provide() -> Result<(), String> {
    let version = virtualenv::version(REQUIREMENTS, REQUIREMENTS_FILE, "docker-registry")?;
    python27::provide(&format!("docker-registry-{version}"), REQUIREMENTS_FILE, stand_in)
}

fn stand_in(directory: &Path) -> Result<(), String> {
    let stub = directory.join("lib/python2.7/site-packages/M2Crypto");
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", stub.display());
    fs::create_dir(&stub).map_err(failed)?;
    fs::write(stub.join("__init__.py"), M2CRYPTO).map_err(failed)
}
