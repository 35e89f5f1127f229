//! How rows of each kind go back.

use super::super::credentials::{pin, sip_password};
use super::super::rows::forbids_recording;
use super::{Destinations, Identifiers, Restorable};
use crate::compile::secrets::SecretError;
use crate::compile::tenant::compiler::TenantCompiler;
use crate::plan::*;
use crate::resources::common::Recording;
use crate::resources::*;
use crate::source::index::key_of;

/// Takes over what a Secret says now: a new value, or that it was withdrawn. One that cannot be used is a
/// mistake, and the value from before stays.
fn renew(secrets: &mut Secrets, name: SecretName, value: Result<String, SecretError>) {
    match value {
        Ok(value) => secrets.insert(name, value),
        Err(SecretError::Missing { .. }) => secrets.remove(name),
        Err(SecretError::Invalid(_)) => {}
    }
}

/// Takes a secret over from before; false when there was none.
fn restore(secrets: &mut Secrets, before: &Secrets, name: SecretName) -> bool {
    let Some(value) = before.get(name) else { return false };
    secrets.insert(name, value);
    true
}

/// Takes a link or a file over from before; false when there was none.
fn take_over<T: Clone>(part: &mut Option<T>, before: &Option<T>) -> bool {
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

/// Links that are there, by their fields.
fn links<'a, const N: usize>(
    links: [(&'static str, &'a Option<Target>); N],
) -> Vec<(&'static str, &'a Target)> {
    links.into_iter().filter_map(|(field, target)| Some((field, target.as_ref()?))).collect()
}

impl Restorable for ExtensionRow {
    type Of = Extension;

    fn narrowed(&self, draft: &TenantCompiler, object: &Extension) -> Option<Self> {
        let spec = &object.spec;
        let mut row = self.clone();
        row.toll_classes.retain(|class| spec.toll_classes.contains(class));
        if spec.recording.unwrap_or_default() == Recording::Never || forbids_recording(draft) {
            row.recording = Recording::Never;
        }
        renew(&mut row.secrets, SecretName::Password, sip_password(draft, object));
        let voicemail = spec.voicemail.as_ref().filter(|voicemail| voicemail.enabled);
        if let Some(reference) = voicemail.and_then(|voicemail| voicemail.pin_secret_ref.as_ref())
            && let Some(box_row) = &mut row.voicemail
        {
            renew(&mut row.secrets, SecretName::Pin, pin(draft, reference));
            box_row.asks_pin = true;
        }
        Some(row)
    }

    fn stands(&mut self, destinations: &Destinations) -> bool {
        let ForwardingRow { always, busy, no_answer, unavailable } = &mut self.forwarding;
        [always, busy, no_answer, unavailable].into_iter().for_each(|link| destinations.link(link));
        true
    }

    fn follows(&self) -> Vec<(&'static str, &Target)> {
        let ForwardingRow { always, busy, no_answer, unavailable } = &self.forwarding;
        links([("always", always), ("busy", busy), ("noAnswer", no_answer), ("unavailable", unavailable)])
    }

    fn cut(&mut self, field: &str) -> bool {
        self.forwarding.field(field).into_iter().for_each(|link| *link = None);
        true
    }

    fn restore(&mut self, before: &Self, _: &Extension, field: &str) -> bool {
        match field {
            "spec.credentials.secretRef" => restore(&mut self.secrets, &before.secrets, SecretName::Password),
            "spec.voicemail.pinSecretRef" => restore(&mut self.secrets, &before.secrets, SecretName::Pin),
            _ => {
                let Some(field) = field.strip_prefix("spec.forwarding.") else { return false };
                let mut before = before.forwarding.clone();
                match (self.forwarding.field(field), before.field(field)) {
                    (Some(link), Some(before)) => take_over(link, before),
                    _ => false,
                }
            }
        }
    }
}

impl Restorable for RingGroupRow {
    type Of = RingGroup;

    fn stands(&mut self, destinations: &Destinations) -> bool {
        self.members.retain(|member| destinations.extension(&member.extension));
        destinations.link(&mut self.no_answer);
        !self.members.is_empty()
    }

    fn follows(&self) -> Vec<(&'static str, &Target)> {
        links([("noAnswer", &self.no_answer)])
    }

    fn cut(&mut self, _: &str) -> bool {
        self.no_answer = None;
        true
    }

    fn restore(&mut self, before: &Self, _: &RingGroup, field: &str) -> bool {
        field == "spec.noAnswer" && take_over(&mut self.no_answer, &before.no_answer)
    }
}

impl Restorable for QueueRow {
    type Of = Queue;

    fn stands(&mut self, destinations: &Destinations) -> bool {
        self.agents.retain(|agent| destinations.extension(&agent.extension));
        destinations.media(&mut self.music_on_hold);
        destinations.link(&mut self.overflow);
        true
    }

    fn follows(&self) -> Vec<(&'static str, &Target)> {
        links([("overflow", &self.overflow)])
    }

    fn cut(&mut self, _: &str) -> bool {
        self.overflow = None;
        true
    }

