//! What is known of a tenant while it is judged: what there is, what was refused, and why.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use kube::Resource;

use crate::compile::platform::trunk_name;
use crate::compile::{Claims, Effect, Problem, Reason};
use crate::plan::{MediaPath, PlatformPlan, Target, TrunkRow};
use crate::resources::common::{Destination, DestinationKind, MediaSource, NamespacedRef};
use crate::resources::media_file::MediaUsage;
use crate::resources::trunk::FromNamespaces;
use crate::resources::{Extension, TenantProfile};
use crate::source::object::created;
use crate::source::{ObjectKey, PlatformSnapshot, TenantSnapshot};

/// Kind and name of a resource of the tenant.
pub type Id = (&'static str, String);

/// A resource with its age, for all that is settled by age.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aged {
    pub created: Timestamp,
    pub id: Id,
}

/// Why a reference cannot be used.
pub type Broken = (Reason, String);

pub struct Draft<'a> {
    pub snapshot: &'a TenantSnapshot,
    pub platform_snapshot: &'a PlatformSnapshot,
    pub platform: &'a PlatformPlan,
    pub claims: &'a Claims,
    pub profile: Option<&'a TenantProfile>,
    pub namespace: String,
    pub problems: Vec<Problem>,
    /// Forwardings and the like that were cut because they close a loop: resource and field.
    pub cut: BTreeSet<(Id, &'static str)>,
    extensions: HashMap<&'a str, &'a Extension>,
    ages: HashMap<Id, Timestamp>,
    refused: HashSet<Id>,
}

impl<'a> Draft<'a> {
    pub fn new(
        snapshot: &'a TenantSnapshot,
        platform_snapshot: &'a PlatformSnapshot,
        platform: &'a PlatformPlan,
        claims: &'a Claims,
    ) -> Self {
        let mut ages = HashMap::new();
        macro_rules! enter {
            ($($kind:literal => $list:ident),* $(,)?) => {
                $(for object in &snapshot.$list {
                    ages.insert(($kind, name_of(&**object).to_owned()), created(&object.metadata));
                })*
            };
        }
        enter!(
            "Extension" => extensions, "Device" => devices, "Number" => numbers,
            "OutboundRoute" => outbound_routes, "RingGroup" => ring_groups, "Queue" => queues,
            "IvrMenu" => ivr_menus, "Conference" => conferences, "Schedule" => schedules,
            "MediaFile" => media_files, "FeatureCode" => feature_codes,
        );
        Self {
            snapshot,
            platform_snapshot,
            platform,
            claims,
            profile: None,
            namespace: snapshot.tenant.metadata.namespace.clone().unwrap_or_default(),
            problems: Vec::new(),
            cut: BTreeSet::new(),
            extensions: snapshot.extensions.iter().map(|e| (name_of(&**e), &**e)).collect(),
            ages,
            refused: HashSet::new(),
        }
    }

    /// The key of a resource of the tenant.
    pub fn key(&self, kind: &'static str, name: &str) -> ObjectKey {
        ObjectKey { kind, namespace: Some(self.namespace.clone()), name: name.to_owned() }
    }

    /// The key of the tenant itself.
    pub fn tenant_key(&self) -> ObjectKey {
        self.key("Tenant", name_of(&*self.snapshot.tenant))
    }

    /// A resource with its age.
    pub fn aged(&self, kind: &'static str, name: &str) -> Aged {
        let id = (kind, name.to_owned());
        Aged { created: self.ages.get(&id).copied().unwrap_or(Timestamp::MAX), id }
    }

    /// Whether a resource exists and was not refused.
    pub fn stands(&self, kind: &'static str, name: &str) -> bool {
        let id = (kind, name.to_owned());
        self.ages.contains_key(&id) && !self.refused.contains(&id)
    }

    /// Takes a resource out, with the reason.
    pub fn refuse(&mut self, id: Id, field: impl Into<String>, reason: Reason, message: impl Into<String>) {
        let problem = Problem::refused(self.key(id.0, &id.1), field, reason, message);
        self.withhold(id, problem);
    }

    /// Takes a resource out for a problem, whose effect may be that it only waits.
    pub fn withhold(&mut self, id: Id, problem: Problem) {
        if self.refused.insert(id) {
            self.problems.push(problem);
        }
    }

    /// Notes that a part of a resource is left out.
    pub fn degrade(
        &mut self,
        kind: &'static str,
        name: &str,
        field: impl Into<String>,
        (reason, message): Broken,
    ) {
        let problem = Problem::degraded(self.key(kind, name), field, reason, message);
        self.problems.push(problem);
    }

