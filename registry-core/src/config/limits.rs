//! `[limits]`: what one client may take of the connections, the time and the memory of the core.

use std::time::Duration;

use serde::Deserialize;

/// Times end what a client holds without using it; sizes and counts end what it piles up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections open at once; more are closed as soon as they come.
    pub connections: u32,
    /// Of these, from one IPv4 address or one IPv6 /64 network. Trusted proxies are not counted.
    pub connections_per_ip: u32,
    /// The head of a request, in bytes.
    pub header_size: u32,
    /// Its header fields.
    pub header_fields: u16,
    /// From the accept, or from the first byte of a later request, to the end of its head.
    #[serde(deserialize_with = "super::duration")]
    pub header_read: Duration,
    /// From the accept to the end of the TLS handshake.
    #[serde(deserialize_with = "super::duration")]
    pub tls_handshake: Duration,
    /// A connection without a request.
    #[serde(deserialize_with = "super::duration")]
    pub idle: Duration,
    /// Bytes a second that a body must come at ...
    pub body_rate: u32,
    /// ... on average over this long, not counting the time that the storage takes.
    #[serde(deserialize_with = "super::duration")]
    pub body_rate_over: Duration,
    /// A response of which the client takes nothing.
    #[serde(deserialize_with = "super::duration")]
    pub write_stall: Duration,
    /// Requests that one HTTP/2 connection may have under way.
    pub http2_streams: u32,
    /// Blobs that one connection may download at once; more wait for these to end.
    pub http2_downloads: u16,
    /// Requests that it may have reset before they were looked at, and protocol errors that it may make.
    pub http2_resets: u32,
    /// How often an HTTP/2 peer is asked whether it is still there; it has the same time to answer.
    #[serde(deserialize_with = "super::duration")]
    pub http2_ping: Duration,
    /// Requests under way may finish for this long when the registry stops.
    #[serde(deserialize_with = "super::duration")]
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_ip: 256,
            header_size: 16 * 1024,
            header_fields: 64,
            header_read: Duration::from_secs(10),
            tls_handshake: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            body_rate: 1024,
            body_rate_over: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            http2_streams: 128,
            http2_downloads: 16,
            http2_resets: 100,
            http2_ping: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}

/// A limit of zero would refuse everything.
#[derive(Debug, thiserror::Error)]
#[error("limits.{0} is zero: nothing could be served; leave it out for the default")]
pub struct ZeroLimit(&'static str);

impl Limits {
    /// # Errors
    /// When nothing could be served within them.
    pub fn check(&self) -> Result<(), ZeroLimit> {
        let zeros = [
            ("connections", self.connections == 0),
            ("connections_per_ip", self.connections_per_ip == 0),
            ("header_size", self.header_size == 0),
            ("header_fields", self.header_fields == 0),
            ("header_read", self.header_read.is_zero()),
            ("tls_handshake", self.tls_handshake.is_zero()),
            ("idle", self.idle.is_zero()),
            ("body_rate_over", self.body_rate_over.is_zero()),
            ("write_stall", self.write_stall.is_zero()),
            ("http2_streams", self.http2_streams == 0),
            ("http2_downloads", self.http2_downloads == 0),
            ("http2_ping", self.http2_ping.is_zero()),
        ];
        match zeros.into_iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(ZeroLimit(name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_that_are_documented() {
        let documented = include_str!("../../../docs/operations.md");
        let row = |field: &str, default: &str| {
            let begin = format!("| `limits.{field}` |");
            let found = documented.lines().find(|line| line.starts_with(&begin));
            let line = found.unwrap_or_else(|| panic!("docs/operations.md has no row for limits.{field}"));
            assert!(line.contains(&format!("| {default} |")), "{line}: the default is {default}");
        };
        let limits = Limits::default();
        for (field, value) in [
            ("connections", limits.connections),
            ("connections_per_ip", limits.connections_per_ip),
            ("header_size", limits.header_size),
            ("header_fields", limits.header_fields.into()),
            ("body_rate", limits.body_rate),
            ("http2_streams", limits.http2_streams),
            ("http2_downloads", limits.http2_downloads.into()),
            ("http2_resets", limits.http2_resets),
        ] {
            row(field, &value.to_string());
        }
        for (field, value) in [
            ("header_read", limits.header_read),
            ("tls_handshake", limits.tls_handshake),
            ("idle", limits.idle),
            ("body_rate_over", limits.body_rate_over),
            ("write_stall", limits.write_stall),
            ("http2_ping", limits.http2_ping),
            ("drain", limits.drain),
        ] {
            row(field, &format!("{}s", value.as_secs()));
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_design() {
        let Limits { header_read, tls_handshake, idle, body_rate_over, write_stall, .. } = Limits::default();
        let seconds =
            [header_read, tls_handshake, idle, body_rate_over, write_stall].map(|time| time.as_secs());
        assert_eq!(seconds, [10, 10, 120, 30, 60]);
        assert_eq!((Limits::default().body_rate, Limits::default().header_size), (1024, 16_384));
    }

    #[test]
    fn a_limit_of_zero_is_refused_by_name() {
        let limits = Limits { idle: Duration::ZERO, ..Limits::default() };
        assert!(limits.check().unwrap_err().to_string().contains("limits.idle"));
        Limits::default().check().unwrap();
    }
}
