//! How many peers may keep a listener busy at one time: so many in all, and so many of one address, so
//! that a stranger who may connect leaves places for the kubelet and for Prometheus.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A process of the same host: on a node's network, the kubelet is one.
    Own,
    /// Another host, by its address; in IPv6 by its network, for a host has as many addresses as it likes.
    Other(IpAddr),
}

impl Peer {
    /// Of a connection's two ends.
    pub fn of(peer: SocketAddr, local: SocketAddr) -> Self {
        match peer.ip().to_canonical() {
            address if address.is_loopback() || address == local.ip().to_canonical() => Self::Own,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::Other(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address => Self::Other(address),
        }
    }
}

/// Who none is known of.
impl Default for Peer {
    fn default() -> Self {
        Self::Other(Ipv4Addr::UNSPECIFIED.into())
    }
}

/// Places, and who holds them.
#[derive(Debug)]
pub struct ConnectionLimit {
    most: usize,
    most_of_one: usize,
    held: Mutex<HashMap<Peer, usize>>,
}

impl ConnectionLimit {
    /// So many in all for other hosts, and of these so many for one; so many in all for the own.
    pub fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_one, held: Mutex::default() })
    }

    /// A place, until it is dropped; none when they are taken.
    pub fn take(self: &Arc<Self>, peer: Peer) -> Option<ConnectionSlot> {
        let mut held = self.held();
        let others =
            held.iter().filter(|(held, _)| **held != Peer::Own).map(|(_, count)| count).sum::<usize>();
        let mine = held.get(&peer).copied().unwrap_or(0);
        let free = match peer {
            Peer::Own => mine < self.most,
            Peer::Other(_) => mine < self.most_of_one && others < self.most,
        };
        free.then(|| {
            held.insert(peer, mine + 1);
            ConnectionSlot { places: self.clone(), peer }
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Peer, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is held.
#[derive(Debug)]
pub struct ConnectionSlot {
    places: Arc<ConnectionLimit>,
    peer: Peer,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut held = self.places.held();
        if let Some(count) = held.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::of(SocketAddr::new(address.parse().unwrap(), 4000), "192.0.2.1:8081".parse().unwrap())
    }

    #[test]
    fn strangers_leave_places_for_others_and_for_the_own_host() {
        let places = ConnectionLimit::new(3, 2);
        let mut held: Vec<_> =
            ["192.0.2.8", "192.0.2.8", "192.0.2.9"].map(|one| places.take(peer(one))).into();
        assert!(held.iter().all(Option::is_some));
        assert!(places.take(peer("192.0.2.9")).is_none(), "three are there");
        held.extend(["127.0.0.1", "192.0.2.1", "::1"].map(|own| places.take(peer(own))));
        assert!(held.iter().all(Option::is_some));
        assert!(places.take(peer("127.0.0.2")).is_none(), "three of the own host are there");
        held.truncate(2);
        assert!(places.take(peer("192.0.2.8")).is_none(), "one has two");
        assert!(places.take(peer("192.0.2.9")).is_some());
        drop(held);
        assert!(places.held().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:192.0.2.8"), peer("192.0.2.8"));
    }
}
