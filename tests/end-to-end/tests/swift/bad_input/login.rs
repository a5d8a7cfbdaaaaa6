//! Somebody whom the server does not know: told with what to mend, and let in as soon as the server knows him.

use std::process::Command;

use longshore_end_to_end::Process;
use longshore_end_to_end::servers::{Flavour, Login, REGIONS, SwiftAccess};

use super::{NOT_YET, PATIENCE};
use crate::container::{Container, IT_SERVES, driver_command};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_user_or_key_of_swift_is_told() {
    a_wrong_user_or_key_is_told(Flavour::SwiftTempauth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_user_or_key_of_rgw_is_told() {
    a_wrong_user_or_key_is_told(Flavour::RgwSwift).await;
}

async fn a_wrong_user_or_key_is_told(flavour: Flavour) {
    let container = Container::start(flavour).await;
    let Login::V1 { user, key } = container.server.login().clone() else { panic!("a key") };
    for login in [
        Login::V1 { user: user.clone(), key: "wrong".to_owned() },
        Login::V1 { user: "test:nobody".to_owned(), key },
    ] {
        let driver = Waiting::start(&container, &container.server.as_user(login));
        let line = driver.says("does not take this user and key; mend `user` and `password`");
        assert!(!line.contains("wrong"), "a key is in the log: {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_good_as_soon_as_it_is_the_right_one() {
    let container = Container::start(Flavour::SwiftKeystone).await;
    let driver =
        Waiting::start(&container, &Known::of(&container).with(|known| known.password = "wrong".into()));
    let line = driver.says("with this password; mend `user`, `password` and `user_domain`");
    assert!(line.contains("there is no user tester of the domain people"), "{line}");
    container.server.keystone().change_password("tester", "wrong").await;
    driver.serves();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_user_is_told_and_let_in_as_soon_as_there_is_one() {
    let container = Container::start(Flavour::SwiftKeystone).await;
    let driver =
        Waiting::start(&container, &Known::of(&container).with(|known| known.user = "somebody".into()));
    let line = driver.says("with this password; mend `user`, `password` and `user_domain`");
    assert!(line.contains("there is no user somebody of the domain people"), "{line}");
    let keystone = container.server.keystone();
    let user = keystone.create_user("somebody", "testing", &keystone.id_of("domains", "people").await).await;
    keystone.grant("member", &user, &keystone.id_of("projects", "registry").await).await;
    driver.serves();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_project_is_told_with_those_that_there_are() {
    let container = Container::start(Flavour::SwiftKeystone).await;
    let access = Known::of(&container).with(|known| known.project = "another".into());
    let driver = Waiting::start(&container, &access);
    let line = driver.says("it has one in: registry; mend `project` and `project_domain`");
    assert!(line.contains("there is no project another of the domain places"), "{line}");
    let keystone = container.server.keystone();
    let project = keystone.create_project("another", &keystone.id_of("domains", "places").await).await;
    keystone.grant("member", &keystone.id_of("users", "tester").await, &project).await;
    // Now it is let in, and the project's account is empty.
    driver.says("the container registry does not exist; make it, or mend `container`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_domain_is_told_be_it_the_users_or_the_projects() {
    let container = Container::start(Flavour::SwiftKeystone).await;
    let known = Known::of(&container);
    let driver =
        Waiting::start(&container, &known.clone().with(|known| known.user_domain = "elsewhere".into()));
    let line = driver.says("with this password; mend `user`, `password` and `user_domain`");
    assert!(line.contains("there is no user tester of the domain elsewhere"), "{line}");
    drop(driver);
    let driver = Waiting::start(&container, &known.with(|known| known.project_domain = "elsewhere".into()));
    let line = driver.says("mend `project` and `project_domain`");
    assert!(line.contains("there is no project registry of the domain elsewhere"), "{line}");
    let keystone = container.server.keystone();
    let project = keystone.create_project("registry", &keystone.create_domain("elsewhere").await).await;
    keystone.grant("member", &keystone.id_of("users", "tester").await, &project).await;
    driver.says("the container registry does not exist; make it, or mend `container`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_region_is_told_with_those_that_there_are() {
    let container = Container::start(Flavour::SwiftKeystone).await;
    let driver = Waiting::start(&container, &container.server.at_place("west", "public"));
    let line = driver.says("mend `region`");
    assert!(line.contains("no object-store in the region west; there is one in: north, south"), "{line}");
    drop(driver);
    // One that the catalogue names, and nobody is there.
    let driver = Waiting::start(&container, &container.server.at_place(REGIONS[1], "public"));
    let line = driver.await_line(NOT_YET);
    assert!(line.contains("BACKEND_UNAVAILABLE") && line.contains("can't be reached"), "{line}");
    drop(driver);
    let driver = Waiting::start(&container, &container.server.at_place(REGIONS[1], "internal"));
    driver.says("there is one in: north; mend `region`");
    container.server.keystone().add_endpoint(REGIONS[1], "internal", container.server.endpoint()).await;
    driver.serves();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_credential_lets_in_and_a_wrong_one_is_told() {
    let container = Container::start(Flavour::SwiftKeystone).await;
    let credential =
        container.server.keystone().create_application_credential(container.server.login()).await;
    Waiting::start(&container, &container.server.as_user(credential.clone())).serves();
    let Login::ApplicationCredential { id, .. } = credential else { panic!("an application credential") };
    let wrong = Login::ApplicationCredential { id, secret: "wrong".to_owned() };
    let driver = Waiting::start(&container, &container.server.as_user(wrong));
    driver.says("mend `application_credential_id` and `application_credential_secret`");
}

/// What Keystone knows of the owner, one part of it changed.
#[derive(Clone)]
struct Known {
    access: SwiftAccess,
    user: String,
    password: String,
    project: String,
    user_domain: String,
    project_domain: String,
}

impl Known {
    fn of(container: &Container) -> Self {
        let access = SwiftAccess::clone(&container.server);
        let Login::Password { user, password, project, user_domain, project_domain } = access.login().clone()
        else {
            panic!("a password");
        };
        Self { access, user, password, project, user_domain, project_domain }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> SwiftAccess {
        change(&mut self);
        let Self { access, user, password, project, user_domain, project_domain } = self;
        access.as_user(Login::Password { user, password, project, user_domain, project_domain })
    }
}

/// A driver that is not let in yet.
struct Waiting(Process);

impl Waiting {
    fn start(container: &Container, access: &SwiftAccess) -> Self {
        let (mut command, _): (Command, _) = driver_command(access, container.sockets());
        Self(Process::spawn("driver", &mut command))
    }

    fn await_line(&self, text: &str) -> String {
        self.0.await_line(text, PATIENCE)
    }

    /// Why it can't begin, in one line.
    fn says(&self, text: &str) -> String {
        let fits = |line: &str| line.contains(NOT_YET) && line.contains(text);
        let line = self.0.await_line_where(text, fits, PATIENCE);
        let reason =
            if text.contains("the container") { "BACKEND_UNAVAILABLE" } else { "BACKEND_CREDENTIALS" };
        assert!(line.contains(reason), "{line}");
        // Nothing came of that yet, and there is no token from before.
        for other in ["can't be looked for", "the old one is used"] {
            assert!(!self.0.log_contains(other), "{}", self.0.log());
        }
        line
    }

    fn serves(&self) {
        self.await_line(IT_SERVES);
    }
}
