//! Credentials that end, are revoked or replaced while everything runs: the same processes go on with new ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_end_to_end::scratch;
use longshore_end_to_end::servers::{Account, Implementation, Options};
use reqwest::StatusCode;
use tempfile::TempDir;

use super::permissions::documented_statements;
use crate::bucket::{Bucket, Driver};
use longshore_end_to_end::image::Image;

/// Without any credentials of its own: no file of who runs the tests may be read.
pub(super) fn without_credentials(command: &mut Command) {
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null").env("AWS_CONFIG_FILE", "/dev/null");
}

/// A versitygw that lets these accounts do what the documentation says, and no more.
pub(super) async fn bucket_of(accounts: &[&Account]) -> Bucket {
    let options = Options { accounts: true, ..Options::default() };
    let bucket = Bucket::start_with(Implementation::Versitygw, options, &[]).await;
    for account in accounts {
        bucket.server.add_account(account);
    }
    bucket.server.set_policy(accounts, &documented_statements()).await;
    bucket
}

/// Where a driver finds its credentials, in a file.
struct Place {
    directory: TempDir,
    write: fn(&Account) -> String,
}

impl Place {
    fn new(write: fn(&Account) -> String) -> Self {
        Self { directory: scratch::data_directory(), write }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("credentials")
    }

    fn holds(&self, account: &Account) {
        replace(&self.file(), &(self.write)(account));
    }
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("write a new file");
    std::fs::rename(&new, path).expect("rename it over the old one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_replaced_in_a_profile_need_no_restart() {
    let place = Place::new(|account| {
        let (key, secret) = (&account.access_key, &account.secret_key);
        format!("[registry]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    });
    let file = place.file();
    replaced_credentials_are_taken_up(&place, |command| {
        command.env("AWS_SHARED_CREDENTIALS_FILE", &file).arg("profile=registry");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_credential_process_gives_anew_needs_no_restart() {
    let place = Place::new(|account| {
        let (key, secret) = (&account.access_key, &account.secret_key);
        format!(r#"{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "{secret}"}}"#)
    });
    let config = place.directory.path().join("config");
    std::fs::write(&config, format!("[default]\ncredential_process = cat {}\n", place.file().display()))
        .expect("write a configuration");
    replaced_credentials_are_taken_up(&place, |command| {
        command.env("AWS_CONFIG_FILE", &config);
    })
    .await;
}

/// A key is revoked, and then the secret of the next one is changed; each time the server says what is wrong.
async fn replaced_credentials_are_taken_up(place: &Place, adjust: impl FnOnce(&mut Command)) {
    let (first, second) = (Account::new("first"), Account::new("second"));
    let bucket = bucket_of(&[&first, &second]).await;
    place.holds(&first);
    let driver = bucket.driver_with("driver", |command| {
        without_credentials(command);
        adjust(command);
    });
    let registry = driver.core("").await;
    let image = Image::push(&registry.client()).await;

    bucket.server.remove_account(&first);
    let (status, body) = image.refusal(&registry).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    registry
        .core()
        .await_line("the server does not know the access key; mend the credentials", super::PATIENCE);
    place.holds(&second);
    image.is_served_again(&registry).await;

    let changed = Account { secret_key: "another".to_owned(), ..second };
    bucket.server.change_secret(&changed);
    image.refusal(&registry).await;
    let line = "the secret key does not fit the access key; mend the credentials";
    registry.core().await_line(line, super::PATIENCE);
    place.holds(&changed);
    image.is_served_again(&registry).await;
    says_that_there_are_new_ones(&driver, &changed);
}

pub(super) fn says_that_there_are_new_ones(driver: &Driver, account: &Account) {
    let line = driver.await_line("there are new credentials");
    assert!(!line.contains(&account.secret_key), "a secret is in the log: {line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_without_credentials_says_so_and_finds_them_later() {
    let account = Account::new("late");
    let bucket = bucket_of(&[&account]).await;
    let place = Place::new(|account| {
        let (key, secret) = (&account.access_key, &account.secret_key);
        format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    });
    let mut driver = bucket.new_driver("driver", |command| {
        without_credentials(command);
        command.env("AWS_SHARED_CREDENTIALS_FILE", place.file()).env("AWS_EC2_METADATA_DISABLED", "true");
    });
    driver.spawn();
    let line = driver.await_line("the store can't be used yet");
    assert!(
        line.contains("BACKEND_CREDENTIALS")
            && line.contains("there are no credentials; mend or renew the credentials"),
        "{line}"
    );
    place.holds(&account);
    driver.await_line(crate::bucket::IT_SERVES);
}
