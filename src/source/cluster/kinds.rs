//! The kinds that are watched, and how an object of each is read.

use std::sync::{Arc, LazyLock};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::core::ApiResource;

use super::read;
use crate::resources::*;
use crate::source::Object;

/// Reads an object from its JSON, without the fields that Centrex does not use.
pub(super) type Read = fn(&str) -> Result<Object, serde_json::Error>;

/// A kind that is watched.
#[derive(Debug)]
pub(super) struct WatchedKind {
    /// Its name, such as `Extension`.
    pub name: Kind,
    /// Group, version and plural, from which kube builds request paths.
    pub resource: ApiResource,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// How much of its objects is read.
    pub mode: WatchMode,
}

/// How much of the objects of a kind is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum WatchMode {
    /// Each object as the watch shows it.
    Whole(Read),
    /// Metadata of each object, and nothing else.
    Metadata(Read),
    /// Metadata is watched. Objects that others refer to are fetched one by one.
    FetchOnReference(Read),
}

impl WatchedKind {
    /// Whether only metadata is listed and watched.
    pub fn metadata_only(&self) -> bool {
        !matches!(self.mode, WatchMode::Whole(_))
    }
}

/// The kind of this name, if it is fetched on reference, and how one object is read.
pub(super) fn fetched_on_reference(name: Kind) -> Option<(&'static WatchedKind, Read)> {
    KINDS.iter().find_map(|kind| match kind.mode {
        WatchMode::FetchOnReference(read) if kind.name == name => Some((kind, read)),
        _ => None,
    })
}

macro_rules! ours {
    ($namespaced:literal: $($kind:ident),+ $(,)?) => {
        [$(WatchedKind {
            name: Kind::$kind,
            resource: ApiResource::erase::<$kind>(&()),
            namespaced: $namespaced,
            mode: WatchMode::Whole(|text| {
                let (metadata, spec, status) = read::resource(text)?;
                Ok(Object::$kind(Arc::new($kind { metadata, spec, status })))
            }),
        }),+]
    };
}

/// Every kind that is watched. Switches are not: Centrex writes them and never reads them.
pub(super) static KINDS: LazyLock<Vec<WatchedKind>> = LazyLock::new(|| {
    let mut kinds = Vec::new();
    kinds.extend(ours!(false: TenantProfile, SipProfile, DialRule));
    kinds.extend(ours!(true:
        Tenant, Trunk, Extension, Device, Number, OutboundRoute, RingGroup, Queue, IvrMenu, Conference,
        Schedule, MediaFile, FeatureCode, RoutingTest,
    ));
    kinds.push(WatchedKind {
        name: Kind::Namespace,
        resource: ApiResource::erase::<Namespace>(&()),
        namespaced: false,
        mode: WatchMode::Metadata(read::namespace),
    });
    kinds.push(WatchedKind {
        name: Kind::Secret,
        resource: ApiResource::erase::<Secret>(&()),
        namespaced: true,
        mode: WatchMode::FetchOnReference(read::secret),
    });
    kinds.push(WatchedKind {
        name: Kind::ConfigMap,
        resource: ApiResource::erase::<ConfigMap>(&()),
        namespaced: true,
        mode: WatchMode::FetchOnReference(read::config_map),
    });
    kinds
});

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::Resource;

    use super::*;
    use crate::source::cluster::raw_object::RawObject;

    #[test]
    fn every_kind_is_watched_under_the_names_of_its_crd() {
        let watched = KINDS.iter().filter(|kind| !kind.resource.group.is_empty());
        let path = |kind: &WatchedKind| RawObject::<false>::url_path(&kind.resource, None);
        let watched: BTreeMap<_, _> =
            watched.map(|kind| (kind.name.to_string(), (path(kind), kind.namespaced))).collect();
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
