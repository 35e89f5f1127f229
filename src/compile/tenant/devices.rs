//! Phones: their lines, each a SIP user of its own, and their keys.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE32_NOPAD;
use ipnet::IpNet;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::compiler::{TenantCompiler, name_of};
use super::credentials::{admin_password, device_password};
use super::rows::insert_secret;
use super::{emergency, schedule};
use crate::compile::Reason;
use crate::compile::problem::{Problem, RefError};
use crate::phones::keys::has_type;
use crate::phones::models::{self, Model};
use crate::phones::settings::{self, SettingError};
use crate::plan::{DeviceKeyRow, DeviceLineRow, DeviceRow, SecretName, Secrets, TenantRow};
use crate::resources::common::Transport;
use crate::resources::device::{DeviceSpec, Key, KeyType, Provisioning, Srtp};
use crate::resources::feature_code::FeatureAction;
use crate::resources::{Device, Kind};
use crate::source::ObjectKey;
use crate::source::index::key_of;

/// Annotation whose change restarts a phone, as `kubectl rollout restart` restarts pods.
pub const RESTARTED_AT: &str = "centrex.dev/restarted-at";
/// Most devices of one extension, where its profile names no other limit.
const MAX_DEVICES_PER_EXTENSION: i32 = 10;
/// Hexadecimal digits that distinguish the SIP users of an extension's devices.
const USER_DIGITS: usize = 8;
/// Characters of a provisioning user after its `d-`.
const PROVISIONING_USER: usize = 10;

/// Refuses devices whose MAC address an older Device has, in any tenant.
pub fn refuse_conflicts(compiler: &mut TenantCompiler) {
    let Some(me) = key_of(&compiler.snapshot.tenant) else { return };
    for device in &compiler.snapshot.devices {
        let name = name_of(&**device);
        let mac = &device.spec.mac;
        let id = (Kind::Device, name.to_owned());
        if !models::find(device.spec.vendor, device.spec.model.as_deref()).series.is_supported() {
            let why = "phones with Cisco's enterprise firmware cannot be configured; those with multiplatform firmware (68xx, 78xx, 88xx, 98xx) and SPA phones can";
            compiler.refuse(id, "spec.model", (Reason::InvalidValue, why.to_owned()));
            continue;
        }
        if let Some(why) = impossible_mac(mac) {
            compiler.refuse(id, "spec.mac", (Reason::InvalidValue, why));
            continue;
        }
        let Some((holder, other)) = compiler.claims.mac(mac) else { continue };
        if *holder == me && other == name {
            continue;
        }
        let whose = if *holder == me {
            format!("Device {other} has")
        } else {
            format!("a Device of {} has", compiler.tenant_as_seen(holder))
        };
        let key = ObjectKey {
            kind: Kind::Device,
            namespace: Some(holder.namespace.clone()),
            name: other.to_owned(),
        };
        let message = format!("{whose} the MAC address {mac} already; the older keeps it");
        compiler.conflict(id, "spec.mac", key, message);
    }
}

/// Why no phone has a MAC address: it is nobody's, or a group's (IEEE 802, the lowest bit of the first byte).
fn impossible_mac(mac: &str) -> Option<String> {
    let first = mac.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok())?;
    let why = match first {
        _ if mac == "00:00:00:00:00:00" => "no phone has it",
        first if first & 1 == 1 => "it is the address of a group",
        _ => return None,
    };
    Some(format!("{mac} is not a phone's MAC address: {why}"))
}

