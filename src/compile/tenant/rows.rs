//! What stands, as rows.

use super::compiler::{TenantCompiler, name_of};
use super::credentials::{pin, sip_password};
use super::{loops, schedule};
use crate::compile::secrets::SecretError;
use crate::compile::{Problem, Reason};
use crate::plan::*;
use crate::resources::Kind;
use crate::resources::common::{Destination, LocalRef, MediaSource, Recording};
use crate::resources::media_file::MediaUsage;
use crate::resources::ring_group::RingStrategy;
use crate::resources::*;

/// Keeps conferences out whose PIN is not there: without it anybody could enter.
pub fn withhold_unprotected(draft: &mut TenantCompiler) {
    for conference in &draft.snapshot.conferences {
        let Some(reference) = &conference.spec.pin_secret_ref else { continue };
        let name = name_of(&**conference);
        let key = draft.key(Kind::Conference, name);
        let problem = match pin(draft, reference) {
            Ok(_) => continue,
            Err(SecretError::Missing { secret, why }) => {
                Problem::waiting(key, "spec.pinSecretRef", Reason::CredentialsPending, why)
                    .about(draft.key(Kind::Secret, &secret))
            }
            Err(SecretError::Invalid(why)) => {
                Problem::refused(key, "spec.pinSecretRef", Reason::InvalidSecret, why)
            }
        };
        draft.withhold((Kind::Conference, name.to_owned()), problem);
    }
}

/// Builds the plan of everything that stands.
pub fn build(draft: &mut TenantCompiler, tenant: TenantRow) -> TenantPlan {
    let mut plan = TenantPlan::empty(tenant);
    let snapshot = draft.snapshot;
    macro_rules! rows {
        ($($kind:ident, $list:ident, $row:path;)*) => {
            $(for object in &snapshot.$list {
                let name = name_of(&**object);
                if draft.refusal(Kind::$kind, name).is_none()
                    && let Some(row) = $row(draft, object, name, &plan.tenant)
                {
                    plan.$list.insert(name.to_owned(), row);
                }
            })*
        };
    }
    rows!(
        Extension, extensions, extension;
        RingGroup, ring_groups, ring_group;
        Queue, queues, queue;
        IvrMenu, ivr_menus, ivr_menu;
        Conference, conferences, conference;
        Schedule, schedules, schedule_row;
        Number, numbers, number;
        OutboundRoute, outbound_routes, outbound_route;
        FeatureCode, feature_codes, feature_code;
    );
    plan
}

/// An optional link of a resource: left out, with a note, when it is broken or was cut.
fn link(
    draft: &mut TenantCompiler,
    kind: Kind,
    name: &str,
    field: &'static str,
    destination: Option<&Destination>,
) -> Option<Target> {
    let destination = destination?;
    if draft.is_cut(kind, name, field) {
        return None; // noted when it was cut
    }
    match draft.target(destination) {
        Ok(target) => Some(target),
        Err(why) => {
            draft.degrade(kind, name, loops::path(kind, field), why);
            None
        }
    }
}

fn media(
    draft: &mut TenantCompiler,
    kind: Kind,
    name: &str,
    field: &str,
    source: Option<&MediaSource>,
    usage: MediaUsage,
) -> Option<MediaPath> {
    match draft.media(source?, usage) {
        Ok(path) => Some(path),
        Err(why) => {
            draft.degrade(kind, name, format!("spec.{field}.mediaFileRef.name"), why);
            None
        }
    }
}

fn extension(
    draft: &mut TenantCompiler,
    extension: &Extension,
    name: &str,
    _: &TenantRow,
) -> Option<ExtensionRow> {
    let spec = &extension.spec;
    let mut secrets = Secrets::default();
    let value = sip_password(draft, extension);
    keep(draft, name, "spec.credentials.secretRef", value, &mut secrets, SecretName::Password);
    let voicemail = spec.voicemail.as_ref().filter(|voicemail| voicemail.enabled);
    if let Some(reference) = voicemail.and_then(|voicemail| voicemail.pin_secret_ref.as_ref()) {
        let value = pin(draft, reference);
        keep(draft, name, "spec.voicemail.pinSecretRef", value, &mut secrets, SecretName::Pin);
    }
    let mut recording = spec.recording.unwrap_or_default();
    if recording != Recording::Never && forbids_recording(draft) {
        leave_out_recording(draft, Kind::Extension, name, "spec.recording");
        recording = Recording::Never;
    }
    let forwarding = spec.forwarding.clone().unwrap_or_default();
    let mut forward =
        |field, to: &Option<Destination>| link(draft, Kind::Extension, name, field, to.as_ref());
    Some(ExtensionRow {
        number: spec.number.clone(),
        display_name: spec.display_name.clone().unwrap_or_else(|| spec.number.clone()),
        caller_id: spec.caller_id.clone(),
        ring_seconds: spec.ring_seconds.unwrap_or(30),
        toll_classes: spec.toll_classes.clone(),
        recording,
        voicemail: voicemail.map(|voicemail| VoicemailRow {
            email: voicemail.email.clone(),
            asks_pin: voicemail.pin_secret_ref.is_some(),
        }),
        forwarding: ForwardingRow {
            always: forward("always", &forwarding.always),
            busy: forward("busy", &forwarding.busy),
            no_answer: forward("noAnswer", &forwarding.no_answer),
            unavailable: forward("unavailable", &forwarding.unavailable),
        },
        secrets,
    })
}

