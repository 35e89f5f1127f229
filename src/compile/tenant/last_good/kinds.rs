//! How rows of each kind are restored.

use super::super::credentials::{admin_password, device_password, pin, sip_password};
use super::super::loops::OVERRIDE;
use super::super::rows::forbids_recording;
use super::{Destinations, Identifiers, Restorable};
use crate::compile::secrets::SecretError;
use crate::compile::tenant::compiler::TenantCompiler;
use crate::plan::*;
use crate::resources::common::Recording;
use crate::resources::*;

/// Applies the present state of a Secret: a new value replaces the previous one, a missing one withdraws
/// it. An invalid value is a mistake, and the previous value stays.
fn update_secret(secrets: &mut Secrets, name: SecretName, value: Result<String, SecretError>) {
    match value {
        Ok(value) => secrets.insert(name, value),
        Err(SecretError::Missing { .. }) => secrets.remove(name),
        Err(SecretError::Invalid(_)) => {}
    }
}

/// Restores a previous secret; false when there was none.
fn restore_secret(secrets: &mut Secrets, before: &Secrets, name: SecretName) -> bool {
    let Some(value) = before.get(name) else { return false };
    secrets.insert(name, value);
    true
}

/// Restores a previous link or file; false when there was none.
fn restore_part<T: Clone>(part: &mut Option<T>, before: &Option<T>) -> bool {
    if before.is_some() {
        part.clone_from(before);
    }
    before.is_some()
}

impl ForwardingRow {
    fn field(&mut self, field: &str) -> Option<&mut Option<Target>> {
        Some(match field {
            "always" => &mut self.always,
            "busy" => &mut self.busy,
            "noAnswer" => &mut self.no_answer,
            "unavailable" => &mut self.unavailable,
            _ => return None,
        })
    }
}

/// The links that are set, by field.
fn links<'a, const N: usize>(
    links: [(&'static str, &'a Option<Target>); N],
) -> Vec<(&'static str, &'a Target)> {
    links.into_iter().filter_map(|(field, target)| Some((field, target.as_ref()?))).collect()
}

/// Leaves those countries that the spec names now, too. An empty list has every country.
fn narrow_countries(countries: &mut Vec<String>, named: &[String]) {
    if named.is_empty() {
        return;
    }
    let both = countries.iter().filter(|code| named.contains(code)).cloned().collect::<Vec<_>>();
    *countries = if both.is_empty() { named.to_vec() } else { both };
}

impl Restorable for DeviceRow {
    type Of = Device;

    fn narrowed(&self, compiler: &TenantCompiler, object: &Device) -> Option<Self> {
        let spec = &object.spec;
        // Another Device may have its MAC address now.
        let me = crate::source::index::key_of(&compiler.snapshot.tenant);
        let is_holder = |(tenant, name): (&_, &str)| {
            Some(tenant) == me.as_ref() && Some(name) == object.metadata.name.as_deref()
        };
        if !compiler.claims.mac(&self.mac).is_none_or(is_holder) {
            return None;
        }
        let mut row = self.clone();
        row.disabled |= spec.disabled.unwrap_or(false);
        row.enroll_until = None;
        row.allow_http &= spec.provisioning.as_ref().and_then(|spec| spec.allow_http).unwrap_or(false);
        let extensions =
            |line: &DeviceLineRow| spec.lines.iter().any(|named| named.extension_ref.name == line.extension);
        row.lines.retain(extensions);
        let passwords = [SecretName::Password, SecretName::ProvisioningPassword];
        for name in passwords {
            update_secret(&mut row.secrets, name, device_password(compiler, object, name.as_str()));
        }
        match &spec.admin_password_secret_ref {
            Some(reference) => {
                let value = admin_password(compiler, reference);
                update_secret(&mut row.secrets, SecretName::AdminPassword, value);
            }
            None => row.secrets.remove(SecretName::AdminPassword),
        }
        Some(row)
    }

    fn remove_dangling(&mut self, destinations: &Destinations) -> bool {
        self.lines.retain(|line| destinations.extension(&line.extension));
        self.keys.retain(|key| key.extension.as_ref().is_none_or(|name| destinations.extension(name)));
        true
    }

    fn restore_field(&mut self, before: &Self, _: &Device, field: &str) -> bool {
        let names: &[SecretName] = match field {
            "spec.credentials.secretRef" => &[SecretName::Password, SecretName::ProvisioningPassword],
            "spec.adminPasswordSecretRef" => &[SecretName::AdminPassword],
            _ => return false,
        };
        let mut restored = false;
        for name in names {
            if self.secrets.get(*name).is_none() {
                restored |= restore_secret(&mut self.secrets, &before.secrets, *name);
            }
        }
        restored
    }
}

impl Restorable for ExtensionRow {
    type Of = Extension;

