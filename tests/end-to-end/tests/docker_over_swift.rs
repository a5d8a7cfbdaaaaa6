//! A real docker engine pushes a layer of 1 GiB to a registry over Swift and over the Swift of RGW, and pulls it back.

use longshore_end_to_end::container::{Container, Driver};
use longshore_end_to_end::docker_round::{GIB, Place, pushes_and_pulls};
use longshore_end_to_end::servers::Flavour;

async fn start(flavour: Flavour) -> Place<Driver, Container> {
    let container = Container::start(flavour).await;
    let driver = container.driver("driver");
    let registry = driver.core("").await;
    Place::new(registry, driver, container, format!("{flavour:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_pushes_and_pulls_a_layer_of_1_gib_over_each_swift() {
    let [one, two, three] = Flavour::ALL.map(start);
    let (one, two, three) = tokio::join!(one, two, three);
    pushes_and_pulls(vec![one, two, three], GIB);
}