    fn restore(&mut self, before: &Self, _: &Queue, field: &str) -> bool {
        match field {
            "spec.overflow" => take_over(&mut self.overflow, &before.overflow),
            "spec.musicOnHold.mediaFileRef.name" => take_over(&mut self.music_on_hold, &before.music_on_hold),
            _ => false,
        }
    }
}

impl Restorable for IvrMenuRow {
    type Of = IvrMenu;

    fn stands(&mut self, destinations: &Destinations) -> bool {
        self.options.retain(|option| destinations.target(&option.target));
        destinations.media(&mut self.greeting);
        destinations.link(&mut self.otherwise);
        true
    }

    fn follows(&self) -> Vec<(&'static str, &Target)> {
        links([("otherwise", &self.otherwise)])
    }

    fn cut(&mut self, _: &str) -> bool {
        self.otherwise = None;
        true
    }

    fn restore(&mut self, before: &Self, object: &IvrMenu, field: &str) -> bool {
        match field {
            "spec.otherwise" => take_over(&mut self.otherwise, &before.otherwise),
            "spec.greeting.mediaFileRef.name" => take_over(&mut self.greeting, &before.greeting),
            _ => {
                let index = field.strip_prefix("spec.options[").and_then(|rest| rest.split(']').next());
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

    /// Who says that a PIN is asked gets a room that asks one, or none.
    fn narrowed(&self, draft: &TenantCompiler, object: &Conference) -> Option<Self> {
        let mut row = self.clone();
        if let Some(reference) = &object.spec.pin_secret_ref {
            renew(&mut row.secrets, SecretName::Pin, pin(draft, reference));
            row.secrets.get(SecretName::Pin)?;
        }
        Some(row)
    }
}

impl Restorable for ScheduleRow {
    type Of = Schedule;

    fn stands(&mut self, destinations: &Destinations) -> bool {
        destinations.link(&mut self.holiday);
        destinations.target(&self.open) && destinations.target(&self.closed)
    }

    fn follows(&self) -> Vec<(&'static str, &Target)> {
        let mut links = links([("holiday", &self.holiday)]);
        links.extend([("open", &self.open), ("closed", &self.closed)]);
        links
    }

    fn cut(&mut self, field: &str) -> bool {
        self.holiday = self.holiday.take().filter(|_| field != "holiday");
        field == "holiday"
    }

    fn restore(&mut self, before: &Self, _: &Schedule, field: &str) -> bool {
        field == "spec.holiday" && take_over(&mut self.holiday, &before.holiday)
    }
}

impl Restorable for NumberRow {
    type Of = Number;

    /// A number that its resource gave up may be anybody's by now.
    fn narrowed(&self, draft: &TenantCompiler, object: &Number) -> Option<Self> {
        let holder = draft.claims.number(&self.number)?;
        let me = (key_of(&draft.snapshot.tenant)?, object.metadata.name.as_deref()?);
        if self.number != object.spec.number || (holder.0, holder.1) != (&me.0, me.1) {
            return None;
        }
        let records =
            self.record_calls && object.spec.record_calls.unwrap_or(false) && !forbids_recording(draft);
        Some(Self { record_calls: records, ..self.clone() })
    }

    fn is_free(&self, _: &Identifiers) -> bool {
        true // who holds a public number is settled between all tenants
    }

    fn take(&self, _: &mut Identifiers) {}

    fn stands(&mut self, destinations: &Destinations) -> bool {
        let trunk = destinations.draft.trunk_of_row(&self.trunk);
        trunk.is_some_and(|trunk| !trunk.source_addresses.is_empty()) && destinations.target(&self.target)
    }

    fn follows(&self) -> Vec<(&'static str, &Target)> {
        vec![("destination", &self.target)]
    }

    fn cut(&mut self, _: &str) -> bool {
        false
    }
}

impl Restorable for OutboundRouteRow {
    type Of = OutboundRoute;

    /// Who may use it is said by its resource as it is now.
    fn narrowed(&self, _: &TenantCompiler, object: &OutboundRoute) -> Option<Self> {
        let toll_class = object.spec.toll_class.clone().or_else(|| self.toll_class.clone());
        Some(Self { toll_class, ..self.clone() })
    }

    fn is_free(&self, taken: &Identifiers) -> bool {
        taken.is_free_route(self)
    }

    fn take(&self, taken: &mut Identifiers) {
        taken.routes.push((self.priority, self.matches.clone()));
    }

    fn stands(&mut self, destinations: &Destinations) -> bool {
        self.trunks.retain(|trunk| destinations.draft.trunk_of_row(trunk).is_some());
        !self.trunks.is_empty()
    }
}

impl Restorable for FeatureCodeRow {
    type Of = FeatureCode;

    fn is_free(&self, taken: &Identifiers) -> bool {
        taken.is_free_code(&self.code, self.action.takes_digits())
    }

    fn take(&self, taken: &mut Identifiers) {
        taken.codes.push((self.code.clone(), self.action.takes_digits()));
    }
}