    /// Whether a resource of the tenant can be referred to.
    pub fn resolve(&self, kind: &'static str, name: &str) -> Result<(), Broken> {
        let id = (kind, name.to_owned());
        if !self.ages.contains_key(&id) {
            let tenant = name_of(&*self.snapshot.tenant);
            return Err((Reason::RefNotFound, format!("tenant {tenant} has no {kind} {name}")));
        }
        if self.refused.contains(&id) {
            let key = self.key(kind, name);
            let waits = self
                .problems
                .iter()
                .any(|problem| problem.resource == key && problem.effect == Effect::Waiting);
            let why = if waits { "is waiting for a Secret" } else { "is refused itself" };
            return Err((Reason::RefRefused, format!("{kind} {name} {why}")));
        }
        Ok(())
    }

    /// The target that a destination names.
    pub fn target(&self, destination: &Destination) -> Result<Target, Broken> {
        let kind = destination.kind;
        if kind == DestinationKind::ExternalNumber {
            let number = destination.number.clone().unwrap_or_default();
            return Ok(Target { kind, name: number });
        }
        let name = destination.name.clone().unwrap_or_default();
        self.resolve(resource_kind(kind), &name)?;
        if kind == DestinationKind::Voicemail && !self.has_voicemail(&name) {
            let message = format!("Extension {name} has no voicemail box; set its spec.voicemail.enabled");
            return Err((Reason::InvalidValue, message));
        }
        Ok(Target { kind, name })
    }

    fn has_voicemail(&self, extension: &str) -> bool {
        let extension = self.extensions.get(extension);
        extension.and_then(|e| e.spec.voicemail.as_ref()).is_some_and(|voicemail| voicemail.enabled)
    }

    /// The trunk that a reference names, where its owner allows the tenant's namespace.
    pub fn trunk(&self, reference: &NamespacedRef) -> Result<(String, &'a TrunkRow), Broken> {
        let namespace = reference.namespace.as_deref().unwrap_or(&self.namespace);
        let name = trunk_name(namespace, &reference.name);
        let trunk = self.platform_snapshot.trunks.iter().find(|trunk| {
            trunk.metadata.namespace.as_deref() == Some(namespace) && name_of(&***trunk) == reference.name
        });
        let Some(trunk) = trunk else {
            let message = format!("there is no Trunk {} in namespace {namespace}", reference.name);
            return Err((Reason::RefNotFound, message));
        };
        let allowed = trunk.spec.allowed_namespaces.as_ref();
        let permitted = namespace == self.namespace
            || allowed.is_some_and(|allowed| match allowed.from {
                FromNamespaces::Same => false,
                FromNamespaces::All => true,
                FromNamespaces::Selector => {
                    let labels = self.platform_snapshot.namespaces.get(&self.namespace);
                    allowed.selector.as_ref().is_some_and(|selector| {
                        selector.match_labels.iter().all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v))
                    })
                }
            });
        if !permitted {
            let message = format!(
                "Trunk {name} does not allow namespace {}; see its spec.allowedNamespaces",
                self.namespace
            );
            return Err((Reason::RefNotPermitted, message));
        }
        match self.platform.trunks.get(&name) {
            Some(row) => Ok((name, row)),
            None => Err((Reason::RefRefused, format!("Trunk {name} is refused itself"))),
        }
    }

    /// Where a media file lies, relative to the tenant's media directory.
    pub fn media(&self, source: &MediaSource) -> Result<MediaPath, Broken> {
        let name = &source.media_file_ref.name;
        self.resolve("MediaFile", name)?;
        let file = self.snapshot.media_files.iter().find(|file| name_of(&***file) == name);
        let directory = match file.and_then(|file| file.spec.usage).unwrap_or_default() {
            MediaUsage::Prompt => "prompts",
            MediaUsage::MusicOnHold => "music_on_hold",
        };
        Ok(MediaPath(format!("{directory}/{name}.wav")))
    }
}

/// The kind of resource that a destination of a kind names.
pub fn resource_kind(kind: DestinationKind) -> &'static str {
    match kind {
        DestinationKind::Extension | DestinationKind::Voicemail => "Extension",
        DestinationKind::RingGroup => "RingGroup",
        DestinationKind::Queue => "Queue",
        DestinationKind::IvrMenu => "IvrMenu",
        DestinationKind::Conference => "Conference",
        DestinationKind::Schedule => "Schedule",
        DestinationKind::ExternalNumber => "OutboundRoute",
    }
}

/// Name of an object.
pub fn name_of<K: Resource>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}
