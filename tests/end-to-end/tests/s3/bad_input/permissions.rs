//! What the bucket's policy must allow, and what is said where it does not; taken away and given back while all runs.

use longshore_end_to_end::client::{OCI_MANIFEST, image_manifest, manifest_path};
use longshore_end_to_end::servers::{Account, Implementation, Options, S3Server};
use longshore_end_to_end::{Client, Registry};
use reqwest::{Method, StatusCode};

use super::PATIENCE;
use crate::REPOSITORY;
use crate::bucket::Bucket;
use longshore_end_to_end::image::Image;

const LINE: &str = "the server refuses; the policy must allow this";

/// The statements of the policy in the documentation, for the accounts of a bucket's policy.
pub(super) fn documented_statements() -> String {
    let text = include_str!("../../../../../docs/drivers/s3.md");
    let (_, policy) = text.split_once("\"Statement\": [").expect("a policy");
    let (statements, _) = policy.split_once("]}\n").expect("its end");
    statements.replace("\"Effect\": \"Allow\",", "\"Effect\": \"Allow\", \"Principal\": PRINCIPAL,")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_policy_suffices_and_what_it_lacks_is_told_over_versitygw() {
    the_documented_policy_suffices_and_what_it_lacks_is_told(Implementation::Versitygw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_policy_suffices_and_what_it_lacks_is_told_over_rgw() {
    the_documented_policy_suffices_and_what_it_lacks_is_told(Implementation::Rgw).await;
}

async fn the_documented_policy_suffices_and_what_it_lacks_is_told(implementation: Implementation) {
    let accounts = implementation == Implementation::Versitygw;
    let options = Options { accounts, ..Options::default() };
    let bucket = Bucket::start_with(implementation, options, &[]).await;
    let account = Account::new("registry");
    bucket.server.add_account(&account);
    let permissions = Permissions { server: &bucket.server, account: &account };
    permissions.all().await;
    let driver = bucket.driver_with("driver", |command| {
        command.env("AWS_ACCESS_KEY_ID", &account.access_key);
        command.env("AWS_SECRET_ACCESS_KEY", &account.secret_key);
    });
    assert!(!driver.says("the probe's objects stay"), "a batch of deletes is refused");
    let registry = driver.core("").await;
    let client = registry.client();
    let image = Image::push(&client).await;
    push_and_delete(&client).await;

    permissions.all_but("s3:GetObject").await;
    let (status, body) = image.refusal(&registry).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    told(&registry, "GET");
    permissions.all().await;
    image.is_served_again(&registry).await;

    permissions.all_but("s3:PutObject").await;
    let refused = client.push_blob(REPOSITORY, "nobody may write this").await.expect_err("a push");
    assert_eq!(refused.status(), Some(StatusCode::INTERNAL_SERVER_ERROR), "{refused}");
    told(&registry, "PUT");
    client.get_manifest(REPOSITORY, "1").await.expect("what was there is still read");
    permissions.all().await;
    image.is_served_again(&registry).await;

    permissions.all_but("s3:ListBucket").await;
    let tags = client.get(&format!("/v2/{REPOSITORY}/tags/list")).send().await.expect("an answer");
    assert_eq!(tags.status(), StatusCode::INTERNAL_SERVER_ERROR);
    told(&registry, "LIST");
    permissions.all().await;
    image.is_served_again(&registry).await;

    permissions.all_but("s3:DeleteObject").await;
    let delete = client.request(Method::DELETE, &manifest_path(REPOSITORY, "1"));
    let refused = delete.send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let line = driver.await_line("a key can't be deleted");
    assert!(line.contains("BACKEND_CREDENTIALS: DELETE ") && line.contains(LINE), "{line}");
    permissions.all().await;
    image.is_served_again(&registry).await;
    push_and_delete(&client).await;
}

struct Permissions<'a> {
    server: &'a S3Server,
    account: &'a Account,
}

impl Permissions<'_> {
    async fn all(&self) {
        self.server.set_policy(&[self.account], &documented_statements()).await;
    }

    /// A denial counts more than what an account may do with objects of its own.
    async fn all_but(&self, action: &str) {
        let statements = documented_statements();
        assert!(statements.contains(&format!("\"{action}\"")), "{action} is not in the policy");
        let resource = if action == "s3:ListBucket" { "registry" } else { "registry/*" };
        let denial = format!(
            "{{\"Effect\": \"Deny\", \"Principal\": PRINCIPAL, \"Action\": [\"{action}\"],
              \"Resource\": \"arn:aws:s3:::{resource}\"}}"
        );
        self.server.set_policy(&[self.account], &format!("{statements}, {denial}")).await;
    }
}

fn told(registry: &Registry, request: &str) {
    let fits =
        |line: &str| line.contains(LINE) && line.contains(request) && line.contains("BACKEND_CREDENTIALS");
    registry.core().await_line_where(LINE, fits, PATIENCE);
}

/// A tag that comes and goes.
async fn push_and_delete(client: &Client) {
    let config = client.push_blob(REPOSITORY, "{}").await.expect("a configuration");
    let manifest = image_manifest((&config, 2), &[]);
    client.put_manifest(REPOSITORY, "gone", OCI_MANIFEST, manifest).await.expect("a manifest");
    let gone = client.request(Method::DELETE, &manifest_path(REPOSITORY, "gone")).send().await;
    assert_eq!(gone.expect("DELETE").status(), StatusCode::ACCEPTED);
    let answer = client.get(&manifest_path(REPOSITORY, "gone")).send().await.expect("GET");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}