/// The row of a device. A line or key with a problem is left out; the others keep working.
pub fn device(
    compiler: &mut TenantCompiler,
    device: &Device,
    name: &str,
    tenant: &TenantRow,
) -> Option<DeviceRow> {
    let spec = &device.spec;
    let model = models::find(spec.vendor, spec.model.as_deref());
    let id = (Kind::Device, name);
    let mut secrets = Secrets::default();
    let field = "spec.credentials.secretRef";
    let value = device_password(compiler, device, "password");
    insert_secret(compiler, id, field, value, &mut secrets, SecretName::Password);
    let value = device_password(compiler, device, "provisioningPassword");
    insert_secret(compiler, id, field, value, &mut secrets, SecretName::ProvisioningPassword);
    if let Some(reference) = &spec.admin_password_secret_ref {
        let value = admin_password(compiler, reference);
        let field = "spec.adminPasswordSecretRef";
        insert_secret(compiler, id, field, value, &mut secrets, SecretName::AdminPassword);
    }
    let location = spec
        .emergency_location_ref
        .as_ref()
        .and_then(|reference| emergency::location(compiler, id, "spec.emergencyLocationRef.name", reference));
    check_encryption(compiler, name, spec);
    let time_zone = time_zone(compiler, name, spec.time_zone.as_deref(), tenant);
    let provisioning = spec.provisioning.clone().unwrap_or_default();
    let enroll_until = enroll_until(compiler, name, &provisioning);
    let restarted_at = device.metadata.annotations.as_ref().and_then(|all| all.get(RESTARTED_AT));
    Some(DeviceRow {
        mac: spec.mac.clone(),
        vendor: spec.vendor,
        model: spec.model.clone(),
        disabled: spec.disabled.unwrap_or(false),
        emergency_location: location,
        lines: lines(compiler, device, &model, tenant),
        keys: keys(compiler, device, &model),
        transport: spec.transport,
        srtp: spec.srtp,
        dtmf: spec.dtmf.unwrap_or_default(),
        register_seconds: spec.register_seconds.unwrap_or(300),
        time_zone,
        language: spec.language.clone(),
        vlan: spec.vlan,
        intercom: spec.intercom.unwrap_or(false),
        phonebook: spec.phonebook.unwrap_or(true),
        provisioning_user: provisioning_user(tenant.id, name),
        allowed_networks: networks(compiler, name, &provisioning),
        allow_http: provisioning.allow_http.unwrap_or(false),
        enroll_until,
        poll_hours: provisioning.poll_hours.unwrap_or(24),
        offline_alert_minutes: spec.alert_when_offline.map(|alert| alert.minutes),
        restarted_at: restarted_at.map(|value| value.chars().filter(is_of_a_time).take(64).collect()),
        settings: allowed_settings(compiler, name, &model, &spec.settings),
        secrets,
    })
}

/// Whether a character occurs in times: nothing else of an annotation is used.
fn is_of_a_time(c: &char) -> bool {
    c.is_ascii_alphanumeric() || ":+.-".contains(*c)
}

/// Checks that a phone which must use TLS can. Without a SipProfile for phones there is nothing to compare with.
fn check_encryption(compiler: &mut TenantCompiler, name: &str, spec: &DeviceSpec) {
    let platform = compiler.platform;
    let Some((profile, row)) =
        platform.main_profile().and_then(|name| platform.sip_profiles.get_key_value(name))
    else {
        return;
    };
    let field = match (spec.transport, spec.srtp) {
        _ if row.tls_port.is_some() => return,
        (Some(Transport::Tls), _) => "spec.transport",
        (None, Some(Srtp::Required)) => "spec.srtp",
        _ => return,
    };
    let message = format!("needs TLS, and SipProfile {profile}, where phones register, has no tlsPort");
    compiler.degrade(Kind::Device, name, field, (Reason::InvalidValue, message));
}

fn time_zone(compiler: &mut TenantCompiler, name: &str, own: Option<&str>, tenant: &TenantRow) -> String {
    match own.map(|zone| (zone, schedule::known_zone(zone))) {
        Some((zone, Ok(()))) => zone.to_owned(),
        None => tenant.time_zone.clone(),
        Some((_, Err(message))) => {
            let message = format!("{message}; the tenant's is used");
            compiler.degrade(Kind::Device, name, "spec.timeZone", (Reason::InvalidValue, message));
            tenant.time_zone.clone()
        }
    }
}

/// The time until which a phone may enroll, with a zone. Without one a time means nothing to a server.
fn enroll_until(compiler: &mut TenantCompiler, name: &str, spec: &Provisioning) -> Option<String> {
    let until = spec.enroll_until.as_ref()?;
    if until.parse::<Timestamp>().is_ok() {
        return Some(until.clone());
    }
    let message = format!("{until} is no time with a zone, such as 2026-11-30T12:00:00Z; nobody enrolls");
    let field = "spec.provisioning.enrollUntil";
    compiler.degrade(Kind::Device, name, field, (Reason::InvalidValue, message));
    None
}

/// The networks that a phone may fetch from. One that is invalid admits nobody, so that a mistake opens nothing: if all
/// are, the list has one address that is none.
fn networks(compiler: &mut TenantCompiler, name: &str, spec: &Provisioning) -> Vec<String> {
    let mut valid = Vec::new();
    for (index, text) in spec.allowed_networks.iter().enumerate() {
        let network =
            text.parse::<IpNet>().or_else(|_| text.parse().map(|address: std::net::IpAddr| address.into()));
        match network {
            Ok(network) => valid.push(network.trunc().to_string()),
            Err(_) => {
                let field = format!("spec.provisioning.allowedNetworks[{index}]");
                let message =
                    format!("{text} is no network; write one such as 192.0.2.0/24. It admits nobody");
                compiler.degrade(Kind::Device, name, field, (Reason::InvalidValue, message));
            }
        }
    }
    if valid.is_empty() && !spec.allowed_networks.is_empty() {
        valid.push("0.0.0.0/32".to_owned());
    }
    valid
}

