//! Which row a resource compiles to, and back.

use crate::plan::has_rows;
use crate::resources::Kind;
use crate::source::{ObjectKey, TenantKey};

/// Table and name of the row that a resource compiles to; `None` for a kind without rows.
pub fn row_of(ObjectKey { kind, namespace, name }: &ObjectKey) -> Option<(&'static str, String)> {
    let name = match (*kind, namespace) {
        (Kind::Trunk, Some(namespace)) => format!("{namespace}/{name}"),
        _ => name.clone(),
    };
    has_rows(*kind).then(|| (kind.as_str(), name))
}

/// The resource that a row was compiled from; `None` for an unknown table.
pub fn resource_of(kind: &str, name: &str, tenant: Option<&TenantKey>) -> Option<ObjectKey> {
    let kind = Kind::by_name(kind)?;
    if kind == Kind::Trunk {
        let (namespace, name) = name.split_once('/')?;
        return Some(ObjectKey { kind, namespace: Some(namespace.to_owned()), name: name.to_owned() });
    }
    Some(ObjectKey { kind, namespace: tenant.map(|key| key.namespace.clone()), name: name.to_owned() })
}
