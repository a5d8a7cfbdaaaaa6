//! `listen`: where the registry is reached. One address, or a list of them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use longshore_driver_sdk::socket::MAX_PATH;
use serde::Deserialize;
use serde::de::{Error, SeqAccess, Visitor};

/// One place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// With `tls` unset it is TLS if a certificate is configured.
    Tcp {
        address: SocketAddr,
        tls: Option<bool>,
    },
    Unix(PathBuf),
}

/// Why a text is no address to listen at.
#[derive(Debug, thiserror::Error)]
pub enum InvalidListen {
    #[error(
        "{0:?} is not an address to listen at: write 127.0.0.1:5000, http://127.0.0.1:5000, https://0.0.0.0:443 or unix:///path/to/http.sock"
    )]
    Form(String),
    #[error("{0:?}: the path of a unix socket is absolute and at most {MAX_PATH} bytes long")]
    Path(String),
}

impl FromStr for ListenAddress {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, InvalidListen> {
        if let Some(path) = text.strip_prefix("unix://") {
            let fits = path.starts_with('/') && path.len() <= MAX_PATH && !path.contains('\0');
            return if fits {
                Ok(Self::Unix(path.into()))
            } else {
                Err(InvalidListen::Path(text.to_owned()))
            };
        }
        let (address, tls) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(address), _) => (address, Some(false)),
            (_, Some(address)) => (address, Some(true)),
            (None, None) => (text, None),
        };
        let address = address.replacen("localhost:", "127.0.0.1:", 1);
        let address = address.parse().map_err(|_| InvalidListen::Form(text.to_owned()))?;
        Ok(Self::Tcp { address, tls })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, tls: None } => write!(f, "{address}"),
            Self::Tcp { address, tls: Some(false) } => write!(f, "http://{address}"),
            Self::Tcp { address, tls: Some(true) } => write!(f, "https://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// All the places to listen at, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen(pub Vec<ListenAddress>);

impl Default for Listen {
    fn default() -> Self {
        Self(vec![ListenAddress::Tcp { address: SocketAddr::from(([127, 0, 0, 1], 5000)), tls: None }])
    }
}

impl Listen {
    /// The first address that other machines could reach.
    pub fn beyond_loopback(&self) -> Option<SocketAddr> {
        self.beyond().next().map(|(address, _)| address)
    }

    /// The first address that other machines could reach without TLS.
    pub fn cleartext_beyond_loopback(&self, certificate: bool) -> Option<SocketAddr> {
        self.beyond().find(|(_, tls)| !tls.unwrap_or(certificate)).map(|(address, _)| address)
    }

    pub fn asks_for_tls(&self) -> bool {
        self.0.iter().any(|address| matches!(address, ListenAddress::Tcp { tls: Some(true), .. }))
    }

    fn beyond(&self) -> impl Iterator<Item = (SocketAddr, Option<bool>)> {
        self.0.iter().filter_map(|listen| match listen {
            ListenAddress::Tcp { address, tls } if !address.ip().is_loopback() => Some((*address, *tls)),
            ListenAddress::Tcp { .. } | ListenAddress::Unix(_) => None,
        })
    }
}

impl FromStr for Listen {
    type Err = InvalidListen;

    /// Several are parted by commas.
    fn from_str(text: &str) -> Result<Self, InvalidListen> {
        text.split(',').map(|address| address.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Addresses)
    }
}

/// The mode of the unix sockets, as octal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketMode(pub u32);

impl Default for SocketMode {
    fn default() -> Self {
        Self(0o660)
    }
}

impl<'de> Deserialize<'de> for SocketMode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o777 => Ok(Self(mode)),
            _ => {
                Err(D::Error::custom(format!("{text:?} is no mode: write \"0660\" or another octal number")))
            }
        }
    }
}

struct Addresses;

impl<'de> Visitor<'de> for Addresses {
    type Value = Listen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address to listen at, or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Listen, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listen, A::Error> {
        let mut addresses = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            addresses.push(text.parse().map_err(A::Error::custom)?);
        }
        if addresses.is_empty() {
            return Err(A::Error::custom("an empty list: the registry would listen nowhere"));
        }
        Ok(Listen(addresses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        listen: Listen,
    }

    fn read(toml: &str) -> Result<Vec<String>, String> {
        let file: File = toml::from_str(toml).map_err(|error| error.to_string())?;
        Ok(file.listen.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_address_and_a_list_are_read() {
        assert_eq!(read("listen = '127.0.0.1:5000'").unwrap(), ["127.0.0.1:5000"]);
        let all = ["http://[::1]:0", "https://0.0.0.0:443", "unix:///run/longshore/http.sock"];
        assert_eq!(read(&format!("listen = {all:?}")).unwrap(), all);
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_line_and_what_to_write() {
        for text in ["'5000'", "['unix://relative']", "'ftp://127.0.0.1:1'", "[]", "5000", "'host:1'"] {
            let error = read(&format!("listen = {text}")).unwrap_err();
            assert!(error.contains("line 1"), "{error}");
        }
        assert!(read("listen = '5000'").unwrap_err().contains("write 127.0.0.1:5000"));
    }
}