/// The further settings of a phone that are allowed.
fn allowed_settings(
    compiler: &mut TenantCompiler,
    name: &str,
    model: &Model,
    all: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut allowed = all.clone();
    for error in settings::check(model, all) {
        let reason = match &error {
            SettingError::Denied { .. } => Reason::NotAllowed,
            _ => Reason::InvalidValue,
        };
        allowed.remove(error.key());
        compiler.degrade(Kind::Device, name, "spec.settings", (reason, error.to_string()));
    }
    allowed
}

/// The model for messages.
fn described(device: &Device) -> String {
    let vendor = format!("{:?}", device.spec.vendor);
    match &device.spec.model {
        Some(model) => format!("{vendor} {model}"),
        None => format!("a phone of {vendor}"),
    }
}

fn lines(
    compiler: &mut TenantCompiler,
    device: &Device,
    model: &Model,
    tenant: &TenantRow,
) -> Vec<DeviceLineRow> {
    let name = name_of(device);
    let mut lines: Vec<DeviceLineRow> = Vec::new();
    for (index, line) in device.spec.lines.iter().enumerate() {
        let field = format!("spec.lines[{index}].extensionRef.name");
        let extension = &line.extension_ref.name;
        if index >= model.lines {
            let message = format!("{} has {} lines", described(device), model.lines);
            compiler.degrade(
                Kind::Device,
                name,
                format!("spec.lines[{index}]"),
                (Reason::LimitExceeded, message),
            );
            continue;
        }
        let number = match extension_number(compiler, extension) {
            Ok(number) => number,
            Err(why) => {
                compiler.degrade(Kind::Device, name, field, why);
                continue;
            }
        };
        if lines.iter().any(|before| before.extension == *extension) {
            let why = (Reason::Conflict, format!("Extension {extension} has a line of this Device already"));
            compiler.degrade(Kind::Device, name, field, why);
            continue;
        }
        if let Some(most) = over_limit(compiler, name, extension) {
            let message = format!(
                "Extension {extension} has {most} Devices already (maxDevicesPerExtension); the oldest ring"
            );
            compiler.degrade(Kind::Device, name, field, (Reason::LimitExceeded, message));
            continue;
        }
        lines.push(DeviceLineRow {
            position: i32::try_from(index + 1).unwrap_or(i32::MAX),
            extension: extension.clone(),
            user: sip_user(tenant.id, name, extension, &number),
            label: line.label.clone(),
        });
    }
    lines
}

/// The number of an extension of the tenant.
fn extension_number(compiler: &TenantCompiler, name: &str) -> Result<String, RefError> {
    compiler.resolve(Kind::Extension, name)?;
    let previous = || Some(compiler.previous_extension(name)?.number.clone());
    let number = match compiler.refusal(Kind::Extension, name) {
        None => compiler.extension(name).map(|extension| extension.spec.number.clone()),
        Some(_) => previous(),
    };
    number.ok_or_else(|| (Reason::RefRefused, format!("Extension {name} is refused itself")).into())
}

/// The profile's limit of devices for an extension, if older devices have reached it.
fn over_limit(compiler: &TenantCompiler, device: &str, extension: &str) -> Option<i32> {
    let limit = compiler.profile.and_then(|profile| profile.spec.max_devices_per_extension);
    let most = limit.unwrap_or(MAX_DEVICES_PER_EXTENSION);
    let me = compiler.aged(Kind::Device, device);
    let devices = compiler.devices_of.get(extension)?;
    let older = devices
        .iter()
        .filter(|other| compiler.is_accepted(Kind::Device, other) && compiler.aged(Kind::Device, other) < me);
    (older.count() >= usize::try_from(most).unwrap_or(0)).then_some(most)
}

/// The devices that name each extension.
pub fn by_extension<'a>(devices: impl Iterator<Item = &'a Device>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut by_extension: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for device in devices {
        let named: BTreeSet<&str> =
            device.spec.lines.iter().map(|line| line.extension_ref.name.as_str()).collect();
        for extension in named {
            by_extension.entry(extension).or_default().push(name_of(device));
        }
    }
    by_extension
}