    fn narrowed(&self, compiler: &TenantCompiler, object: &Extension) -> Option<Self> {
        let spec = &object.spec;
        let mut row = self.clone();
        row.toll_classes.retain(|class| spec.toll_classes.contains(class));
        narrow_countries(&mut row.countries_abroad, &spec.countries_abroad);
        if spec.recording.unwrap_or_default() == Recording::Never || forbids_recording(compiler) {
            row.recording = Recording::Never;
        }
        update_secret(&mut row.secrets, SecretName::Password, sip_password(compiler, object));
        let voicemail = spec.voicemail.as_ref().filter(|voicemail| voicemail.enabled);
        if let Some(reference) = voicemail.and_then(|voicemail| voicemail.pin_secret_ref.as_ref())
            && let Some(box_row) = &mut row.voicemail
        {
            update_secret(&mut row.secrets, SecretName::Pin, pin(compiler, reference));
            box_row.asks_pin = true;
        }
        Some(row)
    }

    fn remove_dangling(&mut self, destinations: &Destinations) -> bool {
        let ForwardingRow { always, busy, no_answer, unavailable } = &mut self.forwarding;
        [always, busy, no_answer, unavailable].into_iter().for_each(|link| destinations.link(link));
        true
    }

    fn automatic_links(&self) -> Vec<(&'static str, &Target)> {
        let ForwardingRow { always, busy, no_answer, unavailable } = &self.forwarding;
        links([("always", always), ("busy", busy), ("noAnswer", no_answer), ("unavailable", unavailable)])
    }

    fn break_link(&mut self, field: &str) -> bool {
        self.forwarding.field(field).into_iter().for_each(|link| *link = None);
        true
    }

    fn restore_field(&mut self, before: &Self, _: &Extension, field: &str) -> bool {
        match field {
            "spec.credentials.secretRef" => {
                restore_secret(&mut self.secrets, &before.secrets, SecretName::Password)
            }
            "spec.voicemail.pinSecretRef" => {
                restore_secret(&mut self.secrets, &before.secrets, SecretName::Pin)
            }
            _ => {
                let Some(field) = field.strip_prefix("spec.forwarding.") else { return false };
                let mut before = before.forwarding.clone();
                match (self.forwarding.field(field), before.field(field)) {
                    (Some(link), Some(before)) => restore_part(link, before),
                    _ => false,
                }
            }
        }
    }
}

impl Restorable for RingGroupRow {
    type Of = RingGroup;

    fn remove_dangling(&mut self, destinations: &Destinations) -> bool {
        self.members.retain(|member| destinations.extension(&member.extension));
        destinations.link(&mut self.no_answer);
        !self.members.is_empty()
    }

    fn automatic_links(&self) -> Vec<(&'static str, &Target)> {
        links([("noAnswer", &self.no_answer)])
    }

    fn break_link(&mut self, _: &str) -> bool {
        self.no_answer = None;
        true
    }

    fn restore_field(&mut self, before: &Self, _: &RingGroup, field: &str) -> bool {
        field == "spec.noAnswer" && restore_part(&mut self.no_answer, &before.no_answer)
    }
}

impl Restorable for QueueRow {
    type Of = Queue;

    fn remove_dangling(&mut self, destinations: &Destinations) -> bool {
        self.agents.retain(|agent| destinations.extension(&agent.extension));
        destinations.media(&mut self.music_on_hold);
        destinations.link(&mut self.overflow);
        true
    }

    fn automatic_links(&self) -> Vec<(&'static str, &Target)> {
        links([("overflow", &self.overflow)])
    }

    fn break_link(&mut self, _: &str) -> bool {
        self.overflow = None;
        true
    }

    fn restore_field(&mut self, before: &Self, _: &Queue, field: &str) -> bool {
        match field {
            "spec.overflow" => restore_part(&mut self.overflow, &before.overflow),
            "spec.musicOnHold.mediaFileRef.name" => {
                restore_part(&mut self.music_on_hold, &before.music_on_hold)
            }
            _ => false,
        }
    }
}

impl IvrMenuRow {
    fn field(&mut self, field: &str) -> Option<&mut Option<Target>> {
        Some(match field {
            "otherwise" => &mut self.otherwise,
            "noInput" => &mut self.no_input,
            "invalidInput" => &mut self.invalid_input,
            _ => return None,
        })
    }
}

impl Restorable for IvrMenuRow {
    type Of = IvrMenu;

    fn remove_dangling(&mut self, destinations: &Destinations) -> bool {
        self.options.retain(|option| destinations.target(&option.target));
        destinations.media(&mut self.greeting);
        let Self { otherwise, no_input, invalid_input, .. } = self;
        [otherwise, no_input, invalid_input].into_iter().for_each(|link| destinations.link(link));
        true
    }

    fn automatic_links(&self) -> Vec<(&'static str, &Target)> {
        let Self { otherwise, no_input, invalid_input, .. } = self;
        links([("otherwise", otherwise), ("noInput", no_input), ("invalidInput", invalid_input)])
    }

    fn break_link(&mut self, field: &str) -> bool {
        self.field(field).into_iter().for_each(|link| *link = None);
        true
    }

