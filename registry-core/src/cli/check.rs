//! `longshore storage check`: one screen.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Parser;
use indicatif::{HumanBytes, ProgressBar};
use longshore_driver_sdk::client::MOST_SKEW;
use longshore_driver_sdk::endpoint::Endpoint;
use longshore_driver_sdk::{Capabilities, Description, Durability};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, PATIENCE, remote};
use crate::check::{self, Findings, Held, Latency, Skew, Transfer};
use crate::storage::advice::next_step;

#[derive(Debug, Parser)]
pub(super) struct Check {
    /// unix:///path/to/driver.sock or tcp://127.0.0.1:PORT
    endpoint: Endpoint,
    /// Trust a driver of this user, besides our own and root.
    #[arg(long, value_name = "UID")]
    trust_uid: Option<u32>,
    /// How large the object is that throughput is measured by.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65536))]
    size_mib: u64,
}

pub(super) async fn run(arguments: Check) -> Result<(), Failure> {
    let driver = remote(arguments.endpoint.clone(), arguments.trust_uid);
    let explained = |error: longshore_driver_sdk::DriverError| -> Failure {
        format!("{error}; {}", next_step(error.reason())).into()
    };
    let description = driver.connected(PATIENCE).await.map_err(explained)?;
    let store_id = driver.store_id().await.map_err(explained)?;
    say(&who(&arguments.endpoint, &description, &store_id))?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
    let began = |step: &str| match &bar {
        Some(bar) => {
            bar.set_message(step.to_owned());
            bar.tick();
        }
        None => tracing::debug!("{step}"),
    };
    let findings = tokio::select! {
        findings = check::run(&driver, arguments.size_mib << 20, &began) => findings.map_err(explained)?,
        _ = terminate.recv() => return Err("stopped; the next check clears up what this one wrote".into()),
        _ = interrupt.recv() => return Err("stopped; the next check clears up what this one wrote".into()),
    };
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    say(&screen(&findings, &description))?;
    verdict(&findings)
}

fn say(text: &str) -> Result<(), Failure> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn who(endpoint: &Endpoint, description: &Description, store_id: &str) -> String {
    let store = if store_id.is_empty() { "not initialised: run `longshore storage init`" } else { store_id };
    format!(
        "endpoint         {endpoint}\ndriver           {} {}\nstore            {store}\n",
        description.name, description.version
    )
}

fn screen(findings: &Findings, description: &Description) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(text, "clock            {}\n", findings.skew.map_or_else(untold, clock));
    text += &requests(&findings.latencies);
    text += &object(&findings.transfer);
    text += "\nwhat holds                 what Longshore does\n";
    for promise in &findings.promises {
        let held = match promise.held {
            Held::NotDeclared => "no",
            Held::Seen => "yes",
            Held::Declared => "declared",
            Held::Broken => "BROKEN",
        };
        let _ = writeln!(text, "{:<16} {held:<9} {}", promise.name, promise.consequence);
    }
    let _ = writeln!(text, "{:<26} {}", "durability", durability(description.capabilities));
    let _ = writeln!(text, "{:<26} {}", "largest object", largest(description));
    let _ = writeln!(text, "{:<26} {}", "signed URLs", redirects(findings.signed_url.as_deref()));
    text
}

fn untold() -> String {
    "the driver tells no times".to_owned()
}

fn clock(Skew(seconds): Skew) -> String {
    match seconds {
        0 => "the store's agrees with this machine's, to a second".to_owned(),
        ahead @ 1.. => format!("the store's is {ahead} s ahead of this machine's"),
        behind => format!("the store's is {} s behind this machine's", behind.unsigned_abs()),
    }
}

fn requests(latencies: &[Latency]) -> String {
    let mut text = format!("{:<16} {:>9} {:>9}\n", "", "median", "slowest");
    for Latency { name, median, slowest } in latencies {
        let _ = writeln!(text, "{name:<16} {:>6.1} ms {:>6.1} ms", millis(*median), millis(*slowest));
    }
    text
}

fn object(transfer: &Transfer) -> String {
    let Transfer { size, write, commit, read } = *transfer;
    format!(
        "{:<16} written at {}/s, {:.0} ms of it for the commit; read at {}/s\n",
        format!("object of {}", HumanBytes(size)),
        HumanBytes(rate(size, write)),
        millis(commit),
        HumanBytes(rate(size, read)),
    )
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn rate(size: u64, time: Duration) -> u64 {
    let rate = u128::from(size) * 1_000_000 / time.as_micros().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

fn durability(capabilities: Capabilities) -> &'static str {
    match capabilities.durability {
        Durability::Stable => "what was acknowledged survives a power cut",
        Durability::Os => "what was acknowledged survives a crash of the driver, no power cut",
        Durability::Process => "all is gone when the driver ends: for tests alone",
    }
}

fn largest(description: &Description) -> String {
    description
        .limits
        .max_object
        .map_or_else(|| "the driver tells no limit".to_owned(), |size| HumanBytes(size).to_string())
}

fn redirects(url: Option<&str>) -> String {
    // Behind the question mark is what makes it valid for anyone.
    match url.and_then(|url| url.split_once("://")) {
        Some((scheme, rest)) => {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            format!("with [storage.NAME.redirect], clients fetch blobs from {scheme}://{host}")
        }
        None => "none: every byte goes through the core".to_owned(),
    }
}

/// # Errors
/// When the store is not to be used so.
fn verdict(findings: &Findings) -> Result<(), Failure> {
    let is_broken = |promise: &&check::Promise| promise.held == Held::Broken;
    let broken: Vec<_> = findings.promises.iter().filter(is_broken).map(|promise| promise.name).collect();
    if !broken.is_empty() {
        let message = "the driver declares this, and it does not hold here; do not use this store with it, and tell the driver's author";
        return Err(format!("{}: {message}", broken.join(", ")).into());
    }
    match findings.skew {
        Some(Skew(seconds)) if seconds.unsigned_abs() > MOST_SKEW.as_secs() => {
            Err(format!("{}; set both by NTP", clock(Skew(seconds))).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_url_is_shown_without_its_signature() {
        let shown = redirects(Some("https://s3.example.org:7070/b/objects/x?X-Amz-Signature=secret"));
        assert!(shown.ends_with("from https://s3.example.org:7070"), "{shown}");
    }

    #[test]
    fn rates_are_bytes_in_a_second() {
        assert_eq!(rate(64 << 20, Duration::from_secs(2)), 32 << 20);
        assert_eq!(clock(Skew(-3)), "the store's is 3 s behind this machine's");
    }
}
