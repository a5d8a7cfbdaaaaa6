//! Who sent a request: the peer, or whom a trusted proxy names in `X-Forwarded-*`.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Uri, header};

use crate::api::client_addr::ClientAddr;
use crate::config::proxies::TrustedProxies;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Every proxy appends to the lists that it was given, so they are read from their ends: what stands further to the left
/// may be the client's own invention.
pub(super) fn client_addr(
    trusted: &TrustedProxies,
    peer: Option<IpAddr>,
    tls: bool,
    uri: &Uri,
    headers: &HeaderMap,
) -> ClientAddr {
    let named = uri.authority().cloned().or_else(|| authority(headers.get(header::HOST)?.to_str().ok()?));
    let mut client = ClientAddr {
        ip: peer.map(|ip| ip.to_canonical()),
        scheme: if tls { "https" } else { "http" },
        host: named.map(|host| host.as_str().to_owned()),
        by_proxy: trusted.trusts(peer),
    };
    if !client.by_proxy {
        return client;
    }
    for hop in from_the_end(headers, &FOR) {
        let Some(ip) = address(hop) else { break };
        client.ip = Some(ip.to_canonical());
        if !trusted.trusts(Some(ip)) {
            break;
        }
    }
    match from_the_end(headers, &PROTO).next() {
        Some(proto) if proto.eq_ignore_ascii_case("https") => client.scheme = "https",
        Some(proto) if proto.eq_ignore_ascii_case("http") => client.scheme = "http",
        Some(_) | None => {}
    }
    if let Some(host) = from_the_end(headers, &HOST).next().and_then(authority) {
        client.host = Some(host.as_str().to_owned());
    }
    client
}

fn from_the_end<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    lines.into_iter().rev().flat_map(|line| line.rsplit(',')).map(str::trim)
}

/// Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(hop, |(ip, _)| ip);
    bare.parse().ok().or_else(|| Some(hop.parse::<std::net::SocketAddr>().ok()?.ip()))
}

/// A host without user information: it ends up in URLs that clients send passwords to.
fn authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    (!authority.as_str().contains('@')).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct File {
        trusted_proxies: TrustedProxies,
    }

    fn ask(peer: Option<&str>, lines: &[(&'static str, &str)]) -> ClientAddr {
        let file: File = toml::from_str("trusted_proxies = ['10.0.0.0/8', 'unix']").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "inside:5000".parse().unwrap());
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let peer = peer.map(|ip| ip.parse().unwrap());
        client_addr(&file.trusted_proxies, peer, false, &Uri::from_static("/v2/"), &headers)
    }

    fn ip(client: &ClientAddr) -> String {
        client.ip.map_or_else(|| "none".to_owned(), |ip| ip.to_string())
    }

    #[test]
    fn a_stranger_is_believed_nothing() {
        let lines =
            [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil")];
        let client = ask(Some("203.0.113.9"), &lines);
        assert_eq!((ip(&client).as_str(), client.scheme), ("203.0.113.9", "http"));
        assert_eq!(client.host.as_deref(), Some("inside:5000"));
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        let lines = [
            ("x-forwarded-for", "198.51.100.66, 192.0.2.1"),
            ("x-forwarded-for", "10.9.9.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "registry.example"),
        ];
        for peer in [Some("10.1.1.1"), Some("::ffff:10.1.1.1"), None] {
            let client = ask(peer, &lines);
            assert_eq!((ip(&client).as_str(), client.scheme), ("192.0.2.1", "https"));
            assert_eq!(client.host.as_deref(), Some("registry.example"));
        }
    }

    #[test]
    fn what_is_no_address_scheme_or_host_is_not_taken() {
        let lines = [
            ("x-forwarded-for", "192.0.2.1, unknown"),
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-host", "a\"b@c"),
        ];
        let client = ask(Some("10.1.1.1"), &lines);
        assert_eq!((ip(&client).as_str(), client.scheme), ("10.1.1.1", "http"));
        assert_eq!(client.host.as_deref(), Some("inside:5000"));
        assert_eq!(ip(&ask(Some("10.1.1.1"), &[("x-forwarded-for", "[2001:db8::1]:99")])), "2001:db8::1");
    }
}
