//! Sample values. Every template is rendered with them when it is loaded, so that a broken override is
//! refused at start and not found by a call.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::Serialize;
use tera::Context;
use uuid::Uuid;

use super::configuration::*;
use super::directory::{Callee, Credentials, Domain, Group, Mailbox, Member, User};
use super::render::Dialplan;
use crate::route::{Action, names};
use crate::secrets::a1_hash::REALM;

const DOMAIN: &str = "acme.example.com";
const USER: &str = "1001";

/// Every template that makes a document, with sample values.
pub(super) fn all() -> Vec<(&'static str, Context)> {
    let dial_string = || format!("sofia/internal/{USER}%{DOMAIN}");
    let action = Action { application: "answer", data: String::new() };
    let user = User {
        domain: DOMAIN,
        user: USER,
        extension: USER,
        tenant: "tenant",
        context: "context",
        time_zone: "Europe/Berlin",
    };
    let samples = [
        ("chatplan/final.xml", Some(Context::new())),
        ("configuration/acl.xml", values(&acl())),
        ("configuration/callcenter.xml", values(&callcenter())),
        ("configuration/conference.xml", values(&conferences())),
        ("configuration/fifo.xml", Some(Context::new())),
        ("configuration/local_stream.xml", values(&local_streams())),
        ("configuration/sofia.xml", values(&sofia())),
        ("configuration/voicemail.xml", values(&voicemail())),
        (
            "dialplan/extension.xml",
            values(&Dialplan { context: "context", extension: "extension", actions: &[action] }),
        ),
        (
            "directory/auth.xml",
            values(&Credentials {
                user,
                device: "desk",
                a1_hash: "a1_hash",
                domain_name: DOMAIN,
                is_browser: true,
            }),
        ),
        ("directory/call.xml", values(&Callee { user, dial_string: dial_string() })),
        ("directory/user.xml", values(&user)),
        ("directory/domain.xml", values(&Domain { domain: DOMAIN, users: vec![USER] })),
        (
            "directory/group.xml",
            values(&Group {
                domain: DOMAIN,
                group: "sales",
                members: vec![Member { user: USER, dial_string: dial_string() }],
            }),
        ),
        (
            "directory/voicemail.xml",
            values(&Mailbox {
                domain: DOMAIN,
                user: USER,
                enabled: true,
                pin: "1234",
                storage_dir: "/media".to_owned(),
                time_zone: "Europe/Berlin",
            }),
        ),
        ("ivr/menu.xml", values(&menu())),
    ];
    samples.into_iter().filter_map(|(name, values)| Some((name, values?))).collect()
}

fn values<T: Serialize>(sample: &T) -> Option<Context> {
    Context::from_serialize(sample).ok()
}

fn acl() -> AccessControl {
    let network = IpNet::from(std::net::IpAddr::from([192, 0, 2, 1]));
    AccessControl { name: names::TRUNKS_ACL, networks: BTreeSet::from([network]) }
}

fn callcenter() -> CallCenter {
    let (agent, queue) = (names::agent(Uuid::nil(), USER), names::queue(Uuid::nil(), "support"));
    CallCenter {
        queues: vec![Queue {
            name: queue.clone(),
            strategy: "ring-all",
            music: "/media".to_owned(),
            max_wait: 600,
            no_agent_wait: 59,
            no_agent_grace: 1,
            tiered: true,
        }],
        agents: vec![Agent { name: agent.clone(), contact: format!("user/{USER}@{DOMAIN}"), wrap_up: 10 }],
        tiers: vec![Tier { agent, queue, level: 1, position: 1 }],
    }
}

fn conferences() -> Conferences<'static> {
    Conferences {
        rooms: vec![Room { name: "room", max_members: 50, pin: "1234", music: "/media".to_owned() }],
    }
}

fn local_streams() -> LocalStreams {
    LocalStreams {
        streams: vec![Stream { name: names::music_stream(Uuid::nil()), path: "/media".to_owned() }],
    }
}

fn voicemail() -> Voicemail {
    Voicemail {
        profile: names::VOICEMAIL_PROFILE,
        context: names::UNROUTED_CONTEXT,
        storage_dir: "/media".to_owned(),
    }
}

fn menu() -> Menu<'static> {
    let entries = vec![Entry { digits: "1".to_owned(), param: "transfer 1001 XML context".to_owned() }];
    Menu {
        name: "menu",
        greeting: "/media".to_owned(),
        timeout: 8000,
        max_failures: 3,
        digit_len: 1,
        on_no_input: Some("transfer 1002 XML context".to_owned()),
        on_invalid_input: Some("transfer 1003 XML context".to_owned()),
        entries,
    }
}

fn sofia() -> Sofia<'static> {
    let gateway = Gateway {
        name: "gw-1".to_owned(),
        proxy: "carrier.example".to_owned(),
        next_hop: Some(NextHop {
            uri: "sip:192.0.2.1:5060".to_owned(),
            route: "sip:192.0.2.1:5060;transport=tcp".to_owned(),
        }),
        realm: "carrier.example",
        from_domain: "carrier.example",
        transport: "tcp",
        register: true,
        username: "user".to_owned(),
        auth_username: "login",
        password: "password",
        contact_user: Some("user"),
        caller_in_from: true,
        expiry: 600,
        ping: Some(30),
        context: names::INBOUND_CONTEXT,
    };
    let profile = |phones, gateways| Profile {
        name: if phones { "internal" } else { "external" },
        settings: true,
        phones,
        context: names::UNROUTED_CONTEXT,
        realm: REALM,
        acl: names::TRUNKS_ACL,
        sip_port: 5060,
        tls_port: Some(5061),
        ws_port: Some(5066),
        bind_address: Some("192.0.2.2"),
        is_ipv6: false,
        external_address: Some("192.0.2.3"),
        codecs: "PCMA".to_owned(),
        domains: vec![DOMAIN],
        gateways,
    };
    Sofia { profiles: vec![profile(true, Vec::new()), profile(false, vec![gateway])] }
}
