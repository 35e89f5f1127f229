//! The kinds that are watched, and how an object of each is read.

use std::sync::{Arc, LazyLock};

use kube::Resource;

use super::read;
use crate::resources::*;
use crate::source::Object;

/// Reads an object from its JSON, and keeps of it what is used.
pub(super) type Read = fn(&str) -> Result<Object, serde_json::Error>;

/// A kind that is watched.
#[derive(Debug)]
pub(super) struct WatchedKind {
    /// The kind.
    pub name: Kind,
    /// Path of its API: `/apis/centrex.dev/v1alpha1` or `/api/v1`.
    pub api: &'static str,
    /// Its name in paths, such as `extensions`.
    pub plural: String,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// What is taken of its objects.
    pub taken: WatchMode,
}

/// What is taken of the objects of a kind.
#[derive(Clone, Copy, Debug)]
pub(super) enum WatchMode {
    /// All of each object, as the watch shows it.
    Whole(Read),
    /// Metadata of each object; nothing else is watched.
    Metadata(Read),
    /// All of those that others refer to, fetched one by one; only metadata is watched.
    OnUse(Read),
}

impl WatchedKind {
    /// Path of its objects, in a namespace or in all.
    pub fn path(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) => format!("{}/namespaces/{namespace}/{}", self.api, self.plural),
            None => format!("{}/{}", self.api, self.plural),
        }
    }

    /// Whether only metadata is listed and watched.
    pub fn metadata_only(&self) -> bool {
        !matches!(self.taken, WatchMode::Whole(_))
    }
}

/// The kind of this name among those that are fetched on use, and how one is read.
pub(super) fn on_use(name: Kind) -> Option<(&'static WatchedKind, Read)> {
    KINDS.iter().find_map(|kind| match kind.taken {
        WatchMode::OnUse(read) if kind.name == name => Some((kind, read)),
        _ => None,
    })
}

macro_rules! ours {
    ($namespaced:literal: $($kind:ident),+ $(,)?) => {
        [$(WatchedKind {
            name: Kind::$kind,
            api: "/apis/centrex.dev/v1alpha1",
            plural: $kind::plural(&()).into_owned(),
            namespaced: $namespaced,
            taken: WatchMode::Whole(|text| {
                let (metadata, spec, status) = read::resource(text)?;
                Ok(Object::$kind(Arc::new($kind { metadata, spec, status })))
            }),
        }),+]
    };
}

/// Every kind that is watched. Switches are not: they are written by Centrex, and never read.
pub(super) static KINDS: LazyLock<Vec<WatchedKind>> = LazyLock::new(|| {
    let core = |name, plural: &str, namespaced, taken| WatchedKind {
        name,
        api: "/api/v1",
        plural: plural.to_owned(),
        namespaced,
        taken,
    };
    let mut kinds = Vec::new();
    kinds.extend(ours!(false: TenantProfile, SipProfile, DialRule));
    kinds.extend(ours!(true:
        Tenant, Trunk, Extension, Device, Number, OutboundRoute, RingGroup, Queue, IvrMenu, Conference,
        Schedule, MediaFile, FeatureCode, RoutingTest,
    ));
    kinds.push(core(Kind::Namespace, "namespaces", false, WatchMode::Metadata(read::namespace)));
    kinds.push(core(Kind::Secret, "secrets", true, WatchMode::OnUse(read::secret)));
    kinds.push(core(Kind::ConfigMap, "configmaps", true, WatchMode::OnUse(read::config_map)));
    kinds
});

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_kind_of_ours_is_watched_as_its_crd_says() {
        let watched = KINDS.iter().filter(|kind| kind.api != "/api/v1");
        let watched: BTreeMap<_, _> =
            watched.map(|kind| (kind.name.to_string(), (kind.path(None), kind.namespaced))).collect();
        let crds = crd::all().into_iter().filter(|crd| crd.spec.names.kind != "Switch");
        let expected: BTreeMap<_, _> = crds
            .map(|crd| {
                let (spec, version) = (crd.spec, API_VERSION);
                let path = format!("/apis/{version}/{}", spec.names.plural);
                (spec.names.kind, (path, spec.scope == "Namespaced"))
            })
            .collect();
        assert_eq!(watched, expected);
    }
}
