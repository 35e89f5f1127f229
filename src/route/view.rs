//! A tenant's plan with indexes for answering calls.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::schedule;
use super::token::Caller;
use crate::numbers::{Country, DialledNumber};
use crate::plan::{ExtensionRow, NumberRow, OutboundRouteRow, Row, Rows, Target, TenantPlan};
use crate::resources::Kind;
use crate::resources::common::DestinationKind;
use crate::source::ObjectKey;

/// The indexed plan of a tenant.
#[derive(Debug)]
pub struct TenantView {
    /// The plan.
    pub plan: TenantPlan,
    context: String,
    country: Option<Country>,
    /// Targets by internal number.
    by_number: HashMap<String, Target>,
    /// Names of Numbers by E.164 number.
    by_e164: HashMap<String, String>,
    /// Names of outbound routes, by priority and then by name.
    routes: Vec<String>,
    /// Time zones of schedules, by name.
    time_zones: HashMap<String, TimeZone>,
}

impl TenantView {
    /// Indexes a plan.
    pub fn new(plan: TenantPlan) -> Self {
        let mut by_number = HashMap::with_capacity(plan.extensions.len());
        index(&mut by_number, DestinationKind::Extension, &plan.extensions);
        index(&mut by_number, DestinationKind::RingGroup, &plan.ring_groups);
        index(&mut by_number, DestinationKind::Queue, &plan.queues);
        index(&mut by_number, DestinationKind::IvrMenu, &plan.ivr_menus);
        index(&mut by_number, DestinationKind::Conference, &plan.conferences);
        let by_e164 = plan.numbers.iter().map(|(name, row)| (row.number.clone(), name.clone())).collect();
        let mut routes: Vec<String> = plan.outbound_routes.keys().cloned().collect();
        routes.sort_by_key(|name| plan.outbound_routes.get(name).map(|route| route.priority));
        let time_zones = plan
            .schedules
            .values()
            .map(|schedule| schedule.time_zone.as_str())
            .chain([plan.tenant.time_zone.as_str()])
            .filter_map(|name| Some((name.to_owned(), schedule::zone(name)?)))
            .collect();
        let context = plan.tenant.id.to_string();
        let country = plan.tenant.country.as_deref().and_then(Country::by_code);
        Self { plan, context, country, by_number, by_e164, routes, time_zones }
    }

    /// The dialplan context of the tenant's phones: the tenant's UUID.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The target of an internal number.
    pub fn number(&self, number: &str) -> Option<&Target> {
        self.by_number.get(number)
    }

    /// The internal numbers of the tenant.
    pub fn numbers(&self) -> impl Iterator<Item = &str> {
        self.by_number.keys().map(String::as_str)
    }

    /// The extension with an internal number, and its name.
    pub fn extension(&self, number: &str) -> Option<(&str, &ExtensionRow)> {
        let target = self.by_number.get(number).filter(|target| target.kind == DestinationKind::Extension)?;
        self.plan.extensions.get_key_value(&target.name).map(|(name, row)| (name.as_str(), row))
    }

    /// The row of a caller that is an existing extension.
    pub fn caller(&self, caller: &Caller) -> Option<&ExtensionRow> {
        match caller {
            Caller::Extension(name) => self.plan.extensions.get(name),
            Caller::Outside => None,
        }
    }

    /// A public number of the tenant, with the name of its Number.
    pub fn public_number(&self, number: &str) -> Option<(&str, &NumberRow)> {
        self.plan.numbers.get_key_value(self.by_e164.get(number)?).map(|(name, row)| (name.as_str(), row))
    }

    /// A public number of the tenant whose calls come in by this trunk, with the name of its Number.
    pub fn inbound_number(&self, trunk: &str, number: &str) -> Option<(&str, &NumberRow)> {
        self.public_number(number).filter(|(_, row)| row.trunk == trunk)
    }

    /// The key of a resource of the tenant.
    pub fn key(&self, kind: Kind, name: &str) -> ObjectKey {
        ObjectKey { kind, namespace: Some(self.plan.tenant.namespace.clone()), name: name.to_owned() }
    }

    /// The key of the Tenant.
    pub fn tenant_key(&self) -> ObjectKey {
        self.key(Kind::Tenant, &self.plan.tenant.name)
    }

    /// The key of a target's resource; the Tenant's for an external number.
    pub fn target_key(&self, target: &Target) -> ObjectKey {
        match target.kind {
            DestinationKind::ExternalNumber => self.tenant_key(),
            kind => self.key(kind.resource(), &target.name),
        }
    }

    /// Outbound routes by priority, and then by name.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &OutboundRouteRow)> {
        self.routes.iter().filter_map(|name| Some((name.as_str(), self.plan.outbound_routes.get(name)?)))
    }

    /// The tenant's country, if it names one.
    pub fn country(&self) -> Option<Country> {
        self.country
    }

    /// The tenant's own public number that a dialled number means.
    pub fn own_number(&self, dialled: &DialledNumber) -> Option<(&str, &NumberRow)> {
        if self.by_e164.is_empty() {
            return None;
        }
        dialled.readings().iter().find_map(|number| self.public_number(number.as_str()))
    }

    /// A time zone that the plan names. Compile refuses unknown ones; UTC stands in for them.
    pub fn time_zone(&self, name: &str) -> TimeZone {
        self.time_zones.get(name).cloned().unwrap_or(TimeZone::UTC)
    }

    /// The a1-hash of an extension's credentials in a realm; `None` without a password.
    pub fn a1_hash(&self, number: &str, realm: &str) -> Option<&str> {
        self.extension(number)?.1.secrets.a1_hash(realm)
    }
}

fn index<T: Row>(by_number: &mut HashMap<String, Target>, kind: DestinationKind, rows: &Rows<T>) {
    for (name, row) in rows {
        if let Some(number) = row.number() {
            by_number.insert(number.to_owned(), Target { kind, name: name.clone() });
        }
    }
}
