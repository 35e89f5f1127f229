//! The state of one tenant's compile: its resources, which of them are refused, and why.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use kube::Resource;

use super::{devices, emergency};
use crate::compile::platform::trunk_name;
use crate::compile::problem::{About, RefError};
use crate::compile::{Claims, Effect, Problem, Reason};
use crate::numbers::{Country, DialledNumber};
use crate::plan::{
    DialActionRow, ExtensionRow, InForce, MediaPath, PlatformPlan, Rows, Target, TenantPlan, TrunkRow,
};
use crate::resources::Kind;
use crate::resources::common::{Destination, DestinationKind, DigitMatch, MediaSource, NamespacedRef};
use crate::resources::dial_rule::Phase;
use crate::resources::media_file::MediaUsage;
use crate::resources::trunk::FromNamespaces;
use crate::resources::{Extension, Number, TenantProfile, Trunk};
use crate::route::rules;
use crate::route::rules::RuleMatch;
use crate::route::{Tracer, digits};
use crate::source::index::key_of;
use crate::source::object::created;
use crate::source::{ObjectKey, PlatformSnapshot, TenantKey, TenantSnapshot};

/// Kind and name of a resource of the tenant.
pub type ResourceId = (Kind, String);

/// A resource with its creation time: of competing claims the oldest wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByAge {
    pub created: Timestamp,
    pub id: ResourceId,
}

/// One compile of a tenant: the inputs, and the problems and decisions so far.
pub struct TenantCompiler<'a> {
    pub snapshot: &'a TenantSnapshot,
    pub platform_snapshot: &'a PlatformSnapshot,
    pub platform: &'a PlatformPlan,
    pub claims: &'a Claims,
    pub profile: Option<&'a TenantProfile>,
    pub namespace: String,
    pub problems: Vec<Problem>,
    /// The rows that are in force, if they are known.
    pub before: Option<&'a InForce<TenantPlan>>,
    /// Resources whose previous row stays in force if they are refused; other resources may still refer to
    /// them.
    pub restored: &'a BTreeSet<ResourceId>,
    /// Links that are left out because they close a loop: resource and field.
    pub broken_links: BTreeSet<(ResourceId, &'static str)>,
    /// The holder of each internal number.
    pub internal_numbers: HashMap<&'a str, (Kind, &'a str)>,
    extensions: HashMap<&'a str, &'a Extension>,
    numbers: HashMap<&'a str, &'a Number>,
    /// The Devices that name each extension, refused ones too.
    pub devices_of: BTreeMap<&'a str, Vec<&'a str>>,
    /// Creation times of all resources, by kind and name.
    ages: HashMap<Kind, HashMap<&'a str, Timestamp>>,
    /// Excluded resources, each with the effect of its problem: refused or waiting.
    refused: HashMap<Kind, HashMap<String, Effect>>,
}

impl<'a> TenantCompiler<'a> {
    pub fn new(
        snapshot: &'a TenantSnapshot,
        platform_snapshot: &'a PlatformSnapshot,
        platform: &'a PlatformPlan,
        claims: &'a Claims,
        (before, restored): (Option<&'a InForce<TenantPlan>>, &'a BTreeSet<ResourceId>),
    ) -> Self {
        // Destructured without `..`, so that a new list in the snapshot must be handled here.
        let TenantSnapshot {
            tenant: _,
            extensions,
            devices,
            numbers,
            outbound_routes,
            ring_groups,
            queues,
            ivr_menus,
            conferences,
            schedules,
            media_files,
            feature_codes,
            routing_tests,
            secrets: _,
            config_maps: _,
        } = snapshot;
        let ages = HashMap::from([
            (Kind::Extension, ages(extensions)),
            (Kind::Device, ages(devices)),
            (Kind::Number, ages(numbers)),
            (Kind::OutboundRoute, ages(outbound_routes)),
            (Kind::RingGroup, ages(ring_groups)),
            (Kind::Queue, ages(queues)),
            (Kind::IvrMenu, ages(ivr_menus)),
            (Kind::Conference, ages(conferences)),
            (Kind::Schedule, ages(schedules)),
            (Kind::MediaFile, ages(media_files)),
            (Kind::FeatureCode, ages(feature_codes)),
            (Kind::RoutingTest, ages(routing_tests)),
        ]);
        Self {
            snapshot,
            platform_snapshot,
            platform,
            claims,
            profile: None,
            namespace: snapshot.tenant.metadata.namespace.clone().unwrap_or_default(),
            problems: Vec::new(),
            before,
            restored,
            broken_links: BTreeSet::new(),
            internal_numbers: HashMap::new(),
            extensions: snapshot.extensions.iter().map(|e| (name_of(&**e), &**e)).collect(),
            numbers: snapshot.numbers.iter().map(|number| (name_of(&**number), &**number)).collect(),
            devices_of: devices::by_extension(devices.iter().map(|device| &**device)),
            ages,
            refused: HashMap::new(),
        }
    }

