//! The test's own look into the registry.

use bytes::Bytes;
use longshore_end_to_end::Client;
use longshore_end_to_end::client::{expect, manifest_path};
use reqwest::StatusCode;

pub(crate) struct Reader {
    client: Client,
    login: Option<(&'static str, &'static str)>,
}

impl Reader {
    pub(crate) fn new(client: Client, login: Option<(&'static str, &'static str)>) -> Self {
        Self { client, login }
    }

    pub(crate) async fn manifest(&self, repository: &str, reference: &str) -> Bytes {
        self.get(&manifest_path(repository, reference)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Bytes {
        let mut request = self.client.get(path);
        if let Some((user, password)) = self.login {
            request = request.basic_auth(user, Some(password));
        }
        let response = request.send().await.expect("an answer");
        let response =
            expect(StatusCode::OK, "GET", response).await.unwrap_or_else(|error| panic!("{error}"));
        response.bytes().await.expect("a whole answer")
    }
}
