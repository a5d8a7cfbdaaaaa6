//! `longshore config`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::Failure;
use crate::config::{Config, DEFAULT};
use crate::server;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read the file and the environment as `serve` does, with the certificate and the password file, and say what is
    /// wrong.
    Check(Check),
    /// Print a file of all fields, each with its default and what it means.
    Default,
}

#[derive(Debug, Parser)]
pub(super) struct Check {
    /// The TOML file.
    #[arg(long, value_name = "FILE", env = "LONGSHORE_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) async fn run(command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Default => Ok(std::io::stdout().write_all(DEFAULT.as_bytes())?),
        ConfigCommand::Check(arguments) => check(arguments).await,
    }
}

async fn check(arguments: Check) -> Result<(), Failure> {
    let config = Config::load(arguments.config.as_deref())?;
    server::check(&config).await?;
    let storages: Vec<&str> = config.storage.keys().map(String::as_str).collect();
    let storages = if storages.is_empty() { "./data".to_owned() } else { storages.join(", ") };
    writeln!(std::io::stdout(), "ok: storage {storages}")?;
    Ok(())
}