    fn restore_field(&mut self, before: &Self, object: &IvrMenu, field: &str) -> bool {
        match field {
            "spec.otherwise" => restore_part(&mut self.otherwise, &before.otherwise),
            "spec.noInput" => restore_part(&mut self.no_input, &before.no_input),
            "spec.invalidInput" => restore_part(&mut self.invalid_input, &before.invalid_input),
            "spec.greeting.mediaFileRef.name" => restore_part(&mut self.greeting, &before.greeting),
            _ => {
                let index =
                    field.strip_prefix("spec.options[").and_then(|rest| rest.strip_suffix("].destination"));
                let option = index.and_then(|index| object.spec.options.get(index.parse::<usize>().ok()?));
                let held =
                    option.and_then(|option| before.options.iter().find(|o| o.digits == option.digits));
                let Some(held) = held else { return false };
                if !self.options.iter().any(|option| option.digits == held.digits) {
                    self.options.push(held.clone());
                }
                true
            }
        }
    }
}

impl Restorable for ConferenceRow {
    type Of = Conference;

    /// If the spec asks for a PIN, the room is restored only with a PIN.
    fn narrowed(&self, compiler: &TenantCompiler, object: &Conference) -> Option<Self> {
        let mut row = self.clone();
        if let Some(reference) = &object.spec.pin_secret_ref {
            update_secret(&mut row.secrets, SecretName::Pin, pin(compiler, reference));
            row.secrets.get(SecretName::Pin)?;
        }
        Some(row)
    }
}

impl Restorable for ScheduleRow {
    type Of = Schedule;

    fn remove_dangling(&mut self, destinations: &Destinations) -> bool {
        destinations.link(&mut self.holiday);
        self.overridden.iter_mut().for_each(|row| destinations.link(&mut row.target));
        destinations.target(&self.open) && destinations.target(&self.closed)
    }

    fn automatic_links(&self) -> Vec<(&'static str, &Target)> {
        let mut links = links([("holiday", &self.holiday)]);
        let overridden = self.overridden.as_ref().and_then(|row| row.target.as_ref());
        links.extend(overridden.map(|target| (OVERRIDE, target)));
        links.extend([("open", &self.open), ("closed", &self.closed)]);
        links
    }

    fn break_link(&mut self, field: &str) -> bool {
        match field {
            "holiday" => self.holiday = None,
            OVERRIDE => self.overridden.iter_mut().for_each(|row| row.target = None),
            _ => return false,
        }
        true
    }

    fn restore_field(&mut self, before: &Self, _: &Schedule, field: &str) -> bool {
        match field {
            "spec.holiday" => restore_part(&mut self.holiday, &before.holiday),
            "spec.override.destination" => match (&mut self.overridden, &before.overridden) {
                (Some(row), Some(before)) => restore_part(&mut row.target, &before.target),
                _ => false,
            },
            _ => false,
        }
    }
}

impl Restorable for NumberRow {
    type Of = Number;

    /// A number that the resource no longer claims is not restored: another tenant may hold it.
    fn narrowed(&self, compiler: &TenantCompiler, object: &Number) -> Option<Self> {
        let claims = (&self.number, &self.range) == (&object.spec.number, &object.spec.range);
        if !claims || !compiler.claims.holds(object) {
            return None;
        }
        let records =
            self.record_calls && object.spec.record_calls.unwrap_or(false) && !forbids_recording(compiler);
        Some(Self { record_calls: records, ..self.clone() })
    }

    fn is_free(&self, _: &Identifiers) -> bool {
        true // `Claims` assigns public numbers across all tenants
    }

    fn claim(&self, _: &mut Identifiers) {}

    fn remove_dangling(&mut self, destinations: &Destinations) -> bool {
        let trunk = destinations.compiler.trunk_of_row(&self.trunk);
        trunk.is_some_and(|trunk| !trunk.source_addresses.is_empty()) && destinations.target(&self.target)
    }

    fn automatic_links(&self) -> Vec<(&'static str, &Target)> {
        vec![("destination", &self.target)]
    }

    fn break_link(&mut self, _: &str) -> bool {
        false
    }
}

impl Restorable for OutboundRouteRow {
    type Of = OutboundRoute;

    /// The present toll class of the spec applies.
    fn narrowed(&self, _: &TenantCompiler, object: &OutboundRoute) -> Option<Self> {
        let toll_class = object.spec.toll_class.clone().or_else(|| self.toll_class.clone());
        Some(Self { toll_class, ..self.clone() })
    }

    fn is_free(&self, taken: &Identifiers) -> bool {
        taken.is_free_route(self)
    }

    fn claim(&self, taken: &mut Identifiers) {
        taken.routes.push((self.priority, self.matches.clone()));
    }

    fn remove_dangling(&mut self, destinations: &Destinations) -> bool {
        self.trunks.retain(|trunk| destinations.compiler.trunk_of_row(trunk).is_some());
        !self.trunks.is_empty()
    }
}

impl Restorable for FeatureCodeRow {
    type Of = FeatureCode;

    fn is_free(&self, taken: &Identifiers) -> bool {
        taken.is_free_code(&self.code, self.action.takes_digits())
    }

    fn claim(&self, taken: &mut Identifiers) {
        taken.codes.push((self.code.clone(), self.action.takes_digits()));
    }
}
