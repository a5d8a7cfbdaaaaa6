//! The servers that speak Swift's own API: what the tests of the Swift driver rest on.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_end_to_end::servers::{Flavour, Login, PAGE, REGIONS, Rights, SwiftAccess, SwiftOptions};
use longshore_end_to_end::swift_front::slow_down;
use longshore_end_to_end::{Fault, SwiftFront, SwiftServer, figure};
use reqwest::{Method, StatusCode};

/// Keystone counts in seconds.
const TOKEN_LIFE: Duration = Duration::from_secs(3);

async fn status_of(access: &SwiftAccess, method: Method, name: &str) -> StatusCode {
    access.send(method, &format!("/{}/{name}", access.container()), Bytes::new()).await.status()
}

async fn an_object_comes_and_goes(server: &SwiftServer) {
    let (name, body) = ("a b/+&%é:@=?x", Bytes::from(vec![7; 100_000]));
    assert_eq!(server.get(name).await, None);
    server.put(name, body.clone()).await;
    assert_eq!(server.get(name).await, Some(body));
    assert_eq!(server.sizes("a b/").await, [(name.to_owned(), 100_000)]);
    server.delete(name).await;
    assert!(server.head(name).await.is_none());
    assert_eq!(server.names("").await, Vec::<String>::new());
}

async fn a_listing_goes_on_over_its_pages(server: &SwiftServer) {
    let names: Vec<String> = (0..PAGE + 5).map(|number| format!("pages/{number:03}&<")).collect();
    for name in &names {
        server.put(name, "").await;
    }
    assert_eq!(server.names("pages/").await, names);
    server.delete_all().await;
    assert_eq!(server.names("").await, Vec::<String>::new());
}

/// Its segments are listed, and the manifest names them.
async fn a_manifest_is_the_sum_of_its_segments(server: &SwiftServer) {
    server.put("segments/1", "one, ").await;
    server.put("segments/2", "two").await;
    let path = |name: &str| serde_json::json!({"path": format!("/{}/segments/{name}", server.container())});
    let manifest = serde_json::json!([path("1"), path("2")]).to_string();
    let target = format!("/{}/large?multipart-manifest=put", server.container());
    let put = server.send(Method::PUT, &target, manifest.into()).await;
    assert_eq!(put.status(), StatusCode::CREATED);
    assert_eq!(server.get("large").await, Some("one, two".into()));
    assert_eq!(server.names("").await, ["large", "segments/1", "segments/2"]);
    if let Some(said) = server.manifest("large").await {
        assert!(said.contains("segments/2"), "{said}");
    } else {
        assert_eq!(server.flavour(), Flavour::RgwSwift);
    }
    server.delete_all().await;
}

async fn it_says_what_it_can_do(server: &SwiftServer) {
    let able = server.capabilities().await;
    for what in ["swift", "slo", "tempurl", "bulk_delete"] {
        assert!(able[what].is_object(), "{what}: {able}");
    }
    assert!(able["slo"]["max_manifest_segments"].as_u64().is_some_and(|most| most >= 1000), "{able}");
}