fn keys(compiler: &mut TenantCompiler, device: &Device, model: &Model) -> Vec<DeviceKeyRow> {
    let name = name_of(device);
    let mut keys: BTreeMap<(i32, i32), DeviceKeyRow> = BTreeMap::new();
    let mut next = (0, 1);
    for (index, key) in device.spec.keys.iter().enumerate() {
        let module = key.module.unwrap_or(next.0);
        let position = key.position.unwrap_or(if module == next.0 { next.1 } else { 1 });
        next = (module, position + 1);
        let field = format!("spec.keys[{index}]");
        if keys.contains_key(&(module, position)) {
            let message = format!("position {position} of module {module} has another key already");
            compiler.degrade(Kind::Device, name, format!("{field}.position"), (Reason::Conflict, message));
            continue;
        }
        if !model.has_key(module, position) {
            let message = format!(
                "{} has {} keys and {} modules of {}",
                described(device),
                model.keys,
                model.modules,
                model.module_keys
            );
            let part = if module == 0 { "position" } else { "module" };
            compiler.degrade(Kind::Device, name, format!("{field}.{part}"), (Reason::LimitExceeded, message));
            continue;
        }
        let lines = device.spec.lines.len().max(1);
        let line = key.line.unwrap_or(1);
        if usize::try_from(line).is_ok_and(|line| line > lines) {
            let message = format!("the Device has {lines} lines");
            compiler.degrade(Kind::Device, name, format!("{field}.line"), (Reason::InvalidValue, message));
            continue;
        }
        if !has_type(model.series, key.key_type) {
            let message = format!(
                "{} has no key {:?} that Centrex can set: the key stays off",
                described(device),
                key.key_type
            );
            let of = compiler.key(Kind::Device, name);
            compiler.problems.push(Problem::noted(
                of,
                format!("{field}.type"),
                Reason::InvalidValue,
                message,
            ));
        }
        let number = match dialled(compiler, key) {
            Ok(number) => number,
            Err((part, why)) => {
                compiler.degrade(Kind::Device, name, format!("{field}.{part}"), why);
                continue;
            }
        };
        let row = DeviceKeyRow {
            module,
            position,
            key_type: key.key_type,
            line,
            extension: key.extension_ref.as_ref().map(|reference| reference.name.clone()),
            number,
            place: key.place.clone(),
            url: key.url.clone(),
            label: key.label.clone(),
        };
        keys.insert((module, position), row);
    }
    keys.into_values().collect()
}

/// What a key dials, or the part of the key that is wrong.
fn dialled(compiler: &TenantCompiler, key: &Key) -> Result<Option<String>, (&'static str, RefError)> {
    let code = |action: FeatureAction| {
        feature_code(compiler, action).ok_or_else(|| {
            let message =
                format!("the tenant has no FeatureCode with action {action:?}, which this key dials");
            ("type", RefError::from((Reason::RefNotFound, message)))
        })
    };
    match key.key_type {
        KeyType::BusyLamp => {
            let extension = key.extension_ref.as_ref().map_or("", |reference| &reference.name);
            extension_number(compiler, extension).map(Some).map_err(|why| ("extensionRef.name", why))
        }
        KeyType::SpeedDial => Ok(key.number.clone()),
        KeyType::Park => Ok(Some(code(FeatureAction::Park)? + key.place.as_deref().unwrap_or_default())),
        KeyType::Voicemail => Ok(Some(code(FeatureAction::CheckVoicemail)?)),
        KeyType::Line
        | KeyType::Pickup
        | KeyType::DoNotDisturb
        | KeyType::Forward
        | KeyType::AgentLogin
        | KeyType::Url => Ok(None),
    }
}

/// The tenant's code for an action: of several, the first by name.
fn feature_code(compiler: &TenantCompiler, action: FeatureAction) -> Option<String> {
    let codes = compiler.snapshot.feature_codes.iter().filter(|code| {
        code.spec.action == action && compiler.is_accepted(Kind::FeatureCode, name_of(&***code))
    });
    codes.min_by_key(|code| name_of(&***code)).map(|code| code.spec.code.clone())
}

/// The SIP user of a line. It names the extension for people who read the switch's lists, and changes with the number.
fn sip_user(tenant: Uuid, device: &str, extension: &str, number: &str) -> String {
    let digest = hex::encode(digest(tenant, &[device, extension]));
    format!("{number}-{}", digest.get(..USER_DIGITS).unwrap_or(&digest))
}

/// The user by which a phone fetches its configuration: no secret, and the same for as long as the Device has its name.
pub fn provisioning_user(tenant: Uuid, device: &str) -> String {
    let text = BASE32_NOPAD.encode(&digest(tenant, &[device])).to_ascii_lowercase();
    format!("d-{}", text.get(..PROVISIONING_USER).unwrap_or(&text))
}

fn digest(tenant: Uuid, names: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(tenant.as_bytes());
    for name in names {
        hash.update(name);
        hash.update([0]);
    }
    hash.finalize().into()
}