    /// The key of a resource of the tenant.
    pub fn key(&self, kind: Kind, name: &str) -> ObjectKey {
        ObjectKey { kind, namespace: Some(self.namespace.clone()), name: name.to_owned() }
    }

    /// The key of the tenant itself.
    pub fn tenant_key(&self) -> ObjectKey {
        self.key(Kind::Tenant, name_of(&*self.snapshot.tenant))
    }

    /// When a resource was created; `None` when it does not exist.
    fn created(&self, kind: Kind, name: &str) -> Option<Timestamp> {
        self.ages.get(&kind)?.get(name).copied()
    }

    /// A resource with its creation time; a missing resource counts as the youngest.
    pub fn aged(&self, kind: Kind, name: &str) -> ByAge {
        ByAge { created: self.created(kind, name).unwrap_or(Timestamp::MAX), id: (kind, name.to_owned()) }
    }

    /// How messages for this tenant name another tenant: by name only within the same namespace.
    pub fn tenant_as_seen(&self, other: &TenantKey) -> String {
        if other.namespace == self.namespace {
            format!("tenant {other}")
        } else {
            "another tenant".to_owned()
        }
    }

    /// Records that every resource of the tenant waits, because the tenant itself is refused.
    pub fn mark_all_waiting(&mut self) {
        let tenant = name_of(&*self.snapshot.tenant);
        let message = format!("Tenant {tenant} is refused itself");
        let problems = self.ids().map(|(kind, name)| {
            let key = self.key(kind, name);
            Problem::waiting(key, "spec.tenantRef.name", Reason::RefRefused, &message)
                .about(self.tenant_key())
        });
        let problems: Vec<Problem> = problems.collect();
        self.problems.extend(problems);
    }

    /// Kind and name of every resource of the tenant.
    pub fn ids(&self) -> impl Iterator<Item = (Kind, &'a str)> {
        self.ages.iter().flat_map(|(kind, names)| names.keys().map(move |name| (*kind, *name)))
    }

    /// Whether a resource exists and was not refused.
    pub fn is_accepted(&self, kind: Kind, name: &str) -> bool {
        self.refusal(kind, name).is_none() && self.created(kind, name).is_some()
    }

    /// Whether a resource is refused and keeps its previous row.
    pub fn keeps_previous_row(&self, kind: Kind, name: &str) -> bool {
        !self.restored.is_empty()
            && self.refusal(kind, name).is_some()
            && self.restored.contains(&(kind, name.to_owned()))
    }

    /// The previous row of a refused resource that keeps it.
    fn previous_row<T>(
        &self,
        kind: Kind,
        name: &str,
        rows: impl Fn(&'a TenantPlan) -> &'a Rows<T>,
    ) -> Option<&'a T> {
        let before = self.before.filter(|_| self.keeps_previous_row(kind, name))?;
        rows(&before.plan).get(name)
    }

