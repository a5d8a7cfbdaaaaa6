//! Credentials that end by themselves, from a container's endpoint, an instance's, and a web identity. None of these can run
//! here, so a responder of the test's own hands them out. Swift checks what is signed with them, and a front before it sees
//! to it that the session goes along, and that none is used that has ended.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::http::request::Parts;
use hyper::{Method, Response};
use longshore_end_to_end::servers::{Implementation, rfc3339};
use longshore_end_to_end::{Fault, FaultyFront};
use serde_json::json;

use super::PATIENCE;
use super::credentials::without_credentials;
use crate::REPOSITORY;
use crate::bucket::Bucket;
use longshore_end_to_end::image::Image;

/// The driver renews them ten seconds before.
const FIRST_LASTS: Duration = Duration::from_secs(13);
const SECOND_LASTS: Duration = Duration::from_secs(3600);
const UNDER_WAY: Duration = Duration::from_secs(1);

/// Hands out sessions of one account, the first of which soon ends.
struct Sessions {
    key: String,
    secret: String,
    given: AtomicUsize,
    /// When the second was handed out.
    renewed: Mutex<Option<Instant>>,
}

impl Sessions {
    /// A session's token, and when it ends.
    fn next(&self) -> (String, String) {
        let number = self.given.fetch_add(1, Ordering::SeqCst) + 1;
        let lasts = if number == 1 { FIRST_LASTS } else { SECOND_LASTS };
        if number == 2 {
            *self.renewed.lock().expect("an instant") = Some(Instant::now());
        }
        let end = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970") + lasts;
        (format!("session {number}"), rfc3339(end.as_secs()))
    }

    fn json(&self) -> String {
        let (token, end) = self.next();
        let (key, secret) = (&self.key, &self.secret);
        json!({"Code": "Success", "AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": end})
            .to_string()
    }

    fn xml(&self) -> String {
        let (token, end) = self.next();
        format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{}</AccessKeyId>\
             <SecretAccessKey>{}</SecretAccessKey><SessionToken>{token}</SessionToken>\
             <Expiration>{end}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
             </AssumeRoleWithWebIdentityResponse>",
            self.key, self.secret
        )
    }

    /// What was under way meanwhile has arrived.
    fn first_has_ended(&self) -> bool {
        self.renewed.lock().expect("an instant").is_some_and(|since| since.elapsed() > UNDER_WAY)
    }

    /// What a server says that knows sessions.
    fn judge(&self, asked: &Parts) -> Fault {
        let token = asked.headers.get("x-amz-security-token").and_then(|value| value.to_str().ok());
        let refuse = |code: &str| {
            let text = format!("<Error><Code>{code}</Code><Message>refused</Message></Error>");
            Fault::Answer(Response::builder().status(400).body(text).expect("a response"))
        };
        match token {
            Some("session 1") if self.first_has_ended() => refuse("ExpiredToken"),
            Some(token) if token.starts_with("session ") => Fault::Pass,
            _ => refuse("InvalidToken"),
        }
    }
}

/// One server for the three of them: it is slow to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_container_an_instance_or_a_web_identity_hands_out_is_renewed_before_it_ends() {
    let bucket = Bucket::start(Implementation::Swift).await;
    let token = bucket.sockets().join("token");
    std::fs::write(&token, "a token").expect("write a token");
    let container = is_renewed(&bucket, "container", container, |command, url| {
        command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{url}/credentials"));
        command.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a token");
    });
    let instance = is_renewed(&bucket, "instance", instance, |command, url| {
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
    });
    let web = is_renewed(
        &bucket,
        "web",
        |_, sessions| Response::new(sessions.xml()),
        |command, url| {
            command.env("AWS_WEB_IDENTITY_TOKEN_FILE", &token).env("AWS_ENDPOINT_URL_STS", url);
            command.env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/registry");
        },
    );
    tokio::join!(container, instance, web);
}

fn container(asked: &Parts, sessions: &Sessions) -> Response<String> {
    let token = asked.headers.get("authorization").and_then(|value| value.to_str().ok());
    assert_eq!(token, Some("a token"));
    Response::new(sessions.json())
}

fn instance(asked: &Parts, sessions: &Sessions) -> Response<String> {
    match (&asked.method, asked.uri.path()) {
        (&Method::PUT, "/latest/api/token") => Response::builder()
            .header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
            .body("a token".to_owned())
            .expect("a response"),
        (_, path) if path.ends_with("/security-credentials/") => Response::new("registry".to_owned()),
        (_, path) if path.ends_with("/security-credentials/registry") => Response::new(sessions.json()),
        _ => Response::builder().status(404).body(String::new()).expect("a response"),
    }
}

/// Pulls without a pause and without a failure, from the first session into the second.
async fn is_renewed(
    bucket: &Bucket,
    name: &'static str,
    answer: impl Fn(&Parts, &Sessions) -> Response<String> + Send + Sync + 'static,
    adjust: impl FnOnce(&mut Command, &str),
) {
    let sessions = Arc::new(Sessions {
        key: bucket.server.access_key().to_owned(),
        secret: bucket.server.secret_key().to_owned(),
        given: AtomicUsize::new(0),
        renewed: Mutex::default(),
    });
    let (handed, judging) = (Arc::clone(&sessions), Arc::clone(&sessions));
    let responder = FaultyFront::alone(move |asked| answer(asked, &handed)).await;
    let front = FaultyFront::before(bucket.server.endpoint(), move |asked| judging.judge(asked)).await;
    let driver = bucket.driver_through_with(name, &front.url(), |command| {
        without_credentials(command);
        adjust(command, &responder.url());
    });
    let registry = driver.core("").await;
    let client = registry.client();
    let image = Image::push_small(&client, name).await;
    let begin = Instant::now();
    while !sessions.first_has_ended() {
        assert!(begin.elapsed() < PATIENCE, "{name}: nobody asks for others");
        client.get_manifest(REPOSITORY, name).await.expect("a pull meanwhile");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    image.is_served_again(&registry).await;
    let given = sessions.given.load(Ordering::SeqCst);
    assert_eq!(given, 2, "{name}: how many sessions there were");
}
