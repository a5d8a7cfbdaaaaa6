//! `trusted_proxies`: the peers whose `X-Forwarded-*` is believed.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;

/// Networks, single addresses, and `unix` for whoever may open the unix socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    unix: bool,
}

impl TrustedProxies {
    /// No address: a peer on a unix socket.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(ip) => {
                let ip = ip.to_canonical();
                self.networks.iter().any(|network| network.contains(&ip))
            }
            None => self.unix,
        }
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        if text == "unix" {
            self.unix = true;
        } else if let Some(network) = network(text) {
            self.networks.push(network);
        } else {
            return Err(format!("{text:?} is no peer: write 10.0.0.0/8, 10.1.2.3 or unix"));
        }
        Ok(())
    }
}

/// A network, or the one of a single address.
pub(super) fn network(text: &str) -> Option<IpNet> {
    IpNet::from_str(text).or_else(|_| IpAddr::from_str(text).map(IpNet::from)).ok()
}

impl<'de> Deserialize<'de> for TrustedProxies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut proxies = Self::default();
        for text in Vec::<String>::deserialize(deserializer)? {
            proxies.add(&text).map_err(serde::de::Error::custom)?;
        }
        Ok(proxies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        trusted_proxies: TrustedProxies,
    }

    #[test]
    fn networks_addresses_and_the_unix_socket_are_read() {
        let file: File =
            toml::from_str("trusted_proxies = ['10.0.0.0/8', '2001:db8::/32', '192.0.2.7']").unwrap();
        let trusts = |text: &str| file.trusted_proxies.trusts(Some(text.parse().unwrap()));
        assert!(
            trusts("10.200.1.1") && trusts("::ffff:10.1.1.1") && trusts("2001:db8::1") && trusts("192.0.2.7")
        );
        assert!(!trusts("11.0.0.1") && !trusts("192.0.2.8") && !trusts("::1"));
        assert!(!file.trusted_proxies.trusts(None));
        let file: File = toml::from_str("trusted_proxies = ['unix']").unwrap();
        assert!(file.trusted_proxies.trusts(None));
    }

    #[test]
    fn what_is_no_peer_is_refused_with_what_to_write() {
        let error = toml::from_str::<File>("trusted_proxies = ['10.0.0.0/33']").err().unwrap().to_string();
        assert!(error.contains("line 1") && error.contains("write 10.0.0.0/8"), "{error}");
    }
}
