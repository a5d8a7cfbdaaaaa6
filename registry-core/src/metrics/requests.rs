//! Counts what clients ask for.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::{Level, Registry, seconds};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatus {
    operation: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOperation {
    operation: &'static str,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// From the closed list of `api::operation`.
    pub operation: &'static str,
    pub status: u16,
    pub took: Duration,
    pub received: u64,
    pub sent: u64,
}

/// The metrics of requests.
#[derive(Debug)]
pub struct Requests {
    requests: Family<OfStatus, Counter>,
    duration: Family<OfOperation, Histogram, fn() -> Histogram>,
    received: Family<OfOperation, Counter>,
    sent: Family<OfOperation, Counter>,
    in_flight: Level,
}

impl Requests {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(seconds),
            received: Family::default(),
            sent: Family::default(),
            in_flight: Level::default(),
        };
        registry.register("http_requests", "Requests answered", new.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to the end of its response's body",
            Unit::Seconds,
            new.duration.clone(),
        );
        registry.register_with_unit(
            "http_received",
            "Bytes of request bodies",
            Unit::Bytes,
            new.received.clone(),
        );
        registry.register_with_unit("http_sent", "Bytes of response bodies", Unit::Bytes, new.sent.clone());
        registry.register("http_requests_in_flight", "Requests under way", new.in_flight.clone());
        new
    }

    pub fn began(&self) {
        self.in_flight.inc();
    }

    pub fn ended(&self, ended: &Ended) {
        let Ended { operation, status, took, received, sent } = *ended;
        let of_operation = OfOperation { operation };
        self.in_flight.dec();
        self.requests.get_or_create(&OfStatus { operation, status }).inc();
        self.duration.get_or_create(&of_operation).observe(took.as_secs_f64());
        if received > 0 {
            self.received.get_or_create(&of_operation).inc_by(received);
        }
        if sent > 0 {
            self.sent.get_or_create(&of_operation).inc_by(sent);
        }
    }
}