/// Keeps a secret of an extension, or notes why it is not there.
fn keep(
    draft: &mut TenantCompiler,
    name: &str,
    field: &str,
    value: Result<String, SecretError>,
    secrets: &mut Secrets,
    secret: SecretName,
) {
    let key = || draft.key(Kind::Extension, name);
    let problem = match value {
        Ok(value) => return secrets.insert(secret, value),
        Err(SecretError::Missing { secret, why }) => {
            Problem::waiting(key(), field, Reason::CredentialsPending, why)
                .about(draft.key(Kind::Secret, &secret))
        }
        Err(SecretError::Invalid(why)) => Problem::degraded(key(), field, Reason::InvalidSecret, why),
    };
    draft.problems.push(problem);
}

/// Whether a member or agent can be rung; if not, that is noted at its field.
fn rings(draft: &mut TenantCompiler, kind: Kind, name: &str, field: String, reference: &LocalRef) -> bool {
    match draft.resolve(Kind::Extension, &reference.name) {
        Ok(()) => true,
        Err(why) => {
            draft.degrade(kind, name, field, why);
            false
        }
    }
}

fn ring_group(
    draft: &mut TenantCompiler,
    group: &RingGroup,
    name: &str,
    _: &TenantRow,
) -> Option<RingGroupRow> {
    let spec = &group.spec;
    let mut members = Vec::new();
    for (index, member) in spec.members.iter().enumerate() {
        let field = format!("spec.members[{index}].extensionRef.name");
        let extension = &member.extension_ref.name;
        let strategy = spec.strategy.unwrap_or_default();
        // One after the other, a member may have more than one turn.
        if strategy == RingStrategy::Simultaneous
            && members.iter().any(|before: &MemberRow| before.extension == *extension)
        {
            let why = (Reason::Conflict, format!("Extension {extension} is a member of it already"));
            draft.degrade(Kind::RingGroup, name, field, why);
        } else if rings(draft, Kind::RingGroup, name, field, &member.extension_ref) {
            members.push(MemberRow {
                extension: member.extension_ref.name.clone(),
                delay_seconds: member.delay_seconds.unwrap_or(0),
                ring_seconds: member.ring_seconds.or(spec.ring_seconds).unwrap_or(30),
            });
        }
    }
    Some(RingGroupRow {
        number: spec.number.clone(),
        strategy: spec.strategy.unwrap_or_default(),
        members,
        no_answer: link(draft, Kind::RingGroup, name, "noAnswer", spec.no_answer.as_ref()),
    })
}

fn queue(draft: &mut TenantCompiler, queue: &Queue, name: &str, tenant: &TenantRow) -> Option<QueueRow> {
    let spec = &queue.spec;
    let mut agents = Vec::new();
    for (index, agent) in spec.agents.iter().enumerate() {
        let field = format!("spec.agents[{index}].extensionRef.name");
        let extension = &agent.extension_ref.name;
        if agents.iter().any(|before: &AgentRow| before.extension == *extension) {
            let why = (Reason::Conflict, format!("Extension {extension} is an agent of it already"));
            draft.degrade(Kind::Queue, name, field, why);
        } else if rings(draft, Kind::Queue, name, field, &agent.extension_ref) {
            agents.push(AgentRow {
                extension: agent.extension_ref.name.clone(),
                level: agent.level.unwrap_or(1),
                position: agent.position.unwrap_or(1),
            });
        }
    }
    let own =
        media(draft, Kind::Queue, name, "musicOnHold", spec.music_on_hold.as_ref(), MediaUsage::MusicOnHold);
    Some(QueueRow {
        number: spec.number.clone(),
        strategy: spec.strategy.unwrap_or_default(),
        agents,
        max_wait_seconds: spec.max_wait_seconds.unwrap_or(600),
        announce_position: spec.announce_position.unwrap_or(false),
        ring_seconds: spec.ring_seconds.unwrap_or(20),
        wrap_up_seconds: spec.wrap_up_seconds.unwrap_or(10),
        music_on_hold: own.or_else(|| tenant.music_on_hold.clone()),
        overflow: link(draft, Kind::Queue, name, "overflow", spec.overflow.as_ref()),
    })
}

