//! What a source cannot read now, so that its absence says nothing.

use std::collections::BTreeSet;

use super::World;

/// What a source cannot read now. What is absent because of it is not gone: the tenants that rest
/// on it stay as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Something cannot be read, known before or not: no tenant may be taken for gone.
    pub any: bool,
    /// An earlier run read something of the platform's that cannot be read now.
    pub platform: bool,
    /// Namespaces in which an earlier run read something that cannot be read now.
    pub namespaces: BTreeSet<String>,
}

impl Gaps {
    /// Notes an object that an earlier run read and that cannot be read now.
    pub fn note(&mut self, kind: &str, namespace: Option<&str>, name: &str) {
        match (kind, namespace) {
            ("Namespace", _) => self.namespaces.extend([name.to_owned()]),
            ("Trunk", _) | (_, None) => self.platform = true,
            (_, Some(namespace)) => self.namespaces.extend([namespace.to_owned()]),
        }
    }

    /// Whether the platform's rows would come out wrong: its own objects, or the Secrets of its trunks.
    pub fn concern_platform(&self, world: &World) -> bool {
        self.platform || self.namespaces.iter().any(|namespace| world.has_trunk(namespace))
    }

    /// Whether tenants of a namespace would come out wrong.
    pub fn concern(&self, namespace: &str) -> bool {
        self.namespaces.contains(namespace)
    }
}
