//! Accounts besides the owner's, and what the bucket's policy lets them do.

use reqwest::Method;

use super::{S3Server, rgw, versitygw};
use crate::process::run_command;

/// Who may do what the bucket's policy says.
#[derive(Clone, Debug)]
pub struct Account {
    pub access_key: String,
    pub secret_key: String,
}

impl Account {
    pub fn new(name: &str) -> Self {
        Self { access_key: format!("{name}key"), secret_key: format!("{name}secret") }
    }
}

impl S3Server {
    /// It may do nothing yet. For RGW, and for versitygw with `Options::accounts`.
    pub fn add_account(&self, account: &Account) {
        let (key, secret) = (account.access_key.as_str(), account.secret_key.as_str());
        if self.is_rgw() {
            let (user, key, secret) =
                (format!("--uid={key}"), format!("--access-key={key}"), format!("--secret={secret}"));
            rgw::administer(
                self.directory(),
                &["user", "create", &user, "--display-name=other", &key, &secret],
            );
        } else {
            self.administer(&["create-user", "--access", key, "--secret", secret, "--role", "user"]);
        }
    }

    pub fn remove_account(&self, account: &Account) {
        if self.is_rgw() {
            rgw::administer(self.directory(), &["user", "rm", &format!("--uid={}", account.access_key)]);
        } else {
            self.administer(&["delete-user", "--access", &account.access_key]);
        }
    }

    /// versitygw's: its key stays, with another secret.
    pub fn change_secret(&self, account: &Account) {
        self.administer(&["update-user", "--access", &account.access_key, "--secret", &account.secret_key]);
    }

    /// Puts the bucket's policy: these statements, in which `PRINCIPAL` stands for the accounts.
    pub async fn set_policy(&self, accounts: &[&Account], statements: &str) {
        let names = accounts.iter().map(|account| {
            let key = &account.access_key;
            if self.is_rgw() { format!("\"arn:aws:iam:::user/{key}\"") } else { format!("\"{key}\"") }
        });
        let principal = format!("{{\"AWS\": [{}]}}", names.collect::<Vec<_>>().join(", "));
        let statements = statements.replace("PRINCIPAL", &principal);
        let policy = format!("{{\"Version\": \"2012-10-17\", \"Statement\": [{statements}]}}");
        let answer = self.send(Method::PUT, &format!("/{}?policy", self.bucket()), policy.into()).await;
        let status = answer.status();
        let said = answer.text().await.unwrap_or_default();
        assert!(status.is_success(), "put a policy: {status} {said}");
    }

    fn administer(&self, arguments: &[&str]) {
        let mut command = versitygw::program();
        command.args(["admin", "--endpoint-url", self.endpoint(), "--region", self.region()]);
        command.args(["--access", self.access_key(), "--secret", self.secret_key()]);
        run_command(command.args(arguments));
    }

    fn is_rgw(&self) -> bool {
        self.running.name() == "radosgw"
    }
}
