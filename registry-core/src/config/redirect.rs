//! `[storage.NAME.redirect]`: blobs that clients fetch from the store itself.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::proxies::network;
use crate::registry::redirect::Redirect;

/// A shorter life might end before a client whose clock, or the store's, is off (contract clause H11) has begun; a longer
/// one serves nobody but those whom a URL was leaked to.
const TTL: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3600);

/// The section, field by field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    min_size: u64,
    networks: Vec<Network>,
    #[serde(deserialize_with = "super::duration")]
    ttl: Duration,
}

impl Default for Section {
    fn default() -> Self {
        let Redirect { min_size, ttl, .. } = Redirect::default();
        Self { min_size, networks: Vec::new(), ttl }
    }
}

struct Network(IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let problem = || D::Error::custom(format!("{text:?} is no network: write 10.0.0.0/8 or 10.1.2.3"));
        network(&text).map(Self).ok_or_else(problem)
    }
}

/// `true` is a section without fields; `false` is none, also over a file that has one.
pub(super) fn redirect<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Redirect>, D::Error> {
    deserializer.deserialize_any(Either)
}

/// Without serde's `untagged`, which forgets which field was wrong.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Option<Redirect>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or a section with min_size, networks and ttl")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<Self::Value, E> {
        Ok(on.then(Redirect::default))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let Section { min_size, networks, ttl } = Section::deserialize(MapAccessDeserializer::new(map))?;
        if !TTL.contains(&ttl) {
            return Err(A::Error::custom("ttl of a redirect is between 1m and 1h"));
        }
        let networks = networks.into_iter().map(|network| network.0).collect();
        Ok(Some(Redirect { min_size, networks, ttl }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Storage};
    use super::*;

    fn storage(text: &str) -> Result<Storage, String> {
        let config = toml::from_str::<Config>(&format!("[storage.a]\n{text}"));
        config.map(|mut config| config.storage.remove("a").unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_off_or_on_or_a_section() {
        let redirect = |text: &str| storage(text).unwrap().redirect;
        assert_eq!(redirect(""), None);
        assert_eq!(redirect("redirect = false"), None);
        assert_eq!(redirect("redirect = true"), Some(Redirect::default()));
        assert_eq!(redirect("[storage.a.redirect]"), Some(Redirect::default()));
        let all =
            "[storage.a.redirect]\nmin_size = 7\nttl = '1m'\nnetworks = ['10.0.0.0/8', '192.0.2.7', '::1']";
        let networks = ["10.0.0.0/8", "192.0.2.7/32", "::1/128"].map(|network| network.parse().unwrap());
        let wanted = Redirect { min_size: 7, networks: networks.into(), ttl: Duration::from_secs(60) };
        assert_eq!(redirect(all), Some(wanted));
    }

    /// The way of the environment, over the file.
    #[test]
    fn it_is_read_out_of_a_table_too() {
        for (text, is_on) in
            [("redirect = true", true), ("[redirect]\nttl = '5m'", true), ("redirect = false", false)]
        {
            let storage = Storage::deserialize(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
            assert_eq!(storage.redirect.is_some(), is_on, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_be_right() {
        for (text, said) in [
            ("redirect = 7", "expected true, false, or a section"),
            ("[storage.a.redirect]\nmin_sice = 7", "unknown field `min_sice`"),
            ("[storage.a.redirect]\nnetworks = ['10.0.0.0/33']", "write 10.0.0.0/8"),
            ("[storage.a.redirect]\nttl = '59s'", "between 1m and 1h"),
            ("[storage.a.redirect]\nttl = '61m'", "between 1m and 1h"),
        ] {
            let error = storage(text).unwrap_err();
            assert!(error.contains(said) && error.contains("line"), "{error}");
        }
    }

    #[test]
    fn the_defaults_are_those_that_are_documented() {
        let documented = include_str!("../../../docs/operations.md");
        let Redirect { min_size, ttl, .. } = Redirect::default();
        for (field, default) in
            [("min_size", min_size.to_string()), ("ttl", format!("{}m", ttl.as_secs() / 60))]
        {
            let row = format!("| `storage.NAME.redirect.{field}` |");
            let line = documented.lines().find(|line| line.starts_with(&row)).unwrap();
            assert!(line.contains(&format!("| {default} |")), "{line}: the default is {default}");
        }
    }
}
