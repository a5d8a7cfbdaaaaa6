//! `longshore v1`.

use std::io::{ErrorKind, Write as _};
use std::sync::Arc;

use clap::{Parser, Subcommand};
use longshore_driver_sdk::endpoint::Endpoint;

use super::{Failure, PATIENCE, remote};
use crate::storage::advice::next_step;
use crate::v1::{self, Form, ListError, Options, Progress, Report};

#[derive(Debug, Subcommand)]
pub(super) enum V1Command {
    /// Show repositories, tags, images, sizes and damage. Only reads; damage is told and does not fail the command.
    List(List),
}

#[derive(Debug, Parser)]
pub(super) struct List {
    /// The driver of the V1 registry's store: unix:///path/to/driver.sock or tcp://127.0.0.1:PORT
    #[arg(long, value_name = "ENDPOINT")]
    from: Endpoint,
    /// Trust a driver of this user, besides our own and root.
    #[arg(long, value_name = "UID")]
    trust_uid: Option<u32>,
    /// A JSON object on each line, instead of a table.
    #[arg(long)]
    json: bool,
    /// Read every layer that a tag reaches, and hold it against its checksum.
    #[arg(long)]
    verify: bool,
    /// Show each image that no tag reaches, too.
    #[arg(long)]
    unreferenced: bool,
    /// How many calls of the driver may be under way at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
}

pub(super) async fn run(command: V1Command) -> Result<(), Failure> {
    let V1Command::List(arguments) = command;
    let driver = remote(arguments.from, arguments.trust_uid);
    let explained = |error: longshore_driver_sdk::DriverError| -> Failure {
        format!("{error}; {}", next_step(error.reason())).into()
    };
    driver.connected(PATIENCE).await.map_err(explained)?;
    let options = Options {
        verify: arguments.verify,
        unreferenced: arguments.unreferenced,
        jobs: usize::from(arguments.jobs),
    };
    let form = if arguments.json { Form::Json } else { Form::Table };
    let (progress, mut out) = (Progress::default(), std::io::stdout().lock());
    let outcome = {
        let mut report = Report::new(&mut out, form, &progress);
        tokio::select! {
            outcome = v1::list(Arc::new(driver), options, &progress, &mut report) => outcome,
            () = progress.tell() => Ok(()),
        }
    };
    drop(progress);
    match outcome {
        Ok(()) => Ok(out.flush()?),
        // Whoever reads has seen enough.
        Err(ListError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(ListError::Driver(error)) => {
            let step = next_step(error.reason());
            Err(format!("{}; {step}", ListError::Driver(error)).into())
        }
        Err(error) => Err(error.into()),
    }
}
