//! The wires, with real sockets against the release binaries: TLS, unix sockets, proxies, slow clients, HTTP/2 abuse, drain.

mod abuse;
mod drain;
mod frames;
mod good;
mod limits;
mod proxies;
mod raw;
mod slow;
mod tls;
mod unix;

use longshore_end_to_end::Client;
use reqwest::Version;

/// A blob goes in and comes out the same; gives the HTTP version that was spoken.
async fn push_and_pull(client: &Client, repository: &str) -> Version {
    let content = vec![7_u8; 3 << 20];
    let digest = client.push_blob(repository, content.clone()).await.expect("push");
    assert_eq!(client.get_blob(repository, &digest).await.expect("pull"), content);
    client.head_blob(repository, &digest).await.expect("HEAD").version()
}
