//! A real docker engine pushes to registries over unmodified old drivers, and pulls back, under Python 3 and 2.7: `file`, `swift` to
//! a real Swift, and `s3` to Ceph's RGW, which still takes the signatures of those days.

use std::path::Path;

use longshore_end_to_end::docker_round::{Place, pushes_and_pulls};
use longshore_end_to_end::old_store::{Driver, OldStore, Python, s3_settings, swift_settings};
use longshore_end_to_end::servers::{Flavour, Implementation, S3Server, SwiftServer};

const LAYER: usize = 96 << 20;

/// What has to live as long as the registry.
struct Below {
    _store: OldStore,
    _server: Option<Box<dyn Send + Sync>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_pushes_and_pulls_over_old_drivers_under_python_3() {
    let python = crate::python3();
    over_each(&python).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_pushes_and_pulls_over_old_drivers_under_python_2() {
    let Some(python) = Python::Two.of_test("docker_pushes_and_pulls_over_old_drivers_under_python_2") else {
        return;
    };
    over_each(&python).await;
}

async fn over_each(python: &Path) {
    pushes_and_pulls(vec![over_files(python).await, over_swift(python).await, over_s3(python).await], LAYER);
}

async fn over_files(python: &Path) -> Place<Driver, Below> {
    let store = OldStore::of_files(python);
    place(store, None, "the old driver file").await
}

async fn over_swift(python: &Path) -> Place<Driver, Below> {
    let server = SwiftServer::start(Flavour::SwiftTempauth).await;
    let store = OldStore::of_server("swift", python, &swift_settings(&server));
    place(store, Some(Box::new(server)), "the old driver swift").await
}

async fn over_s3(python: &Path) -> Place<Driver, Below> {
    let server = S3Server::start(Implementation::Rgw).await;
    let store = OldStore::of_server("s3", python, &s3_settings(&server));
    place(store, Some(Box::new(server)), "the old driver s3").await
}

async fn place(store: OldStore, server: Option<Box<dyn Send + Sync>>, name: &str) -> Place<Driver, Below> {
    let driver = store.driver("driver");
    let registry = driver.core("").await;
    Place::new(registry, driver, Below { _store: store, _server: server }, name.to_owned())
}