async fn who_is_not_let_in_is_refused(server: &SwiftServer) {
    let session = server.authenticate().await.expect("the owner is let in");
    assert_eq!(session.storage_url, server.storage_url());
    let forged = server.request(Method::GET, "/registry", "guessed", Bytes::new(), &[]);
    assert_eq!(forged.send().await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
}

async fn a_guest_may_do_what_he_was_allowed(server: &SwiftServer) {
    let guest = server.guest();
    server.put("shown", "x").await;
    assert_eq!(status_of(&guest, Method::GET, "shown").await, StatusCode::FORBIDDEN);
    server.allow_guest(Rights::Read).await;
    assert_eq!(guest.get("shown").await, Some("x".into()));
    assert_eq!(guest.names("").await, ["shown"]);
    assert_eq!(status_of(&guest, Method::PUT, "new").await, StatusCode::FORBIDDEN);
    assert_eq!(status_of(&guest, Method::DELETE, "shown").await, StatusCode::FORBIDDEN);
    server.allow_guest(Rights::ReadAndWrite).await;
    guest.put("new", "y").await;
    guest.delete_all().await;
}

async fn a_quota_is_kept(server: &SwiftServer) {
    server.set_quota(1000).await;
    let target = format!("/{}/big", server.container());
    let refused = server.send(Method::PUT, &target, vec![0; 2000].into()).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    server.lift_quota().await;
    server.put("big", vec![0; 2000]).await;
    server.delete("big").await;
}

async fn a_missing_container_is_said_to_be_missing(server: &SwiftServer) {
    let other = server.in_container("another");
    assert_eq!(status_of(&other, Method::PUT, "x").await, StatusCode::NOT_FOUND);
    other.create_container().await;
    other.put("x", "x").await;
    assert_eq!(server.names("").await, Vec::<String>::new());
    other.delete_container().await;
    assert_eq!(status_of(&other, Method::PUT, "x").await, StatusCode::NOT_FOUND);
}

async fn data_outlive_the_process(server: &mut SwiftServer) {
    server.put("kept", "before").await;
    server.stop();
    assert!(server.attempt(Method::GET, "/registry", Bytes::new(), &[]).await.is_err());
    server.start_again().await;
    assert_eq!(server.get("kept").await, Some("before".into()));
}

fn nothing_is_left_of(server: SwiftServer) {
    let (directory, ids) = (server.directory().to_owned(), server.process_ids());
    drop(server);
    for id in ids {
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "{id} has not been reaped");
    }
    assert!(!directory.exists());
}

