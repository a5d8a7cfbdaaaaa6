//! What Prometheus is told. Owns the names of all metrics; [`driver_calls`], [`redirects`] and [`requests`] count, nothing
//! else knows of Prometheus. Labels come from closed lists and from the names of storages, never from what a client sends.

pub mod driver_calls;
pub mod redirects;
pub mod requests;

use std::fmt;

use longshore_driver_sdk::client::RemoteDriver;
use prometheus_client::encoding::text;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use driver_calls::{DriverCalls, MeteredDriver};
use redirects::Redirects;
use requests::Requests;

/// The type that [`text`] asks for.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a tenth of a millisecond, what a manifest out of the page cache takes, to the deadline of a commit.
const SECONDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

type Level = Gauge<i64>;

/// Every metric of a core.
pub struct Metrics {
    registry: Registry,
    drivers: DriverCalls,
    pub requests: Requests,
    pub redirects: Redirects,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("longshore");
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The running version", Info::new(version));
        let drivers = DriverCalls::register(&mut registry);
        let requests = Requests::register(&mut registry);
        let redirects = Redirects::register(&mut registry);
        Self { registry, drivers, requests, redirects }
    }
}

impl Metrics {
    /// The driver of this storage, counted from now on.
    pub fn meter(&self, storage: &str, driver: RemoteDriver) -> MeteredDriver {
        MeteredDriver::new(driver, &self.drivers, storage)
    }

    /// All of it, as text of OpenMetrics 1.0.
    ///
    /// # Errors
    /// Never in practice: text is written to memory.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_as_openmetrics_asks_and_names_the_version() {
        let text = Metrics::default().text().unwrap();
        assert!(text.ends_with("# EOF\n"), "{text}");
        assert!(
            text.contains(&format!("longshore_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")))
        );
    }
}
