//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::limits::Limits;

/// How often the log tells that connections are refused.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The places that there are.
pub(super) struct Admission {
    in_all: u32,
    per_ip: u32,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    in_all: u32,
    by_network: HashMap<IpAddr, u32>,
    refused: u64,
    told: Option<Instant>,
}

/// A place that is taken; given back when it is dropped.
pub(super) struct Place {
    admission: Arc<Admission>,
    network: Option<IpAddr>,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let taken = Mutex::default();
        Arc::new(Self { in_all: limits.connections, per_ip: limits.connections_per_ip, taken })
    }

    /// A place for a connection; with no address it counts only for the whole.
    pub(super) fn admit(self: &Arc<Self>, ip: Option<IpAddr>) -> Option<Place> {
        let network = ip.map(network);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = network.and_then(|network| taken.by_network.get(&network)).copied().unwrap_or(0);
        if taken.in_all >= self.in_all || from_there >= self.per_ip {
            taken.refuse(ip);
            return None;
        }
        taken.in_all += 1;
        if let Some(network) = network {
            taken.by_network.insert(network, from_there + 1);
        }
        Some(Place { admission: self.clone(), network })
    }
}

impl Taken {
    fn refuse(&mut self, ip: Option<IpAddr>) {
        self.refused += 1;
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            let peer = ip.map_or_else(|| "a unix socket".to_owned(), |ip| ip.to_string());
            tracing::warn!(
                refused = self.refused,
                open = self.in_all,
                last_peer = peer,
                "connections refused: limits.connections or limits.connections_per_ip is reached"
            );
            self.told = Some(Instant::now());
            self.refused = 0;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.admission.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all -= 1;
        let Some(network) = self.network else { return };
        match taken.by_network.get_mut(&network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.by_network.remove(&network)),
        }
    }
}

/// One IPv6 host has a whole /64 of addresses.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_network_and_in_all_and_given_back() {
        let limits = Limits { connections: 4, connections_per_ip: 2, ..Limits::default() };
        let admission = Admission::new(&limits);
        let admit = |ip: &str| admission.admit(Some(ip.parse().unwrap()));
        let first = admit("192.0.2.1").unwrap();
        let _second = admit("::ffff:192.0.2.1").unwrap();
        assert!(admit("192.0.2.1").is_none());
        let _third = admit("2001:db8::1").unwrap();
        let _fourth = admit("2001:db8::ffff").unwrap();
        assert!(admission.admit(None).is_none(), "four in all");
        drop(first);
        assert!(admit("2001:db8::2").is_none(), "two from one /64");
        let _again = admit("192.0.2.1").unwrap();
        assert_eq!(admission.taken.lock().unwrap().in_all, 4);
    }
}
