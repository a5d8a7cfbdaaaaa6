//! The driver's settings.

use std::path::PathBuf;

use serde::Deserialize;

/// What `--help` says of them.
pub const HELP: &str = "\
  root=DIR            where the objects lie; required
  durability=stable   an acknowledged write survives a power cut (default)
  durability=os       it survives a crash of this driver only: nothing is synced
  init=never          the store was made by `longshore storage init ENDPOINT` (default)
  init=if-absent      make the store if the root directory does not exist
  init=if-empty       make the store also if the root directory exists and is empty";

/// The settings, as they stand in a file or on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub root: PathBuf,
    #[serde(default)]
    pub durability: Durability,
    #[serde(default)]
    pub init: Init,
}

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    #[default]
    Stable,
    Os,
}

/// When a store may be made where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    #[default]
    Never,
    IfAbsent,
    IfEmpty,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_root_is_required_and_nothing_unknown_is_taken() {
        let config: Config = toml::from_str("root = '/srv'").unwrap();
        assert_eq!(config, Config { root: "/srv".into(), durability: Durability::Stable, init: Init::Never });
        let config: Config = toml::from_str("root = '/srv'\ndurability = 'os'\ninit = 'if-absent'").unwrap();
        assert_eq!((config.durability, config.init), (Durability::Os, Init::IfAbsent));
        assert!(toml::from_str::<Config>("root = '/srv'\nrot = 'x'").is_err());
        assert!(toml::from_str::<Config>("init = 'never'").is_err());
    }
}
