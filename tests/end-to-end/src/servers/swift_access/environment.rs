//! An access on its way through an environment variable, to a test executable that another one starts.

use std::fmt;
use std::str::FromStr;

use super::super::login::{Login, Place, setting};
use super::{Flavour, SwiftAccess};

/// The environment variable that gives a way into a container to a test executable: what `SwiftAccess` shows.
pub const SWIFT_STORE: &str = "TEST_SWIFT_STORE";

impl SwiftAccess {
    /// The one that `SWIFT_STORE` tells, where somebody set it.
    pub fn from_environment() -> Option<Self> {
        let told = std::env::var(SWIFT_STORE).ok()?;
        Some(told.parse().unwrap_or_else(|why| panic!("{SWIFT_STORE}={told}: {why}")))
    }
}

/// The value of `SWIFT_STORE`. Nothing in it has a space.
impl fmt::Display for SwiftAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {}", self.flavour, self.storage_url, self.settings().join(" "))
    }
}

impl FromStr for SwiftAccess {
    type Err = &'static str;

    fn from_str(told: &str) -> Result<Self, Self::Err> {
        let mut words = told.split(' ');
        let name = words.next().unwrap_or_default();
        let flavour = Flavour::ALL.into_iter().find(|one| format!("{one:?}") == name);
        let storage_url = words.next().ok_or("no storage URL")?;
        let settings: Vec<&str> = words.collect();
        let auth_url = setting(&settings, "auth_url").ok_or("no auth_url")?;
        let login = Login::of_settings(&settings).ok_or("nobody who could authenticate")?;
        let access =
            Self::new(flavour.ok_or("no flavour of Swift")?, auth_url, storage_url.to_owned(), login);
        let container = setting(&settings, "container").ok_or("no container")?;
        let storage_url_is_told = setting(&settings, "storage_url").is_some();
        let region = setting(&settings, "region").zip(setting(&settings, "interface"));
        let place = region.map(|(region, interface)| Place { region, interface });
        Ok(Self { container, storage_url_is_told, place, ..access })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(access: &SwiftAccess) {
        let again: SwiftAccess = access.to_string().parse().expect("an access");
        assert_eq!(again.to_string(), access.to_string());
        assert_eq!(again.login(), access.login());
        assert_eq!(again.settings(), access.settings());
    }

    #[test]
    fn an_access_is_the_same_after_a_way_through_the_environment() {
        let (auth, storage) = ("http://127.0.0.1:5/auth/v1.0", "http://127.0.0.1:5/v1/AUTH_test");
        let (user, key) = ("test:tester".to_owned(), "testing".to_owned());
        let login = Login::V1 { user, key };
        let access = SwiftAccess::new(Flavour::SwiftTempauth, auth.to_owned(), storage.to_owned(), login);
        round_trip(&access);
        let behind = access.reached_at("http://127.0.0.1:6").in_container("other");
        assert_eq!(behind.endpoint(), "http://127.0.0.1:6");
        let expected = [
            "auth_url=http://127.0.0.1:6/auth/v1.0",
            "user=test:tester",
            "password=testing",
            "storage_url=http://127.0.0.1:6/v1/AUTH_test",
            "container=other",
        ];
        assert_eq!(behind.settings(), expected);
        round_trip(&behind);
    }

    #[test]
    fn one_of_keystone_keeps_its_project_and_its_place() {
        let login = Login::Password {
            user: "tester".to_owned(),
            password: "testing".to_owned(),
            project: "registry".to_owned(),
            user_domain: "people".to_owned(),
            project_domain: "places".to_owned(),
        };
        let (auth, storage) = ("http://127.0.0.1:5/v3", "http://127.0.0.1:6/v1/KEY_1");
        let access = SwiftAccess::new(Flavour::SwiftKeystone, auth.to_owned(), storage.to_owned(), login);
        let access = access.at_place("north", "internal");
        round_trip(&access);
        assert_eq!(access.reached_at("http://127.0.0.1:7").auth_url(), auth);
        let (id, secret) = ("1".to_owned(), "a".to_owned());
        round_trip(&access.as_user(Login::ApplicationCredential { id, secret }));
    }
}
