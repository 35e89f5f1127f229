//! A tenant's plan with indexes for answering calls.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::schedule;
use super::token::Caller;
use crate::numbers::{Country, DialledNumber};
use crate::plan::{DeviceRow, ExtensionRow, NumberRow, OutboundRouteRow, Row, Rows, Target, TenantPlan};
use crate::resources::Kind;
use crate::resources::common::DestinationKind;
use crate::source::ObjectKey;

/// A SIP user of a tenant: an extension's own, or a line of a Device.
#[derive(Clone, Copy, Debug)]
pub struct SipUser<'a> {
    /// Name of the extension, whose number, rights and caller id the user has.
    pub extension: &'a str,
    /// The extension.
    pub row: &'a ExtensionRow,
    /// The Device whose line it is, by name.
    pub device: Option<(&'a str, &'a DeviceRow)>,
}

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
    /// Names of Numbers that are blocks, by what their numbers begin with.
    blocks: HashMap<String, Vec<String>>,
    /// Public numbers that lead straight to an extension, by its name.
    direct: HashMap<String, String>,
    /// Names of outbound routes, by priority and then by name.
    routes: Vec<String>,
    /// The Device and the extension of each line's SIP user.
    lines: HashMap<String, (String, String)>,
    /// SIP users of lines by the name of their extension, each list in order.
    lines_of: HashMap<String, Vec<String>>,
    /// Names of Devices by provisioning user, and by MAC address as rows have it.
    devices: HashMap<String, String>,
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
        let mut by_e164 = HashMap::with_capacity(plan.numbers.len());
        let mut blocks = HashMap::<String, Vec<String>>::new();
        for (name, row) in &plan.numbers {
            match row.range {
                Some(_) => blocks.entry(row.number.clone()).or_default().push(name.clone()),
                None => drop(by_e164.insert(row.number.clone(), name.clone())),
            }
        }
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
        let direct = HashMap::new();
        let (lines, lines_of) = lines(&plan.devices);
        let keys = plan
            .devices
            .iter()
            .flat_map(|(name, row)| row.identifiers().map(|key| (key.to_owned(), name.clone())));
        let devices = keys.collect();
        let mut view = Self {
            plan,
            context,
            country,
            by_number,
            by_e164,
            blocks,
            direct,
            routes,
            lines,
            lines_of,
            devices,
            time_zones,
        };
        view.direct = direct_numbers(&view);
        view
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
        let row = |name: &String| self.plan.numbers.get_key_value(name);
        let in_block = || {
            let longest = if self.blocks.is_empty() { 0 } else { number.len() };
            let prefixes = (1..longest).rev().filter_map(|end| number.get(..end));
            let mut blocks = prefixes.filter_map(|prefix| self.blocks.get(prefix)).flatten();
            blocks.find_map(|name| row(name).filter(|(_, row)| row.holds(number)))
        };
        let found = self.by_e164.get(number).and_then(row).or_else(in_block);
        found.map(|(name, row)| (name.as_str(), row))
    }

    /// Where calls to a public number go by a row that holds it.
    pub fn number_target<'a>(&'a self, row: &'a NumberRow, number: &str) -> &'a Target {
        let internal = row.internal_number.as_ref().and_then(|internal| internal.of(number));
        internal.and_then(|internal| self.number(&internal)).unwrap_or(&row.target)
    }

    /// The public number that leads straight to an extension: that of a block that its internal number
    /// names, else that of the first Number by name.
    pub fn direct_number(&self, extension: &str) -> Option<&str> {
        self.direct.get(extension).map(String::as_str)
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

    /// The tenant's own public number that a dialled number means, with its Number.
    pub fn own_number(&self, dialled: &DialledNumber) -> Option<(String, &str, &NumberRow)> {
        if self.plan.numbers.is_empty() {
            return None;
        }
        dialled.readings().iter().find_map(|number| {
            let (name, row) = self.public_number(number.as_str())?;
            Some((number.as_str().to_owned(), name, row))
        })
    }

    /// The tenant's own public number that a destination names, in any spelling, with its Number.
    pub fn own(&self, number: &str) -> Option<(String, &str, &NumberRow)> {
        self.own_number(&DialledNumber::new(number, self.country)?)
    }

    /// A time zone that the plan names. Compile refuses unknown ones; UTC stands in for them.
    pub fn time_zone(&self, name: &str) -> TimeZone {
        self.time_zones.get(name).cloned().unwrap_or(TimeZone::UTC)
    }

    /// A Device by its provisioning user, or by its MAC address as rows have it; with its name.
    pub fn device(&self, key: &str) -> Option<(&str, &DeviceRow)> {
        let (name, row) = self.plan.devices.get_key_value(self.devices.get(key)?)?;
        Some((name, row))
    }

    /// A SIP user of the tenant.
    pub fn sip_user(&self, user: &str) -> Option<SipUser<'_>> {
        if let Some((extension, row)) = self.extension(user) {
            return Some(SipUser { extension, row, device: None });
        }
        let (device, extension) = self.lines.get(user)?;
        let (extension, row) = self.plan.extensions.get_key_value(extension)?;
        let (device, of) = self.plan.devices.get_key_value(device)?;
        Some(SipUser { extension, row, device: Some((device, of)) })
    }

    /// All SIP users: those of extensions, and those of lines of Devices.
    pub fn sip_users(&self) -> impl Iterator<Item = &str> {
        let own = self.plan.extensions.values().map(|row| row.number.as_str());
        own.chain(self.lines.keys().map(String::as_str))
    }

    /// The SIP users of an extension's Devices that are not disabled, in order.
    pub fn device_users(&self, extension: &str) -> impl Iterator<Item = &str> {
        let users = self.lines_of.get(extension).into_iter().flatten().map(String::as_str);
        users.filter(|user| {
            let device = self.lines.get(*user).and_then(|(device, _)| self.plan.devices.get(device));
            device.is_some_and(|device| !device.disabled)
        })
    }

    /// The a1-hash of a SIP user's credentials in a realm; `None` without a password, and for a Device that is
    /// disabled.
    pub fn a1_hash(&self, user: &str, realm: &str) -> Option<&str> {
        let found = self.sip_user(user)?;
        match found.device {
            None => found.row.secrets.a1_hash(user, realm),
            Some((_, device)) if device.disabled => None,
            Some((_, device)) => device.secrets.a1_hash(user, realm),
        }
    }
}

