//! Finds the resource that a row was compiled from.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;

use super::{PlatformSnapshot, TenantSnapshot};
use crate::plan::{DialRuleRow, Origin, Row, SipProfileRow, TrunkRow, tenant_rows};
use crate::resources::Kind;

impl TenantSnapshot {
    /// The resource of a row, by its kind and name.
    pub fn origin(&self, kind: &str, name: &str) -> Option<Origin> {
        macro_rules! find {
            ($($list:ident: $row:ty),*) => {
                match Kind::by_name(kind)? {
                    $(<$row as Row>::KIND => find(&self.$list, name),)*
                    _ => None,
                }
            };
        }
        tenant_rows!(find)
    }
}

impl PlatformSnapshot {
    /// The resource of a row, by its kind and name.
    pub fn origin(&self, kind: &str, name: &str) -> Option<Origin> {
        match Kind::by_name(kind)? {
            SipProfileRow::KIND => find(&self.sip_profiles, name),
            DialRuleRow::KIND => find(&self.dial_rules, name),
            TrunkRow::KIND => {
                let (namespace, name) = name.split_once('/')?;
                let named = |metadata: &ObjectMeta| {
                    metadata.namespace.as_deref() == Some(namespace) && metadata.name.as_deref() == Some(name)
                };
                self.trunks.iter().find(|trunk| named(&trunk.metadata)).map(|trunk| of(&trunk.metadata))
            }
            _ => None,
        }
    }
}

/// The object of this name. `objects` are ordered by name.
fn find<K: Resource>(objects: &[Arc<K>], name: &str) -> Option<Origin> {
    let position =
        objects.binary_search_by(|object| object.meta().name.as_deref().unwrap_or_default().cmp(name));
    objects.get(position.ok()?).map(|object| of(object.meta()))
}

fn of(metadata: &ObjectMeta) -> Origin {
    Origin { uid: metadata.uid.clone().unwrap_or_default(), generation: metadata.generation }
}