    /// An extension of the tenant, as its resource is now.
    pub fn extension(&self, name: &str) -> Option<&'a Extension> {
        self.extensions.get(name).copied()
    }

    /// The previous row of a refused extension that keeps it.
    pub fn previous_extension(&self, name: &str) -> Option<&'a ExtensionRow> {
        self.previous_row(Kind::Extension, name, |plan| &plan.extensions)
    }

    /// The effect with which a resource is excluded: refused or waiting; `None` when it is not.
    pub fn refusal(&self, kind: Kind, name: &str) -> Option<Effect> {
        self.refused.get(&kind)?.get(name).copied()
    }

    /// Whether a link of a resource is left out because it closes a loop.
    pub fn is_broken_link(&self, kind: Kind, name: &str, field: &'static str) -> bool {
        !self.broken_links.is_empty() && self.broken_links.contains(&((kind, name.to_owned()), field))
    }

    /// Refuses a resource, or marks it as waiting when the error is a missing Secret.
    pub fn refuse(&mut self, id: ResourceId, field: impl Into<String>, why: impl Into<RefError>) {
        let RefError { reason, message, about } = why.into();
        let problem = Problem::refused(self.key(id.0, &id.1), field, reason, message);
        self.exclude(id, or_waiting(Problem { about, ..problem }));
    }

    /// Refuses a resource that claims what another one holds.
    pub fn conflict(
        &mut self,
        id: ResourceId,
        field: impl Into<String>,
        holder: ObjectKey,
        message: impl Into<String>,
    ) {
        let problem = Problem::refused(self.key(id.0, &id.1), field, Reason::Conflict, message);
        self.exclude(id, problem.held_by(holder));
    }

    /// Excludes a resource from the plan, refused or waiting as the problem's effect says. Only the first
    /// problem of a resource counts.
    pub fn exclude(&mut self, id: ResourceId, problem: Problem) {
        if self.refusal(id.0, &id.1).is_none() {
            self.refused.entry(id.0).or_default().insert(id.1, problem.effect);
            self.problems.push(problem);
        }
    }

    /// Records that a part of a resource is left out.
    pub fn degrade(&mut self, kind: Kind, name: &str, field: impl Into<String>, why: impl Into<RefError>) {
        let RefError { reason, message, about } = why.into();
        let problem = Problem::degraded(self.key(kind, name), field, reason, message);
        self.problems.push(or_waiting(Problem { about, ..problem }));
    }

    /// Checks that a resource of the tenant exists, accepted or not.
    pub fn exists(&self, kind: Kind, name: &str) -> Result<(), RefError> {
        if self.created(kind, name).is_some() {
            return Ok(());
        }
        let tenant = name_of(&*self.snapshot.tenant);
        let message = format!("tenant {tenant} has no {kind} {name}");
        Err(RefError::of_object(Reason::RefNotFound, self.key(kind, name), message))
    }

    /// Checks that a resource of the tenant exists, and is accepted or keeps its previous row.
    pub fn resolve(&self, kind: Kind, name: &str) -> Result<(), RefError> {
        self.exists(kind, name)?;
        let error = |reason, message| Err(RefError::of_object(reason, self.key(kind, name), message));
        match self.refusal(kind, name) {
            None => Ok(()),
            Some(_) if self.keeps_previous_row(kind, name) => Ok(()),
            Some(Effect::Waiting) => {
                error(Reason::CredentialsPending, format!("{kind} {name} is waiting for a Secret"))
            }
            Some(_) => error(Reason::RefRefused, format!("{kind} {name} is refused itself")),
        }
    }

    /// Resolves a destination to a target of the plan.
    pub fn target(&self, destination: &Destination) -> Result<Target, RefError> {
        let kind = destination.kind;
        if kind == DestinationKind::ExternalNumber {
            let number = destination.number.clone().unwrap_or_default();
            self.reachable(&number)?;
            return Ok(Target { kind, name: number });
        }
        let name = destination.name.clone().unwrap_or_default();
        self.resolve(kind.resource(), &name)?;
        if kind == DestinationKind::Voicemail && !self.has_voicemail(&name) {
            let message = format!("Extension {name} has no voicemail box; set its spec.voicemail.enabled");
            return Err((Reason::InvalidValue, message).into());
        }
        Ok(Target { kind, name })
    }

    /// The accepted resource that holds an internal number.
    pub fn internal_holder(&self, number: &str) -> Option<(Kind, &'a str)> {
        let holder = self.internal_numbers.get(number).copied();
        holder.filter(|(kind, name)| self.refusal(*kind, name).is_none())
    }

    /// The tenant's own public number that a number means in any spelling, and the Number that holds it.
    pub fn own_number(&self, number: &str) -> Option<(String, &'a str)> {
        let me = key_of(&self.snapshot.tenant)?;
        DialledNumber::new(number, self.country())?.readings().iter().find_map(|reading| {
            let (holder, name) = self.claims.number(reading.as_str())?;
            let own = *holder == me && self.resolve(Kind::Number, name).is_ok();
            own.then(|| (reading.as_str().to_owned(), name))
        })
    }

    /// The resource that calls go on to at a destination; for the tenant's own public number, its Number,
    /// or the holder of the internal number that the public one names. `None` where the call ends: at a
    /// voicemail box, or outside.
    pub fn link(&self, to: &Destination) -> Option<ResourceId> {
        match to.kind {
            DestinationKind::Voicemail => None,
            DestinationKind::ExternalNumber => {
                let number = to.number.as_deref()?;
                let (number, own) = self.own_number(number)?;
                let internal = self.numbers.get(own)?.spec.internal_number.as_ref();
                let internal = internal.and_then(|internal| self.internal_holder(&internal.of(&number)?));
                let (kind, name) = internal.unwrap_or((Kind::Number, own));
                Some((kind, name.to_owned()))
            }
            kind => Some((kind.resource(), to.name.clone().unwrap_or_default())),
        }
    }

    /// The first `Before` rule of the platform that matches a number, if it names the number by a prefix. A
    /// rule without a prefix is a catch-all on purpose, and is no conflict.
    pub fn named_by_platform(&self, number: &str) -> Option<RuleMatch<'a>> {
        let dialled = DialledNumber::new(number, self.country())?;
        let found = rules::first_match(self.platform, Phase::Before, &dialled, Tracer::OFF)?;
        let names = |matches: &DigitMatch| {
            let is_catch_all = matches.prefix.is_none() && matches.number_types.is_empty();
            !is_catch_all && digits::edit(matches, &dialled).is_ok()
        };
        found.rule.matches.iter().any(names).then_some(found)
    }

    /// The tenant's country, if it names one that is known.
    pub fn country(&self) -> Option<Country> {
        self.snapshot.tenant.spec.country.as_deref().and_then(Country::by_code)
    }

    /// Checks that calls reach a public number by accepted resources.
    fn reachable(&self, number: &str) -> Result<(), RefError> {
        self.reaches(number, self.own_number(number).is_some(), || self.routed(number))
    }

    /// Checks that calls reach a public number, in the order in which `route` decides: the tenant's own
    /// number, the platform's rules, the tenant's routes (`routed`).
    pub fn reaches(
        &self,
        number: &str,
        is_own: bool,
        routed: impl FnOnce() -> Result<(), RefError>,
    ) -> Result<(), RefError> {
        if is_own {
            return Ok(());
        }
        if let Some(emergency) = emergency::within_country(self, number) {
            let message =
                format!("{number} leads to the emergency number {emergency}; only who dials it is connected");
            return Err((Reason::NotAllowed, message).into());
        }
        let blocked = |rule: &str| {
            let message = format!("DialRule {rule} of the platform blocks calls to {number}");
            Err(RefError::from((Reason::NotAllowed, message)))
        };
        let Some(dialled) = DialledNumber::new(number, self.country()) else { return routed() };
        let by_rule = |phase| {
            let found = rules::first_match(self.platform, phase, &dialled, Tracer::OFF)?;
            let stops = match found.rule.action {
                DialActionRow::Block => Some(found.name),
                DialActionRow::Route { .. } => {
                    rules::blocking(self.platform, &dialled, Some(found.name), Tracer::OFF)
                }
            };
            Some(stops.map_or(Ok(()), blocked))
        };
        if let Some(decided) = by_rule(Phase::Before) {
            return decided;
        }
        if let Some(rule) = rules::blocking(self.platform, &dialled, None, Tracer::OFF) {
            return blocked(rule);
        }
        routed().or_else(|why| by_rule(Phase::After).unwrap_or(Err(why)))
    }

    /// Checks that an accepted route of the tenant leads to a public number.
    fn routed(&self, number: &str) -> Result<(), RefError> {
        let mut refused_route = None;
        for route in &self.snapshot.outbound_routes {
            let name = name_of(&**route);
            let kept = self.previous_row(Kind::OutboundRoute, name, |plan| &plan.outbound_routes);
            let matches = kept.map_or(&route.spec.matches, |row| &row.matches);
            if matches.iter().any(|matches| digits::reaches(matches, number)) {
                match self.resolve(Kind::OutboundRoute, name) {
                    Ok(()) => return Ok(()),
                    Err(why) => refused_route = Some(why),
                }
            }
        }
        Err(refused_route.unwrap_or_else(|| {
            let tenant = name_of(&*self.snapshot.tenant);
            let message = format!("no OutboundRoute of tenant {tenant} leads to {number}");
            let about = Some(About::AnyOf(Kind::OutboundRoute));
            RefError { reason: Reason::RefNotFound, message, about }
        }))
    }

    fn has_voicemail(&self, extension: &str) -> bool {
        if let Some(row) = self.previous_row(Kind::Extension, extension, |plan| &plan.extensions) {
            return row.voicemail.is_some();
        }
        let extension = self.extensions.get(extension);
        extension.and_then(|e| e.spec.voicemail.as_ref()).is_some_and(|voicemail| voicemail.enabled)
    }

    /// Whether a trunk's owner allows the tenant's namespace.
    pub fn permits(&self, trunk: &Trunk) -> bool {
        let allowed = trunk.spec.allowed_namespaces.as_ref();
        trunk.metadata.namespace.as_deref() == Some(&self.namespace)
            || allowed.is_some_and(|allowed| match allowed.from {
                FromNamespaces::Same => false,
                FromNamespaces::All => true,
                FromNamespaces::Selector => {
                    let labels = self.platform_snapshot.namespaces.get(&self.namespace);
                    allowed.selector.as_ref().is_some_and(|selector| {
                        selector.match_labels.iter().all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v))
                    })
                }
            })
    }

    /// Resolves a reference to a trunk whose owner allows the tenant's namespace.
    pub fn trunk(&self, reference: &NamespacedRef) -> Result<(String, &'a TrunkRow), RefError> {
        let namespace = reference.namespace.as_deref().unwrap_or(&self.namespace);
        let name = trunk_name(namespace, &reference.name);
        let key = ObjectKey {
            kind: Kind::Trunk,
            namespace: Some(namespace.to_owned()),
            name: reference.name.clone(),
        };
        let trunk = self.platform_snapshot.trunks.iter().find(|trunk| {
            trunk.metadata.namespace.as_deref() == Some(namespace) && name_of(&***trunk) == reference.name
        });
        let Some(trunk) = trunk else {
            let message = format!("there is no Trunk {} in namespace {namespace}", reference.name);
            return Err(RefError::of_object(Reason::RefNotFound, key, message));
        };
        if !self.permits(trunk) {
            let message = format!(
                "Trunk {name} does not allow namespace {}; see its spec.allowedNamespaces",
                self.namespace
            );
            return Err(RefError::of_object(Reason::RefNotPermitted, key, message));
        }
        match self.platform.trunks.get(&name) {
            Some(row) => Ok((name, row)),
            None => {
                let message = format!("Trunk {name} is refused itself");
                Err(RefError::of_object(Reason::RefRefused, key, message))
            }
        }
    }

    /// The trunk with this `namespace/name`, if it exists and its owner allows the tenant's namespace.
    pub fn trunk_of_row(&self, name: &str) -> Option<&'a TrunkRow> {
        let (namespace, name) = name.split_once('/')?;
        let reference = NamespacedRef { name: name.to_owned(), namespace: Some(namespace.to_owned()) };
        self.trunk(&reference).ok().map(|(_, row)| row)
    }

    /// Resolves a media file of a usage to its path below the tenant's media directory.
    pub fn media(&self, source: &MediaSource, usage: MediaUsage) -> Result<MediaPath, RefError> {
        let name = &source.media_file_ref.name;
        self.resolve(Kind::MediaFile, name)?;
        let file = self.snapshot.media_files.iter().find(|file| name_of(&***file) == name);
        let meant = file.and_then(|file| file.spec.usage).unwrap_or_default();
        if meant != usage {
            let message = format!("MediaFile {name} is of usage {meant:?}; name one of usage {usage:?}");
            return Err((Reason::InvalidValue, message).into());
        }
        let directory = match usage {
            MediaUsage::Prompt => "prompts",
            MediaUsage::MusicOnHold => "music_on_hold",
        };
        Ok(MediaPath(format!("{directory}/{name}.wav")))
    }
}

/// A problem caused by a missing Secret is Waiting, not Degraded.
fn or_waiting(problem: Problem) -> Problem {
    match problem.reason {
        Reason::CredentialsPending => Problem { effect: Effect::Waiting, ..problem },
        _ => problem,
    }
}

/// Name of an object.
pub fn name_of<K: Resource>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

/// Creation times of the objects of one kind, by name.
fn ages<K: Resource<DynamicType = ()>>(objects: &[Arc<K>]) -> HashMap<&str, Timestamp> {
    objects.iter().map(|object| (name_of(&**object), created(object.meta()))).collect()
}