async fn a_life(flavour: Flavour) {
    let begin = Instant::now();
    let mut server = SwiftServer::start(flavour).await;
    figure!("{flavour:?} started in {:.1} s", begin.elapsed().as_secs_f64());
    an_object_comes_and_goes(&server).await;
    it_says_what_it_can_do(&server).await;
    who_is_not_let_in_is_refused(&server).await;
    a_listing_goes_on_over_its_pages(&server).await;
    a_manifest_is_the_sum_of_its_segments(&server).await;
    a_guest_may_do_what_he_was_allowed(&server).await;
    a_quota_is_kept(&server).await;
    a_missing_container_is_said_to_be_missing(&server).await;
    data_outlive_the_process(&mut server).await;
    nothing_is_left_of(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swift_with_tempauth_lives_dies_and_comes_back() {
    a_life(Flavour::SwiftTempauth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_swift_of_rgw_lives_dies_and_comes_back() {
    a_life(Flavour::RgwSwift).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swift_with_keystone_lives_dies_and_comes_back() {
    a_life(Flavour::SwiftKeystone).await;
}

/// The answer to a request with exactly this token.
async fn asked_with(server: &SwiftServer, token: &str) -> StatusCode {
    let target = format!("/{}", server.container());
    let request = server.request(Method::HEAD, &target, token, Bytes::new(), &[]);
    request.send().await.expect("an answer").status()
}

/// Swift asks Keystone about each token each time.
fn forgetting() -> SwiftOptions {
    SwiftOptions { token_memory: None, ..SwiftOptions::default() }
}

/// And another one is given out.
async fn a_token_ends_by_itself(flavour: Flavour) {
    let options = SwiftOptions { token_life: TOKEN_LIFE, ..SwiftOptions::default() };
    let server = SwiftServer::start_with(flavour, options).await;
    let session = server.authenticate().await.expect("a token");
    assert!(asked_with(&server, &session.token).await.is_success());
    tokio::time::sleep(TOKEN_LIFE + Duration::from_millis(1100)).await;
    assert_eq!(asked_with(&server, &session.token).await, StatusCode::UNAUTHORIZED);
    assert_eq!(server.names("").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_tempauth_ends_by_itself() {
    a_token_ends_by_itself(Flavour::SwiftTempauth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_rgw_ends_by_itself() {
    a_token_ends_by_itself(Flavour::RgwSwift).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_keystone_ends_by_itself() {
    a_token_ends_by_itself(Flavour::SwiftKeystone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_keystone_has_revoked_is_refused_at_once() {
    let server = SwiftServer::start_with(Flavour::SwiftKeystone, forgetting()).await;
    let [one, other] = [server.authenticate().await, server.authenticate().await];
    let (one, other) = (one.expect("a token").token, other.expect("another").token);
    assert!(asked_with(&server, &one).await.is_success());
    server.keystone().revoke(&one).await;
    assert_eq!(asked_with(&server, &one).await, StatusCode::UNAUTHORIZED);
    assert!(asked_with(&server, &other).await.is_success(), "the other token");
    server.keystone().change_password("tester", "changed").await;
    assert_eq!(asked_with(&server, &other).await, StatusCode::UNAUTHORIZED);
    assert_eq!(server.authenticate().await.expect_err("the old password"), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_swift_remembers_of_a_token_outlives_its_revocation_and_its_keystone() {
    let mut server = SwiftServer::start(Flavour::SwiftKeystone).await;
    let token = server.authenticate().await.expect("a token").token;
    assert!(asked_with(&server, &token).await.is_success());
    server.keystone().revoke(&token).await;
    server.keystone_mut().stop();
    assert!(asked_with(&server, &token).await.is_success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keystone_nobody_is_known_and_with_it_again_every_token_is() {
    let mut server = SwiftServer::start_with(Flavour::SwiftKeystone, forgetting()).await;
    let token = server.authenticate().await.expect("a token").token;
    server.keystone_mut().stop();
    // Swift does not say that it could not ask.
    assert_eq!(asked_with(&server, &token).await, StatusCode::UNAUTHORIZED);
    server.keystone_mut().start_again().await;
    assert!(asked_with(&server, &token).await.is_success());
    server.put("x", "x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keystone_lets_in_whom_it_knows_and_tells_each_region_and_interface() {
    let server = SwiftServer::start(Flavour::SwiftKeystone).await;
    let keystone = server.keystone();
    let credential = keystone.create_application_credential(server.login()).await;
    let by_credential = server.as_user(credential);
    by_credential.put("x", "x").await;
    assert_eq!(server.names("").await, ["x"]);

    keystone.add_endpoint(REGIONS[1], "internal", "http://127.0.0.1:8").await;
    for (region, interface, at) in [
        (REGIONS[0], "public", server.endpoint()),
        (REGIONS[0], "internal", server.endpoint()),
        (REGIONS[1], "public", "http://127.0.0.1:9"),
        (REGIONS[1], "internal", "http://127.0.0.1:8"),
    ] {
        let told = server.at_place(region, interface).authenticate().await.expect("a token").storage_url;
        assert!(told.starts_with(&format!("{at}/v1/KEY_")), "{region} {interface}: {told}");
    }
    let Login::Password { user, password, project, user_domain, project_domain } = server.login().clone()
    else {
        panic!("a password");
    };
    let wrong = |which: usize| {
        let told = [&user, &password, &project, &user_domain, &project_domain];
        let mut words = told.map(String::clone);
        words[which] = "wrong".to_owned();
        let [user, password, project, user_domain, project_domain] = words;
        Login::Password { user, password, project, user_domain, project_domain }
    };
    for login in (0..5).map(wrong) {
        let refused = server.as_user(login.clone()).authenticate().await;
        assert_eq!(refused.expect_err("refused"), StatusCode::UNAUTHORIZED, "{login:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_refused_by_tempauth_and_by_rgw() {
    for flavour in [Flavour::SwiftTempauth, Flavour::RgwSwift] {
        let server = SwiftServer::start(flavour).await;
        let forged = Login::V1 { user: "test:guest".to_owned(), key: "guessed".to_owned() };
        let refused = server.as_user(forged).authenticate().await.expect_err("a wrong key");
        assert!(
            matches!(refused, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
            "{flavour:?}: {refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_above_the_limit_are_refused_with_498() {
    let options = SwiftOptions { writes_per_second: Some(5), ..SwiftOptions::default() };
    let server = SwiftServer::start_with(Flavour::SwiftTempauth, options).await;
    // A container without objects has no limit, and what it was is believed for a second.
    server.put("first", "").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut refused = 0;
    for number in 0..100 {
        let status = status_of(&server, Method::PUT, &format!("{number}")).await;
        assert!(status.is_success() || status.as_u16() == 498, "{status}");
        refused += usize::from(!status.is_success());
    }
    assert!(refused > 0, "nothing was refused");
    assert_eq!(server.names("").await.len(), 101 - refused);
}

const LAG: Duration = Duration::from_secs(3);

/// Waits until a listing shows these, and says how long that took.
async fn shows(access: &SwiftAccess, names: &[&str]) -> Duration {
    let begin = Instant::now();
    while access.names("").await != names {
        assert!(begin.elapsed() < Duration::from_secs(30), "{names:?} are not shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begin.elapsed()
}

async fn a_front_lags(flavour: Flavour) {
    let server = SwiftServer::start(flavour).await;
    server.put("old", "1").await;
    let front = SwiftFront::before(&server).await;
    let behind = front.access();
    front.lag_by(LAG).await;
    assert_eq!(behind.names("").await, ["old"]);

    behind.put("new", "2").await;
    // Past the front, too: it is the container that lags.
    server.delete("old").await;
    assert_eq!(behind.sizes("").await, [("old".to_owned(), 1)]);
    assert_eq!(server.names("").await, ["new"]);
    assert_eq!(behind.get("new").await, Some("2".into()));
    assert_eq!(behind.get("old").await, None);
    let took = shows(&behind, &["new"]).await;
    assert!(took > LAG - Duration::from_secs(1), "it lagged by {took:?} alone");

    behind.put("new", "longer").await;
    assert_eq!(behind.sizes("n").await, [("new".to_owned(), 1)], "an overwritten object is what it was");
    front.catch_up();
    assert_eq!(behind.sizes("n").await, [("new".to_owned(), 6)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_lag_behind_a_front_over_each_swift() {
    for flavour in Flavour::ALL {
        a_front_lags(flavour).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_counts_what_is_asked_and_refuses_what_it_is_told_to() {
    let server = SwiftServer::start(Flavour::SwiftTempauth).await;
    let front = SwiftFront::before_with(&server, |asked| match asked.uri.path() {
        path if path.ends_with("/refused") => slow_down(498, None),
        path if path.ends_with("/later") => slow_down(429, Some(1)),
        path if path.ends_with("/cut") => Fault::CutAnswer(0),
        _ => Fault::Pass,
    })
    .await;
    let behind = front.access();
    behind.put("a b", "x").await;
    behind.put("cut", "x").await;
    front.forget_requests();
    let session = behind.authenticate().await.expect("a token");
    assert_eq!(session.storage_url, behind.storage_url());
    behind.names("").await;
    behind.get("a b").await;
    assert_eq!(status_of(&behind, Method::PUT, "refused").await.as_u16(), 498);
    assert_eq!(status_of(&behind, Method::PUT, "later").await.as_u16(), 429);
    let is_cut = match behind.attempt(Method::GET, "/registry/cut", Bytes::new(), &[]).await {
        Ok(answer) => answer.bytes().await.is_err(),
        Err(_) => true,
    };
    assert!(is_cut, "a whole answer");
    let manifest = "/registry/a%20b?multipart-manifest=get";
    behind.attempt(Method::GET, manifest, Bytes::new(), &[]).await.expect("an answer");
    let requests = front.requests();
    let seen: Vec<_> = requests.iter().map(|seen| (seen.operation.as_str(), seen.name.as_str())).collect();
    let expected = [
        ("GET auth", ""),
        ("GET list", ""),
        ("GET object", "a b"),
        ("PUT object", "refused"),
        ("PUT object", "later"),
        ("GET object", "cut"),
        ("GET manifest", "a b"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(server.names("").await, ["a b", "cut"]);
}
