//! Real clients, as Debian ships them: docker, podman, skopeo, buildah and containerd's ctr push to
//! `longshore serve` and pull what the others pushed. It prints who pulls what whom pushed.

mod buildah;
mod client;
mod ctr;
mod docker;
mod door;
mod home;
mod images;
mod matrix;
mod podman;
mod pushed;
mod reader;
mod skopeo;
mod tree;

use std::thread;

use longshore_end_to_end::registry::START;
use longshore_end_to_end::{Random, Registry, figure, scratch};

use crate::client::Client;
use crate::door::Door;
use crate::images::Images;
use crate::matrix::Matrix;
use crate::reader::Reader;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_clients_pull_what_each_pushed_over_plain_http() {
    let mut random = Random::announced("clients");
    let images = Images::make(scratch::data_directory(), &mut random);
    let mut registry = Registry::start().await;
    let clients = start_clients(&Door::of(&registry));
    let reader = Reader::new(registry.client());
    let matrix = Matrix::push(&clients, &images, &reader).await;
    matrix.pull_and_print();
    drop(clients);
    registry.stop_core(START);
}

type Start = fn(&Door) -> Box<dyn Client>;

/// All at the same time: two of them have a daemon to wait for.
fn start_clients(door: &Door) -> Vec<Box<dyn Client>> {
    let starts: [Start; 5] = [
        |door| Box::new(docker::Docker::start(door)),
        |door| Box::new(podman::Podman::start(door)),
        |door| Box::new(skopeo::Skopeo::start(door)),
        |door| Box::new(buildah::Buildah::start(door)),
        |door| Box::new(ctr::Ctr::start(door)),
    ];
    let clients: Vec<_> = thread::scope(|scope| {
        let started = starts.map(|start| scope.spawn(move || start(door)));
        started.into_iter().map(|thread| thread.join().expect("the client starts")).collect()
    });
    for client in &clients {
        figure!("clients: {}", client.version().trim());
    }
    clients
}
