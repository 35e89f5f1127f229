//! Source addresses of Trunks. A call is assigned to a Trunk by its source address, so an address claimed
//! in two namespaces would give one owner the other's calls: the older Trunk holds the address. Trunks of
//! one namespace have one owner and may share addresses.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::source::ObjectKey;

/// Source networks, each with the Trunks that hold it.
#[derive(Debug, Default)]
pub struct Sources(BTreeMap<IpNet, Vec<ObjectKey>>);

impl Sources {
    /// Records the networks that a Trunk holds.
    pub fn claim(&mut self, trunk: &ObjectKey, addresses: &[IpNet]) {
        for address in addresses {
            self.0.entry(*address).or_default().push(trunk.clone());
        }
    }

    /// A Trunk of another namespace that holds a network which overlaps this one.
    pub fn holder(&self, trunk: &ObjectKey, address: IpNet) -> Option<&ObjectKey> {
        // Networks overlap only where one is within the other.
        let mut around = std::iter::successors(Some(address), IpNet::supernet);
        let last = IpNet::from(address.broadcast());
        let within = self.0.range(address..=last).filter(|(other, _)| address.contains(*other));
        let holders = |(_, holders): (&IpNet, _)| holders;
        let around =
            std::iter::from_fn(|| around.next()).filter_map(|network| self.0.get_key_value(&network));
        let mut holders = around.chain(within).flat_map(holders);
        holders.find(|holder: &&ObjectKey| holder.namespace != trunk.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Kind;

    #[test]
    fn networks_overlap_if_one_contains_the_other() {
        let trunk = |namespace: &str| ObjectKey {
            kind: Kind::Trunk,
            namespace: Some(namespace.to_owned()),
            name: "carrier".to_owned(),
        };
        let mut sources = Sources::default();
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        sources.claim(&trunk("a"), &[net("192.0.2.64/26"), net("2001:db8::/32")]);
        let holds = |namespace: &str, text: &str| sources.holder(&trunk(namespace), net(text)).is_some();
        for text in
            ["192.0.2.64/26", "192.0.2.0/24", "192.0.2.100/32", "0.0.0.0/0", "2001:db8:1::/48", "2001::/16"]
        {
            assert!(holds("b", text), "{text}");
            assert!(!holds("a", text), "{text}");
        }
        for text in ["192.0.2.0/26", "192.0.2.128/25", "192.0.3.0/24", "192.0.2.63/32", "2001:db9::/32"] {
            assert!(!holds("b", text), "{text}");
        }
    }
}
