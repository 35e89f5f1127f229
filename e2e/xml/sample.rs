//! The tenants that the recorded requests name, as a plan: `tenant-a.test` and `tenant-b.test` with the users
//! 100, 101 and 200 and the passwords `pw100`…, a suspended tenant, two profiles and a trunk.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use centrex::freeswitch::xml::Answers;
use centrex::freeswitch::xml::templates::Templates;
use centrex::plan::*;
use centrex::replica::tenants::Replica;
use centrex::resources::common::*;
use centrex::resources::queue::QueueStrategy;
use centrex::resources::ring_group::RingStrategy;
use centrex::resources::sip_profile::Role;
use centrex::resources::tenant::DeletionPolicy;
use centrex::route::media::MediaRoot;
use centrex::secrets::a1_hash::hash_passwords;
use centrex::secrets::signing_key::SigningKey;
use uuid::Uuid;

pub const TENANT_A: Uuid = Uuid::from_u128(0x0000_0000_0000_4000_8000_a000_0000_0000);
pub const TENANT_B: Uuid = Uuid::from_u128(0x0000_0000_0000_4000_8000_b000_0000_0000);
pub const SUSPENDED: Uuid = Uuid::from_u128(0x0000_0000_0000_4000_8000_c000_0000_0000);
pub const TRUNK: Uuid = Uuid::from_u128(0x0000_0000_0000_4000_8000_d000_0000_0000);

/// Answers over a plan.
pub fn answers(platform: PlatformPlan, tenants: Vec<TenantPlan>) -> Arc<Answers> {
    let replica = Replica::default();
    for tenant in tenants {
        replica.put_tenant(1, tenant);
    }
    replica.put_platform(1, platform);
    Arc::new(Answers {
        replica: Arc::new(replica),
        key: Arc::new(OnceLock::from(key())),
        media: MediaRoot::new(Path::new("/media")).unwrap(),
        templates: Templates::built_in().unwrap(),
        running: Default::default(),
        emergencies: Default::default(),
    })
}

/// Answers over the sample.
pub fn sample_answers() -> Arc<Answers> {
    let mut suspended = tenant(SUSPENDED, "suspended.test");
    suspended.tenant.suspended = true;
    answers(platform(), vec![tenant(TENANT_A, "tenant-a.test"), tenant(TENANT_B, "tenant-b.test"), suspended])
}

pub fn key() -> SigningKey {
    SigningKey::new([7; 32])
}

pub fn platform() -> PlatformPlan {
    let mut platform = PlatformPlan::default();
    platform.sip_profiles.insert("internal".into(), profile(Role::Phones, 5060));
    platform.sip_profiles.insert("external".into(), profile(Role::Trunks, 5080));
    platform.trunks.insert("carriers/carrier".into(), trunk());
    platform
}

fn profile(role: Role, sip_port: i32) -> SipProfileRow {
    SipProfileRow {
        role,
        bind_address: None,
        external_address: None,
        sip_port,
        tls_port: None,
        ws_port: None,
        codecs: vec!["PCMA".into(), "PCMU".into()],
        update_policy: Default::default(),
    }
}

fn trunk() -> TrunkRow {
    let gateway = |host: &str| GatewayRow {
        host: host.into(),
        port: Some(5060),
        transport: Transport::Udp,
        outbound_proxy: None,
    };
    let mut secrets = Secrets::default();
    secrets.insert(SecretName::Password, "carrier-password");
    TrunkRow {
        id: TRUNK,
        sip_profile: "external".into(),
        gateways: vec![gateway("sip.carrier.test"), gateway("sip2.carrier.test")],
        registration: Some(RegistrationRow {
            username: "centrex".into(),
            expiry_seconds: 600,
            ..RegistrationRow::default()
        }),
        source_addresses: vec!["198.51.100.0/24".parse().unwrap()],
        progress_timeout_seconds: 8,
        secrets,
        ..TrunkRow::default()
    }
}

pub fn tenant(id: Uuid, domain: &str) -> TenantPlan {
    let mut plan = TenantPlan::empty(TenantRow {
        id,
        namespace: "test".into(),
        name: domain.replace('.', "-"),
        owner_uid: String::new(),
        display_name: domain.into(),
        domains: vec![domain.into()],
        suspended: false,
        time_zone: "Europe/Berlin".into(),
        country: None,
        caller_id: None,
        emergency: None,
        max_concurrent_calls: None,
        max_call_duration_seconds: None,
        max_calls_abroad_per_day: None,
        cdr_days: None,
        music_on_hold: Some(MediaPath("music_on_hold/hold.wav".into())),
        recording_tone: false,
        deletion_policy: DeletionPolicy::default(),
    });
    for number in ["100", "101", "200"] {
        plan.extensions.insert(format!("user-{number}"), extension(number, Some(&format!("pw{number}"))));
    }
    plan.extensions.insert("user-300".into(), extension("300", None));
    let member =
        |extension: &str| MemberRow { extension: extension.into(), delay_seconds: 0, ring_seconds: 20 };
    plan.ring_groups.insert(
        "sales".into(),
        RingGroupRow {
            number: Some("600".into()),
            strategy: RingStrategy::default(),
            members: vec![member("user-100"), member("user-101")],
            no_answer: None,
        },
    );
    plan.queues.insert("support".into(), queue("700", &["user-100", "user-101"]));
    plan.queues.insert("billing".into(), queue("701", &["user-101"]));
    plan.ivr_menus.insert("main".into(), menu());
    let mut secrets = Secrets::default();
    secrets.insert(SecretName::Pin, "4711");
    plan.conferences
        .insert("room1".into(), ConferenceRow { number: Some("900".into()), max_members: 20, secrets });
    hash_passwords(&mut plan);
    plan
}

pub fn extension(number: &str, password: Option<&str>) -> ExtensionRow {
    let mut secrets = Secrets::default();
    if let Some(password) = password {
        secrets.insert(SecretName::Password, password);
        secrets.insert(SecretName::Pin, "1234");
    }
    ExtensionRow {
        number: number.into(),
        display_name: format!("User {number}"),
        caller_id: None,
        emergency_location: None,
        ring_seconds: 25,
        toll_classes: Vec::new(),
        countries_abroad: Vec::new(),
        recording: Recording::Never,
        voicemail: password.map(|_| VoicemailRow::default()),
        forwarding: ForwardingRow::default(),
        secrets,
    }
}

fn queue(number: &str, agents: &[&str]) -> QueueRow {
    let agent = |name: &&str| AgentRow { extension: (*name).into(), level: 1, position: 1 };
    QueueRow {
        number: Some(number.into()),
        strategy: QueueStrategy::RoundRobin,
        agents: agents.iter().map(agent).collect(),
        max_wait_seconds: 600,
        no_agent_wait_seconds: 0,
        announce_position: false,
        ring_seconds: 20,
        wrap_up_seconds: 10,
        music_on_hold: None,
        overflow: None,
    }
}

fn menu() -> IvrMenuRow {
    let to = |kind, name: &str| Target { kind, name: name.into() };
    IvrMenuRow {
        number: Some("800".into()),
        greeting: Some(MediaPath("prompts/welcome.wav".into())),
        timeout_seconds: 8,
        max_failures: 3,
        direct_dial: true,
        options: vec![
            IvrOptionRow { digits: "1".into(), target: to(DestinationKind::RingGroup, "sales") },
            IvrOptionRow { digits: "2".into(), target: to(DestinationKind::Voicemail, "user-100") },
        ],
        otherwise: Some(to(DestinationKind::Extension, "user-100")),
        no_input: None,
        invalid_input: None,
    }
}