fn ivr_menu(draft: &mut TenantCompiler, menu: &IvrMenu, name: &str, _: &TenantRow) -> Option<IvrMenuRow> {
    let spec = &menu.spec;
    let mut options = Vec::new();
    for (index, option) in spec.options.iter().enumerate() {
        match draft.target(&option.destination) {
            Ok(target) => options.push(IvrOptionRow { digits: option.digits.clone(), target }),
            Err(why) => draft.degrade(Kind::IvrMenu, name, format!("spec.options[{index}].destination"), why),
        }
    }
    Some(IvrMenuRow {
        number: spec.number.clone(),
        greeting: media(draft, Kind::IvrMenu, name, "greeting", spec.greeting.as_ref(), MediaUsage::Prompt),
        timeout_seconds: spec.timeout_seconds.unwrap_or(8),
        max_failures: spec.max_failures.unwrap_or(3),
        direct_dial: spec.direct_dial.unwrap_or(false),
        options,
        otherwise: link(draft, Kind::IvrMenu, name, "otherwise", spec.otherwise.as_ref()),
    })
}

fn conference(
    draft: &mut TenantCompiler,
    conference: &Conference,
    _: &str,
    _: &TenantRow,
) -> Option<ConferenceRow> {
    let spec = &conference.spec;
    let mut secrets = Secrets::default();
    if let Some(reference) = &spec.pin_secret_ref {
        // Withheld before, if it cannot be read.
        secrets.insert(SecretName::Pin, pin(draft, reference).ok()?);
    }
    Some(ConferenceRow { number: spec.number.clone(), max_members: spec.max_members.unwrap_or(50), secrets })
}

fn schedule_row(
    draft: &mut TenantCompiler,
    object: &Schedule,
    name: &str,
    tenant: &TenantRow,
) -> Option<ScheduleRow> {
    // Checked before: a schedule with wrong times or broken destinations does not stand.
    Some(ScheduleRow {
        time_zone: schedule::time_zone(object).ok()?.unwrap_or_else(|| tenant.time_zone.clone()),
        weekly: schedule::windows(object).ok()?,
        holidays: schedule::holidays(object).ok()?,
        open: draft.target(&object.spec.open).ok()?,
        closed: draft.target(&object.spec.closed).ok()?,
        holiday: link(draft, Kind::Schedule, name, "holiday", object.spec.holiday.as_ref()),
    })
}

/// Whether the tenant's profile forbids recording.
pub fn forbids_recording(draft: &TenantCompiler) -> bool {
    draft.profile.is_some_and(|profile| profile.spec.recording_enabled == Some(false))
}

/// Notes that a recording is left out, which the profile does not allow.
fn leave_out_recording(draft: &mut TenantCompiler, kind: Kind, name: &str, field: &str) {
    let message = "the tenant's TenantProfile does not allow recording (recordingEnabled)".to_owned();
    draft.degrade(kind, name, field, (Reason::NotAllowed, message));
}

fn number(draft: &mut TenantCompiler, number: &Number, name: &str, _: &TenantRow) -> Option<NumberRow> {
    let spec = &number.spec;
    let mut record_calls = spec.record_calls.unwrap_or(false);
    if record_calls && forbids_recording(draft) {
        leave_out_recording(draft, Kind::Number, name, "spec.recordCalls");
        record_calls = false;
    }
    Some(NumberRow {
        number: spec.number.clone(),
        trunk: draft.trunk(&spec.trunk_ref).ok()?.0,
        target: draft.target(&spec.destination).ok()?,
        caller_id_prefix: spec.caller_id_prefix.clone(),
        record_calls,
    })
}

fn outbound_route(
    draft: &mut TenantCompiler,
    route: &OutboundRoute,
    name: &str,
    _: &TenantRow,
) -> Option<OutboundRouteRow> {
    let spec = &route.spec;
    let mut trunks = Vec::new();
    for (index, reference) in spec.trunks.iter().enumerate() {
        match draft.trunk(reference) {
            Ok((trunk, _)) => trunks.push(trunk),
            Err(why) => draft.degrade(Kind::OutboundRoute, name, format!("spec.trunks[{index}]"), why),
        }
    }
    Some(OutboundRouteRow {
        priority: spec.priority,
        toll_class: spec.toll_class.clone(),
        matches: spec.matches.clone(),
        trunks,
        caller_id: spec.caller_id.clone(),
    })
}

fn feature_code(
    _: &mut TenantCompiler,
    code: &FeatureCode,
    _: &str,
    _: &TenantRow,
) -> Option<FeatureCodeRow> {
    Some(FeatureCodeRow { code: code.spec.code.clone(), action: code.spec.action })
}
