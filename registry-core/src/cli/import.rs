//! `longshore import`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::config::Config;
use crate::import;

#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Read the file system store of registry:2 (distribution 2 and 3). What is there already is passed over, so an
    /// import that was stopped goes on when it is run again.
    Registry2(Registry2),
}

#[derive(Debug, Parser)]
pub(super) struct Registry2 {
    /// The directory that registry:2 keeps its data in, or the `docker/registry/v2` in it.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The configuration that `serve` has: where to import to.
    #[arg(long, value_name = "FILE", env = "LONGSHORE_CONFIG")]
    config: Option<PathBuf>,
    /// Without storages in the configuration: where the filesystem driver keeps its data [default: ./data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Import this repository alone, or with NAME/* all below it; may be given more than once.
    #[arg(long = "repository", value_name = "NAME")]
    repositories: Vec<String>,
    /// How many blobs and manifests to import at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Move tags that point elsewhere here; without this they stay.
    #[arg(long)]
    overwrite_tags: bool,
    /// Read and check, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(command: ImportCommand) -> Result<(), Failure> {
    let ImportCommand::Registry2(arguments) = command;
    let mut config = Config::load(arguments.config.as_deref())?;
    if arguments.data.is_some() && !config.storage.is_empty() {
        return Err("--data is for a start without storages; the configuration names some".into());
    }
    config.use_data(&arguments.data.unwrap_or_else(|| PathBuf::from("./data")));
    config.check()?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let options = import::Options {
        directory: arguments.directory,
        repositories: arguments.repositories,
        jobs: usize::from(arguments.jobs),
        overwrite_tags: arguments.overwrite_tags,
        dry_run: arguments.dry_run,
    };
    Ok(import::registry2(config, options, stop).await?)
}
