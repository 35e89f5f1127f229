//! Where a request comes from: the client's address, and lists of networks.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::plan::DeviceRow;
use crate::replica::tenants::Replica;

/// How long the networks without TLS may lag behind a change of a Device.
const HTTP_NETWORKS_AGE: Duration = Duration::from_secs(1);

/// Networks, from an option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl std::str::FromStr for Networks {
    type Err = String;

    /// Reads networks and addresses, with commas between them.
    fn from_str(text: &str) -> Result<Self, String> {
        let network = |text: &str| {
            let text = text.trim();
            let address = || text.parse::<IpAddr>().map(IpNet::from);
            let wrong =
                |_| format!("{text} is no network; write networks such as 192.0.2.0/24,2001:db8::/32");
            text.parse::<IpNet>().or_else(|_| address()).map_err(wrong)
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl Networks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Whether an address is in one of a Device's networks. One that cannot be read contains nothing.
pub fn is_in(networks: &[String], address: IpAddr) -> bool {
    networks.iter().any(|network| network.parse::<IpNet>().is_ok_and(|network| network.contains(&address)))
}

/// Whether a Device may fetch from an address: without a list, from everywhere.
pub fn admits(row: &DeviceRow, address: IpAddr) -> bool {
    row.allowed_networks.is_empty() || is_in(&row.allowed_networks, address)
}

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Whether TLS protects what it gets.
    pub is_secure: bool,
}

impl Client {
    /// The client of a connection. What `X-Forwarded-For` and `X-Forwarded-Proto` say counts on a connection of a
    /// trusted proxy only: the client is then the last address that no trusted proxy has.
    pub fn new(peer: IpAddr, is_tls: bool, headers: &HeaderMap, proxies: &Networks) -> Self {
        let peer = peer.to_canonical();
        if !proxies.contains(peer) {
            return Self { address: peer, is_secure: is_tls };
        }
        let mut address = peer;
        let headers_of = |name| headers.get_all(name).iter().rev().filter_map(|value| value.to_str().ok());
        for hop in headers_of("x-forwarded-for").flat_map(|value| value.rsplit(',')) {
            // Text that is no address: the proxy before it is all that is certain.
            let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
            address = hop.to_canonical();
            if !proxies.contains(address) {
                break;
            }
        }
        let is_https = headers_of("x-forwarded-proto").next().is_some_and(|value| {
            value.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("https"))
        });
        Self { address, is_secure: is_tls || is_https }
    }
}

/// The networks of all Devices that may fetch without TLS. From there, every request without TLS is answered like one
/// with TLS, and from elsewhere none: so nothing shows which Devices these are.
#[derive(Debug, Default)]
pub struct HttpNetworks(Mutex<Option<(Instant, Arc<Vec<IpNet>>)>>);

impl HttpNetworks {
    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr, replica: &Replica) -> bool {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let networks = match &*current {
            Some((read, networks)) if read.elapsed() < HTTP_NETWORKS_AGE => networks.clone(),
            _ => {
                let networks = Arc::new(of_devices(replica));
                *current = Some((Instant::now(), networks.clone()));
                networks
            }
        };
        drop(current);
        networks.iter().any(|network| network.contains(&address))
    }
}

fn of_devices(replica: &Replica) -> Vec<IpNet> {
    let tenants = replica.snapshot().tenants;
    let devices = tenants.values().flat_map(|entry| entry.view.plan.devices.values());
    let texts = devices.filter(|device| device.allow_http).flat_map(|device| &device.allowed_networks);
    IpNet::aggregate(&texts.filter_map(|text| text.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> (String, bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let proxies = "10.0.0.0/8,2001:db8::1".parse().unwrap();
        let client = Client::new(peer.parse().unwrap(), false, &map, &proxies);
        (client.address.to_string(), client.is_secure)
    }

    #[test]
    fn only_a_trusted_proxy_says_who_the_client_is() {
        let forged = [("x-forwarded-for", "192.0.2.9"), ("x-forwarded-proto", "https")];
        assert_eq!(client("192.0.2.1", &forged), ("192.0.2.1".into(), false));
        assert_eq!(client("10.0.0.1", &forged), ("192.0.2.9".into(), true));
        assert_eq!(client("::ffff:10.0.0.1", &forged), ("192.0.2.9".into(), true));
        // What the client itself wrote before the proxy's part does not count.
        let more = [("x-forwarded-for", "203.0.113.5, 192.0.2.9"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(client("10.0.0.1", &more), ("192.0.2.9".into(), false));
        let garbage = [("x-forwarded-for", "203.0.113.5, garbage"), ("x-forwarded-proto", "https, http")];
        assert_eq!(client("10.0.0.1", &garbage), ("10.0.0.1".into(), false));
        assert_eq!(client("2001:db8::1", &[]), ("2001:db8::1".into(), false));
    }

    #[test]
    fn an_unreadable_network_contains_nothing() {
        let address = "192.0.2.7".parse().unwrap();
        assert!(is_in(&["192.0.2.0/24".into()], address));
        assert!(!is_in(&["192.0.2.0/99".into(), "198.51.100.0/24".into()], address));
        assert!("192.0.2.0/24, 2001:db8::/32,192.0.2.1".parse::<Networks>().is_ok());
        for wrong in ["", "192.0.2.0/24,", "example.com", "192.0.2.0/33"] {
            assert!(wrong.parse::<Networks>().is_err(), "{wrong}");
        }
    }
}