type Lines = (HashMap<String, (String, String)>, HashMap<String, Vec<String>>);

/// The Device and extension of each line's SIP user, and the SIP users of each extension.
fn lines(devices: &Rows<DeviceRow>) -> Lines {
    let (mut lines, mut lines_of) = (HashMap::new(), HashMap::<String, Vec<String>>::new());
    for (name, device) in devices {
        for line in &device.lines {
            lines.insert(line.user.clone(), (name.clone(), line.extension.clone()));
            lines_of.entry(line.extension.clone()).or_default().push(line.user.clone());
        }
    }
    lines_of.values_mut().for_each(|users| users.sort_unstable());
    (lines, lines_of)
}

fn index<T: Row>(by_number: &mut HashMap<String, Target>, kind: DestinationKind, rows: &Rows<T>) {
    for (name, row) in rows {
        if let Some(number) = row.number() {
            by_number.insert(number.to_owned(), Target { kind, name: name.clone() });
        }
    }
}

/// The public numbers that lead straight to extensions: for each, the number of a block that its own number names,
/// else that of a Number.
fn direct_numbers(view: &TenantView) -> HashMap<String, String> {
    let mut direct = HashMap::new();
    let (blocks, alone): (Vec<_>, Vec<_>) = view.plan.numbers.values().partition(|row| row.range.is_some());
    let alone = alone.into_iter().map(|row| row.number.clone());
    for number in blocks.into_iter().flat_map(|row| numbers_of_extensions(view, row)).chain(alone) {
        let Some((_, row)) = view.public_number(&number) else { continue };
        let target = view.number_target(row, &number);
        if target.kind == DestinationKind::Extension {
            direct.entry(target.name.clone()).or_insert(number);
        }
    }
    direct
}

/// The numbers of a block that name extensions: for each extension, the lowest.
fn numbers_of_extensions(view: &TenantView, row: &NumberRow) -> Vec<String> {
    let (Some(range), Some(internal)) = (&row.range, &row.internal_number) else { return Vec::new() };
    let width = range.first.len();
    let named = usize::try_from(internal.last_digits).unwrap_or(0);
    let number = |extension: &ExtensionRow| {
        let digits = extension.number.strip_prefix(internal.prepend.as_deref().unwrap_or(""))?;
        let digits = Some(digits).filter(|digits| digits.len() == named)?;
        match width.checked_sub(named) {
            // The extension's digits are those of the range, and perhaps some before it.
            None | Some(0) => {
                let (before, last) = digits.split_at_checked(named - width)?;
                row.number.ends_with(before).then(|| row.number.clone() + last)
            }
            // They are the last of the range's.
            Some(rest) => {
                let first: u32 = range.first.get(..rest)?.parse().ok()?;
                let heads = [first, first + 1].map(|head| format!("{}{head:0rest$}{digits}", row.number));
                heads.into_iter().find(|number| row.holds(number))
            }
        }
    };
    view.plan.extensions.values().filter_map(number).filter(|number| row.holds(number)).collect()
}
