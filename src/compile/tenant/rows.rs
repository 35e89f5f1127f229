//! Rows of the accepted resources.

use super::compiler::{TenantCompiler, name_of};
use super::credentials::{pin, sip_password};
use super::devices::device;
use super::{emergency, loops, numbers, schedule};
use crate::compile::countries::{unknown_code, unknown_country};
use crate::compile::secrets::SecretError;
use crate::compile::{Problem, Reason};
use crate::plan::*;
use crate::resources::common::{Destination, LocalRef, MediaSource, Recording};
use crate::resources::media_file::MediaUsage;
use crate::resources::ring_group::RingStrategy;
use crate::resources::*;

/// Excludes conferences whose PIN is missing or invalid: without a PIN every caller could enter.
pub fn exclude_unprotected(compiler: &mut TenantCompiler) {
    for conference in &compiler.snapshot.conferences {
        let Some(reference) = &conference.spec.pin_secret_ref else { continue };
        let name = name_of(&**conference);
        let key = compiler.key(Kind::Conference, name);
        let problem = match pin(compiler, reference) {
            Ok(_) => continue,
            Err(SecretError::Missing { secret, why }) => {
                Problem::waiting(key, "spec.pinSecretRef", Reason::CredentialsPending, why)
                    .about(compiler.key(Kind::Secret, &secret))
            }
            Err(SecretError::Invalid(why)) => {
                Problem::refused(key, "spec.pinSecretRef", Reason::InvalidSecret, why)
            }
        };
        compiler.exclude((Kind::Conference, name.to_owned()), problem);
    }
}

