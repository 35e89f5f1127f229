//! Plans built by hand, for tests of the stages after compile.

use centrex::plan::*;
use centrex::resources::common::{DestinationKind, Recording, Transport};
use centrex::resources::sip_profile::Role;
use centrex::resources::tenant::DeletionPolicy;
use centrex::secrets::a1_hash::hash_passwords;
use uuid::Uuid;

/// A tenant `demo/<name>` with the domain `<name>.example.com` and nothing else.
pub fn tenant(name: &str) -> TenantPlan {
    TenantPlan::empty(TenantRow {
        id: Uuid::now_v7(),
        namespace: "demo".to_owned(),
        name: name.to_owned(),
        owner_uid: format!("uid-of-{name}"),
        display_name: name.to_uppercase(),
        domains: vec![format!("{name}.example.com")],
        suspended: false,
        time_zone: "Europe/Berlin".to_owned(),
        country: Some("DE".to_owned()),
        caller_id: None,
        emergency: None,
        max_concurrent_calls: Some(10),
        max_call_duration_seconds: None,
        max_calls_abroad_per_day: None,
        cdr_days: None,
        music_on_hold: None,
        recording_tone: false,
        deletion_policy: DeletionPolicy::Retain,
    })
}

/// A tenant with extensions `100`… named `e100`….
pub fn tenant_with(name: &str, extensions: usize) -> TenantPlan {
    let mut plan = tenant(name);
    plan.extensions = (100..100 + extensions)
        .map(|number| (format!("e{number}"), extension(&number.to_string())))
        .collect();
    hash_passwords(&mut plan);
    plan
}

/// Gives an extension another password, and the hashes that follow from it.
pub fn set_password(plan: &mut TenantPlan, extension: &str, password: &str) {
    plan.extensions.get_mut(extension).unwrap().secrets.insert(SecretName::Password, password);
    hash_passwords(plan);
}

/// An extension with a password and a voicemail PIN.
pub fn extension(number: &str) -> ExtensionRow {
    let mut secrets = Secrets::default();
    secrets.insert(SecretName::Password, format!("open-sesame-{number}"));
    secrets.insert(SecretName::Pin, format!("77{number}"));
    ExtensionRow {
        number: number.to_owned(),
        display_name: format!("Phone {number}"),
        caller_id: None,
        emergency_location: None,
        ring_seconds: 20,
        toll_classes: vec!["National".to_owned()],
        countries_abroad: Vec::new(),
        recording: Recording::default(),
        voicemail: Some(VoicemailRow { email: Some(format!("{number}@example.com")), asks_pin: true }),
        forwarding: ForwardingRow::default(),
        secrets,
    }
}

/// A public number that leads to an extension.
pub fn number(number: &str, extension: &str) -> NumberRow {
    NumberRow {
        number: number.to_owned(),
        range: None,
        internal_number: None,
        trunk: "carriers/main".to_owned(),
        target: Target { kind: DestinationKind::Extension, name: extension.to_owned() },
        caller_id_prefix: None,
        record_calls: false,
    }
}

/// A feature code.
pub fn feature_code(code: &str) -> FeatureCodeRow {
    FeatureCodeRow {
        code: code.to_owned(),
        action: centrex::resources::feature_code::FeatureAction::CheckVoicemail,
    }
}

/// A platform with one profile and one trunk that registers.
pub fn platform() -> PlatformPlan {
    let mut plan = PlatformPlan::default();
    let profile = SipProfileRow {
        role: Role::Phones,
        bind_address: None,
        external_address: None,
        sip_port: 5060,
        tls_port: None,
        ws_port: None,
        codecs: vec!["PCMA".to_owned()],
        update_policy: Default::default(),
    };
    plan.sip_profiles.insert("internal".to_owned(), profile);
    let mut secrets = Secrets::default();
    secrets.insert(SecretName::Password, "carrier-sesame");
    let trunk = TrunkRow {
        id: Uuid::nil(),
        sip_profile: "internal".to_owned(),
        gateways: vec![GatewayRow {
            host: "sip.example.net".to_owned(),
            port: Some(5060),
            transport: Transport::Udp,
            outbound_proxy: None,
        }],
        registration: Some(RegistrationRow {
            username: "acme".to_owned(),
            expiry_seconds: 600,
            ..RegistrationRow::default()
        }),
        source_addresses: vec!["203.0.113.0/24".parse().unwrap()],
        progress_timeout_seconds: 5,
        secrets,
        ..TrunkRow::default()
    };
    plan.trunks.insert("carriers/main".to_owned(), trunk);
    plan
}
