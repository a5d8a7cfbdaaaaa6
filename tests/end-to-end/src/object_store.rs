//! A store on a server, whichever API that speaks: what tests that hold for all of them ask of it.

use bytes::Bytes;
use reqwest::{Method, Response};

use crate::bucket::{Bucket, no_multipart_upload_is_left};
use crate::container::Container;
use crate::instance::Driver;
use crate::servers::encode;

#[expect(async_fn_in_trait, reason = "tests await it where it is called")]
pub trait ObjectStore {
    /// What headers that tell an object's metadata begin with.
    const METADATA: &str;

    /// A driver that runs.
    fn driver(&self, name: &str) -> Driver;
    /// One that reaches the server through something at this URL.
    fn driver_behind(&self, name: &str, url: &str) -> Driver;
    /// `http://127.0.0.1:PORT`
    fn endpoint(&self) -> &str;
    /// All that begin so, in the server's order.
    async fn names(&self, prefix: &str) -> Vec<String>;
    /// The server's answer to a GET of an object.
    async fn answer_of(&self, name: &str) -> Response;
    /// Once the sessions are ended: no parts of objects that are none.
    async fn nothing_is_left_of_uploads(&self);
    /// Kills the process at the endpoint.
    fn stop_server(&mut self);
    async fn start_server_again(&mut self);
}

impl ObjectStore for Bucket {
    const METADATA: &str = "x-amz-meta-";

    fn driver(&self, name: &str) -> Driver {
        self.driver(name)
    }

    fn driver_behind(&self, name: &str, url: &str) -> Driver {
        self.driver_through(name, url)
    }

    fn endpoint(&self) -> &str {
        self.server.endpoint()
    }

    async fn names(&self, prefix: &str) -> Vec<String> {
        self.server.keys(prefix).await
    }

    async fn answer_of(&self, name: &str) -> Response {
        let target = format!("/{}/{}", self.server.bucket(), encode(name, true));
        self.server.send(Method::GET, &target, Bytes::new()).await
    }

    async fn nothing_is_left_of_uploads(&self) {
        no_multipart_upload_is_left(&self.server).await;
    }

    fn stop_server(&mut self) {
        self.server.stop();
    }

    async fn start_server_again(&mut self) {
        self.server.start_again().await;
    }
}

impl ObjectStore for Container {
    const METADATA: &str = "x-object-meta-";

    fn driver(&self, name: &str) -> Driver {
        self.driver(name)
    }

    fn driver_behind(&self, name: &str, url: &str) -> Driver {
        self.driver_through(name, &self.server.reached_at(url))
    }

    fn endpoint(&self) -> &str {
        self.server.endpoint()
    }

    async fn names(&self, prefix: &str) -> Vec<String> {
        self.server.names(prefix).await
    }

    async fn answer_of(&self, name: &str) -> Response {
        let target = format!("/{}/{}", self.server.container(), encode(name, true));
        self.server.send(Method::GET, &target, Bytes::new()).await
    }

    async fn nothing_is_left_of_uploads(&self) {
        assert_eq!(self.uploads().await, Vec::<String>::new());
        self.no_segment_is_left_over().await;
    }

    fn stop_server(&mut self) {
        self.server.stop();
    }

    async fn start_server_again(&mut self) {
        self.server.start_again().await;
    }
}