/// Compiles all accepted resources to rows.
pub fn build(compiler: &mut TenantCompiler, tenant: TenantRow) -> TenantPlan {
    let mut plan = TenantPlan::empty(tenant);
    let snapshot = compiler.snapshot;
    macro_rules! rows {
        ($($kind:ident, $list:ident, $row:path;)*) => {
            $(for object in &snapshot.$list {
                let name = name_of(&**object);
                if compiler.refusal(Kind::$kind, name).is_none()
                    && let Some(row) = $row(compiler, object, name, &plan.tenant)
                {
                    plan.$list.insert(name.to_owned(), row);
                }
            })*
        };
    }
    rows!(
        Extension, extensions, extension;
        Device, devices, device;
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

/// Resolves an optional link; a link that is broken or closes a loop is left out and reported.
fn link(
    compiler: &mut TenantCompiler,
    kind: Kind,
    name: &str,
    field: &'static str,
    destination: Option<&Destination>,
) -> Option<Target> {
    let destination = destination?;
    if compiler.is_broken_link(kind, name, field) {
        return None; // reported when the loop was broken
    }
    match compiler.target(destination) {
        Ok(target) => Some(target),
        Err(why) => {
            compiler.degrade(kind, name, loops::path(kind, field), why);
            None
        }
    }
}

fn media(
    compiler: &mut TenantCompiler,
    kind: Kind,
    name: &str,
    field: &str,
    source: Option<&MediaSource>,
    usage: MediaUsage,
) -> Option<MediaPath> {
    match compiler.media(source?, usage) {
        Ok(path) => Some(path),
        Err(why) => {
            compiler.degrade(kind, name, format!("spec.{field}.mediaFileRef.name"), why);
            None
        }
    }
}

fn extension(
    compiler: &mut TenantCompiler,
    extension: &Extension,
    name: &str,
    _: &TenantRow,
) -> Option<ExtensionRow> {
    let spec = &extension.spec;
    let mut secrets = Secrets::default();
    let value = sip_password(compiler, extension);
    let id = (Kind::Extension, name);
    insert_secret(compiler, id, "spec.credentials.secretRef", value, &mut secrets, SecretName::Password);
    let voicemail = spec.voicemail.as_ref().filter(|voicemail| voicemail.enabled);
    if let Some(reference) = voicemail.and_then(|voicemail| voicemail.pin_secret_ref.as_ref()) {
        let value = pin(compiler, reference);
        insert_secret(compiler, id, "spec.voicemail.pinSecretRef", value, &mut secrets, SecretName::Pin);
    }
    let mut recording = spec.recording.unwrap_or_default();
    if recording != Recording::Never && forbids_recording(compiler) {
        degrade_recording(compiler, Kind::Extension, name, "spec.recording");
        recording = Recording::Never;
    }
    let emergency_location = spec.emergency_location_ref.as_ref().and_then(|reference| {
        emergency::location(compiler, (Kind::Extension, name), "spec.emergencyLocationRef.name", reference)
    });
    if let Some((index, code)) = unknown_code(&spec.countries_abroad) {
        let why = (Reason::InvalidValue, unknown_country(code));
        compiler.degrade(Kind::Extension, name, format!("spec.countriesAbroad[{index}]"), why);
    }
    let forwarding = spec.forwarding.clone().unwrap_or_default();
    let mut forward =
        |field, to: &Option<Destination>| link(compiler, Kind::Extension, name, field, to.as_ref());
    Some(ExtensionRow {
        number: spec.number.clone(),
        display_name: spec.display_name.clone().unwrap_or_else(|| spec.number.clone()),
        caller_id: spec.caller_id.clone(),
        emergency_location,
        ring_seconds: spec.ring_seconds.unwrap_or(30),
        toll_classes: spec.toll_classes.clone(),
        countries_abroad: spec.countries_abroad.clone(),
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

/// Inserts a secret of an extension or a device, or reports why it is missing.
pub fn insert_secret(
    compiler: &mut TenantCompiler,
    (kind, name): (Kind, &str),
    field: &str,
    value: Result<String, SecretError>,
    secrets: &mut Secrets,
    secret: SecretName,
) {
    let key = || compiler.key(kind, name);
    let problem = match value {
        Ok(value) => return secrets.insert(secret, value),
        Err(SecretError::Missing { secret, why }) => {
            Problem::waiting(key(), field, Reason::CredentialsPending, why)
                .about(compiler.key(Kind::Secret, &secret))
        }
        Err(SecretError::Invalid(why)) => Problem::degraded(key(), field, Reason::InvalidSecret, why),
    };
    compiler.problems.push(problem);
}

/// Whether a member or agent exists; if not, reports the field as degraded.
fn rings(compiler: &mut TenantCompiler, kind: Kind, name: &str, field: String, reference: &LocalRef) -> bool {
    match compiler.resolve(Kind::Extension, &reference.name) {
        Ok(()) => true,
        Err(why) => {
            compiler.degrade(kind, name, field, why);
            false
        }
    }
}

fn ring_group(
    compiler: &mut TenantCompiler,
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
        // In a sequential group a member may ring more than once.
        if strategy == RingStrategy::Simultaneous
            && members.iter().any(|before: &MemberRow| before.extension == *extension)
        {
            let why = (Reason::Conflict, format!("Extension {extension} is a member of it already"));
            compiler.degrade(Kind::RingGroup, name, field, why);
        } else if rings(compiler, Kind::RingGroup, name, field, &member.extension_ref) {
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
        no_answer: link(compiler, Kind::RingGroup, name, "noAnswer", spec.no_answer.as_ref()),
    })
}

fn queue(compiler: &mut TenantCompiler, queue: &Queue, name: &str, tenant: &TenantRow) -> Option<QueueRow> {
    let spec = &queue.spec;
    let mut agents = Vec::new();
    for (index, agent) in spec.agents.iter().enumerate() {
        let field = format!("spec.agents[{index}].extensionRef.name");
        let extension = &agent.extension_ref.name;
        if agents.iter().any(|before: &AgentRow| before.extension == *extension) {
            let why = (Reason::Conflict, format!("Extension {extension} is an agent of it already"));
            compiler.degrade(Kind::Queue, name, field, why);
        } else if rings(compiler, Kind::Queue, name, field, &agent.extension_ref) {
            agents.push(AgentRow {
                extension: agent.extension_ref.name.clone(),
                level: agent.level.unwrap_or(1),
                position: agent.position.unwrap_or(1),
            });
        }
    }
    let own = media(
        compiler,
        Kind::Queue,
        name,
        "musicOnHold",
        spec.music_on_hold.as_ref(),
        MediaUsage::MusicOnHold,
    );
    Some(QueueRow {
        number: spec.number.clone(),
        strategy: spec.strategy.unwrap_or_default(),
        agents,
        max_wait_seconds: spec.max_wait_seconds.unwrap_or(600),
        no_agent_wait_seconds: spec.when_no_agents.as_ref().map_or(0, |wait| wait.wait_seconds),
        announce_position: spec.announce_position.unwrap_or(false),
        ring_seconds: spec.ring_seconds.unwrap_or(20),
        wrap_up_seconds: spec.wrap_up_seconds.unwrap_or(10),
        music_on_hold: own.or_else(|| tenant.music_on_hold.clone()),
        overflow: link(compiler, Kind::Queue, name, "overflow", spec.overflow.as_ref()),
    })
}

fn ivr_menu(compiler: &mut TenantCompiler, menu: &IvrMenu, name: &str, _: &TenantRow) -> Option<IvrMenuRow> {
    let spec = &menu.spec;
    let mut options = Vec::new();
    for (index, option) in spec.options.iter().enumerate() {
        match compiler.target(&option.destination) {
            Ok(target) => options.push(IvrOptionRow { digits: option.digits.clone(), target }),
            Err(why) => {
                compiler.degrade(Kind::IvrMenu, name, format!("spec.options[{index}].destination"), why)
            }
        }
    }
    numbers::tell_hidden_by_options(compiler, menu);
    Some(IvrMenuRow {
        number: spec.number.clone(),
        greeting: media(
            compiler,
            Kind::IvrMenu,
            name,
            "greeting",
            spec.greeting.as_ref(),
            MediaUsage::Prompt,
        ),
        timeout_seconds: spec.timeout_seconds.unwrap_or(8),
        max_failures: spec.max_failures.unwrap_or(3),
        direct_dial: spec.direct_dial.unwrap_or(false),
        options,
        otherwise: link(compiler, Kind::IvrMenu, name, "otherwise", spec.otherwise.as_ref()),
        no_input: link(compiler, Kind::IvrMenu, name, "noInput", spec.no_input.as_ref()),
        invalid_input: link(compiler, Kind::IvrMenu, name, "invalidInput", spec.invalid_input.as_ref()),
    })
}

fn conference(
    compiler: &mut TenantCompiler,
    conference: &Conference,
    _: &str,
    _: &TenantRow,
) -> Option<ConferenceRow> {
    let spec = &conference.spec;
    let mut secrets = Secrets::default();
    if let Some(reference) = &spec.pin_secret_ref {
        // A conference without a valid PIN is excluded by `exclude_unprotected`.
        secrets.insert(SecretName::Pin, pin(compiler, reference).ok()?);
    }
    Some(ConferenceRow { number: spec.number.clone(), max_members: spec.max_members.unwrap_or(50), secrets })
}

fn schedule_row(
    compiler: &mut TenantCompiler,
    object: &Schedule,
    name: &str,
    tenant: &TenantRow,
) -> Option<ScheduleRow> {
    // `required_refs` refused schedules with invalid times or broken destinations.
    let time_zone = schedule::time_zone(object).ok()?.unwrap_or_else(|| tenant.time_zone.clone());
    let mut overridden = schedule::overridden(object, &time_zone).ok()?;
    if let (Some(row), Some(spec)) = (&mut overridden, &object.spec.overridden) {
        row.target = link(compiler, Kind::Schedule, name, loops::OVERRIDE, spec.destination.as_ref());
    }
    Some(ScheduleRow {
        time_zone,
        weekly: schedule::windows(object).ok()?,
        holidays: schedule::holidays(object).ok()?,
        overridden,
        open: compiler.target(&object.spec.open).ok()?,
        closed: compiler.target(&object.spec.closed).ok()?,
        holiday: link(compiler, Kind::Schedule, name, "holiday", object.spec.holiday.as_ref()),
    })
}

/// Whether the tenant's profile forbids recording.
pub fn forbids_recording(compiler: &TenantCompiler) -> bool {
    compiler.profile.is_some_and(|profile| profile.spec.recording_enabled == Some(false))
}

/// Reports that a recording is left out because the profile forbids it.
fn degrade_recording(compiler: &mut TenantCompiler, kind: Kind, name: &str, field: &str) {
    let message = "the tenant's TenantProfile does not allow recording (recordingEnabled)".to_owned();
    compiler.degrade(kind, name, field, (Reason::NotAllowed, message));
}

fn number(compiler: &mut TenantCompiler, number: &Number, name: &str, _: &TenantRow) -> Option<NumberRow> {
    let spec = &number.spec;
    let mut record_calls = spec.record_calls.unwrap_or(false);
    if record_calls && forbids_recording(compiler) {
        degrade_recording(compiler, Kind::Number, name, "spec.recordCalls");
        record_calls = false;
    }
    Some(NumberRow {
        number: spec.number.clone(),
        range: spec.range.clone(),
        internal_number: spec.internal_number.clone(),
        trunk: compiler.trunk(&spec.trunk_ref).ok()?.0,
        target: compiler.target(&spec.destination).ok()?,
        caller_id_prefix: spec.caller_id_prefix.clone(),
        record_calls,
    })
}

fn outbound_route(
    compiler: &mut TenantCompiler,
    route: &OutboundRoute,
    name: &str,
    _: &TenantRow,
) -> Option<OutboundRouteRow> {
    let spec = &route.spec;
    let mut trunks = Vec::new();
    for (index, reference) in spec.trunks.iter().enumerate() {
        match compiler.trunk(reference) {
            Ok((trunk, _)) => trunks.push(trunk),
            Err(why) => compiler.degrade(Kind::OutboundRoute, name, format!("spec.trunks[{index}]"), why),
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
