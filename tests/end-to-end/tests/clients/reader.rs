//! The test's own look into the registry.

use bytes::Bytes;
use longshore_end_to_end::Client;
use longshore_end_to_end::client::{expect, manifest_path};
use reqwest::StatusCode;

pub(crate) struct Reader(Client);

impl Reader {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }

    pub(crate) async fn manifest(&self, repository: &str, reference: &str) -> Bytes {
        self.get(&manifest_path(repository, reference)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Bytes {
        let response = self.0.get(path).send().await.expect("an answer");
        let response =
            expect(StatusCode::OK, "GET", response).await.unwrap_or_else(|error| panic!("{error}"));
        response.bytes().await.expect("a whole answer")
    }
}
