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
mod redirected;
mod skopeo;
mod tree;

use std::path::Path;
use std::process::Command;
use std::thread;

use longshore_end_to_end::registry::START;
use longshore_end_to_end::{Authority, Random, Registry, figure, scratch};

use crate::client::Client;
use crate::door::{Door, Secure};
use crate::home::done;
use crate::images::Images;
use crate::matrix::Matrix;
use crate::reader::Reader;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_clients_pull_what_each_pushed_over_plain_http() {
    let mut random = Random::announced("clients");
    let images = Images::make(scratch::data_directory(), &mut random);
    let mut registry = Registry::start().await;
    let clients = start_clients(&Door::plain(&registry));
    let reader = Reader::new(registry.client(), None);
    let matrix = Matrix::push("http", &clients, &images, &reader).await;
    matrix.pull_and_print();
    drop(clients);
    registry.stop_core(START);
}

const USER: &str = "alice";
const PASSWORD: &str = "correct horse: battery";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_clients_pull_what_each_pushed_over_tls_with_a_private_authority_and_login() {
    let mut random = Random::announced("clients");
    let images = Images::make(scratch::data_directory(), &mut random);
    let authority = Authority::new();
    authority.issue(1);
    let users = scratch::data_directory();
    let config = format!("listen = '127.0.0.1:0'\n{}{}", authority.tls(), login_section(users.path()));
    let mut registry = Registry::start_listening(&config, Some(&authority.certificate())).await;
    let secure = Secure { authority: authority.certificate(), user: USER };
    let clients = start_clients(&Door::secure(&registry, secure));
    for client in &clients {
        refused(
            &**client,
            "without the authority",
            PASSWORD,
            "x509: certificate signed by unknown authority",
        );
        client.trust();
        refused(&**client, "with a wrong password", "wrong", client.tells_wrong_password());
        client.login(PASSWORD).unwrap_or_else(|refusal| panic!("{refusal}"));
    }
    let reader = Reader::new(registry.client(), Some((USER, PASSWORD)));
    let matrix = Matrix::push("tls", &clients, &images, &reader).await;
    matrix.pull_and_print();
    drop(clients);
    registry.stop_core(START);
}

/// `[auth]` with one user, made by the program that operators use.
fn login_section(directory: &Path) -> String {
    let file = directory.join("htpasswd");
    let mut command = Command::new(scratch::tool("htpasswd", "apache2-utils"));
    done(command.args(["-c", "-B", "-b"]).arg(&file).args([USER, PASSWORD]));
    format!("[auth]\nhtpasswd = {file:?}\n")
}

fn refused(client: &dyn Client, how: &str, password: &str, words: &str) {
    let refusal = client.login(password).expect_err("a login that must fail");
    assert!(refusal.contains(words), "{} {how}: {refusal}", client.name());
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
