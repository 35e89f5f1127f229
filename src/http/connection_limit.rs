//! How many connections a listener serves at a time, in all and for each peer, so that one stranger leaves room
//! for the kubelet and for Prometheus.
//!
//! Own code in place of tower's `ConcurrencyLimit`, which limits requests and knows no peers.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The host at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// This host: with `hostNetwork`, the kubelet is one of its processes.
    Local,
    /// Another host, by its IPv4 address or its IPv6 /64: a host has all addresses of its /64.
    Remote(IpAddr),
}

impl Peer {
    /// The peer of a connection between two addresses.
    pub fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        match peer.ip().to_canonical() {
            address if address.is_loopback() || address == local.ip().to_canonical() => Self::Local,
            address => Self::remote(address),
        }
    }

    /// The peer of an address of another host.
    pub fn remote(address: IpAddr) -> Self {
        match address {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::Remote(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address => Self::Remote(address),
        }
    }
}

/// Counts what each peer has open, and refuses what exceeds the limits. Clones share the count.
#[derive(Clone, Debug)]
pub struct ConnectionLimit {
    /// Limit of all remote peers together, and of the local host.
    max: usize,
    /// Limit of each remote peer.
    max_per_peer: usize,
    open: Arc<Mutex<HashMap<Peer, usize>>>,
}

impl ConnectionLimit {
    /// Limits all remote peers together, and each of them. The local host has a limit of `max` of its own.
    pub fn new(max: usize, max_per_peer: usize) -> Self {
        Self { max, max_per_peer, open: Arc::default() }
    }

    /// Counts a connection of a peer until the slot is dropped; `None` when a limit is reached.
    pub fn try_acquire(&self, peer: Peer) -> Option<ConnectionSlot> {
        let mut open = lock(&self.open);
        let remote: usize =
            open.iter().filter(|(other, _)| **other != Peer::Local).map(|(_, count)| count).sum();
        let own = open.get(&peer).copied().unwrap_or(0);
        let free = match peer {
            Peer::Local => own < self.max,
            Peer::Remote(_) => own < self.max_per_peer && remote < self.max,
        };
        free.then(|| {
            open.insert(peer, own + 1);
            ConnectionSlot { open: self.open.clone(), peer }
        })
    }
}

fn lock(open: &Mutex<HashMap<Peer, usize>>) -> MutexGuard<'_, HashMap<Peer, usize>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    open: Arc<Mutex<HashMap<Peer, usize>>>,
    peer: Peer,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::new(SocketAddr::new(address.parse().unwrap(), 4000), "192.0.2.1:8081".parse().unwrap())
    }

    #[test]
    fn remote_peers_leave_room_for_each_other_and_for_the_local_host() {
        let limit = ConnectionLimit::new(3, 2);
        let mut slots: Vec<_> =
            ["192.0.2.8", "192.0.2.8", "192.0.2.9"].map(|address| limit.try_acquire(peer(address))).into();
        assert!(slots.iter().all(Option::is_some));
        assert!(limit.try_acquire(peer("192.0.2.9")).is_none(), "three remote connections are open");
        slots.extend(["127.0.0.1", "192.0.2.1", "::1"].map(|address| limit.try_acquire(peer(address))));
        assert!(slots.iter().all(Option::is_some));
        assert!(limit.try_acquire(peer("127.0.0.2")).is_none(), "three local connections are open");
        slots.truncate(2);
        assert!(limit.try_acquire(peer("192.0.2.8")).is_none(), "this peer has two");
        assert!(limit.try_acquire(peer("192.0.2.9")).is_some());
        drop(slots);
        assert!(lock(&limit.open).is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:192.0.2.8"), peer("192.0.2.8"));
    }
}
