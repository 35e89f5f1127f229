//! Configuration lookups, by file (contract §4, §9).

use centrex::freeswitch::xml::form::Form;
use centrex::freeswitch::xml::{AnswerError, Section};
use centrex::route::names;

use super::rules::{configuration, document};
use super::sample::{self, TENANT_A, TENANT_B};
use super::tree::Node;

fn names_of<'a>(node: &'a Node, element: &'a str) -> Vec<&'a str> {
    node.all(element).into_iter().filter_map(|node| node.attribute("name")).collect()
}

#[test]
fn profiles_are_hardened() {
    let sofia = configuration("sofia.conf", "");
    let phones = sofia.named("profile", "internal");
    for (name, value) in [
        ("auth-calls", "true"),
        ("accept-blind-auth", "false"),
        ("accept-blind-reg", "false"),
        ("auth-messages", "true"),
        ("auth-subscriptions", "true"),
        ("in-dialog-chat", "false"),
        ("nonce-ttl", "60"),
        ("multiple-registrations", "false"),
        ("sip-force-expires-max", "600"),
        ("challenge-realm", "centrex"),
        ("inbound-reg-force-matching-username", "true"),
        ("log-auth-failures", "true"),
        ("disable-register", "false"),
        ("manage-presence", "true"),
        ("rtp-timer-name", "soft"),
        ("context", "unrouted"),
        ("sip-port", "5060"),
        ("inbound-codec-prefs", "PCMA,PCMU"),
    ] {
        assert_eq!(phones.value(name), Some(value), "{name}");
    }
    for absent in [
        "force-register-domain",
        "force-register-db-domain",
        "force-subscription-domain",
        "presence-hosts",
        "apply-inbound-acl",
        "tls",
        "ws-binding",
        "wss-binding",
        "sip-ip",
        "ext-sip-ip",
    ] {
        assert_eq!(phones.value(absent), None, "{absent}");
    }
    let trunks = sofia.named("profile", "external");
    for (name, value) in [
        ("auth-calls", "true"),
        ("auth-calls-acl-only", "true"),
        ("apply-inbound-acl", "trunks"),
        ("accept-blind-auth", "false"),
        ("accept-blind-reg", "false"),
        ("in-dialog-chat", "false"),
        ("log-auth-failures", "true"),
        ("disable-register", "true"),
        ("manage-presence", "false"),
        ("context", "inbound"),
        ("sip-port", "5080"),
    ] {
        assert_eq!(trunks.value(name), Some(value), "{name}");
    }
}

#[test]
fn addresses_and_encryption_of_a_profile() {
    let mut platform = sample::platform();
    let profile = platform.sip_profiles.get_mut("internal").unwrap();
    profile.bind_address = Some("2001:db8::1".into());
    profile.external_address = Some("sip.example.com".into());
    profile.tls_port = Some(5061);
    let answers = sample::answers(platform, Vec::new());
    let form =
        "section=configuration&tag_name=configuration&key_name=name&key_value=sofia.conf&profile=internal";
    let answer = document(&answers.answer(Section::Configuration, &Form::parse(form.as_bytes())).unwrap());
    for (name, value) in [
        ("sip-ip", "2001:db8::1"),
        ("rtp-ip", "2001:db8::1"),
        ("ext-sip-ip", "sip.example.com"),
        ("ext-rtp-ip", "sip.example.com"),
        ("tls", "true"),
        ("tls-sip-port", "5061"),
    ] {
        assert_eq!(answer.value(name), Some(value), "{name}");
    }
}

#[test]
fn gateways_have_the_settings_of_their_trunk() {
    let sofia = configuration("sofia.conf", "");
    let first = sample::key().gateway_name(sample::TRUNK, 0);
    let gateway = sofia.named("profile", "external").named("gateway", &first);
    for (name, value) in [
        ("proxy", "sip.carrier.test:5060"),
        ("realm", "sip.carrier.test"),
        ("register", "true"),
        ("username", "centrex"),
        ("password", "carrier-password"),
        ("expire-seconds", "600"),
        ("register-transport", "udp"),
        ("extension", "auto_to_user"),
        ("caller-id-in-from", "true"),
        ("context", "inbound"),
    ] {
        assert_eq!(gateway.value(name), Some(value), "{name}");
    }
    assert!(sofia.named("profile", "internal").all("gateway").is_empty());
}

#[test]
fn a_registering_gateway_without_a_password_is_omitted() {
    let mut platform = sample::platform();
    platform.trunks.get_mut("carriers/carrier").unwrap().secrets = Default::default();
    let answers = sample::answers(platform, Vec::new());
    let form = "section=configuration&tag_name=configuration&key_name=name&key_value=sofia.conf";
    let answer = document(&answers.answer(Section::Configuration, &Form::parse(form.as_bytes())).unwrap());
    assert!(answer.all("gateway").is_empty());
}

#[test]
fn sofia_gets_only_the_profile_or_gateway_it_asks_for() {
    let one = configuration("sofia.conf", "profile=internal&reconfig=true");
    assert_eq!(names_of(&one, "profile"), ["internal"]);
    assert!(configuration("sofia.conf", "profile=nope").all("profile").is_empty());
    let all = configuration("sofia.conf", "profile=external&reconfig=true&gateway=_all_");
    assert_eq!((all.all("gateway").len(), all.all("settings").len()), (2, 0));
    let second = sample::key().gateway_name(sample::TRUNK, 1);
    let only = configuration("sofia.conf", &format!("profile=external&reconfig=true&gateway={second}"));
    assert_eq!(names_of(&only, "gateway"), [second.as_str()]);
    let none = configuration("sofia.conf", "profile=external&reconfig=true&gateway=nope");
    assert!(none.all("gateway").is_empty());
}

#[test]
fn without_the_signing_key_the_lookup_of_gateways_fails() {
    let answers = sample::sample_answers();
    let keyless = centrex::freeswitch::xml::Answers {
        replica: answers.replica.clone(),
        key: Default::default(),
        media: answers.media.clone(),
        templates: centrex::freeswitch::xml::templates::Templates::built_in().unwrap(),
        running: Default::default(),
        emergencies: Default::default(),
    };
    let form = "section=configuration&tag_name=configuration&key_name=name&key_value=sofia.conf";
    let error = keyless.answer(Section::Configuration, &Form::parse(form.as_bytes())).unwrap_err();
    assert!(matches!(error, AnswerError::NotReady(_)), "{error}");
}

#[test]
fn the_acl_allows_only_addresses_of_trunks() {
    let acl = configuration("acl.conf", "");
    let list = acl.one("list");
    assert_eq!((list.attribute("name"), list.attribute("default")), (Some("trunks"), Some("deny")));
    let nodes: Vec<_> =
        acl.all("node").into_iter().map(|node| (node.attribute("type"), node.attribute("cidr"))).collect();
    assert_eq!(nodes, [(Some("allow"), Some("198.51.100.0/24"))]);
}

#[test]
fn a_lookup_of_a_menu_returns_that_menu_only() {
    let name = names::menu(TENANT_A, "main");
    let answer = configuration("ivr.conf", &format!("Menu-Name={name}"));
    let menu = answer.one("menu");
    let greeting = "/media/tenants/00000000-0000-4000-8000-a00000000000/prompts/welcome.wav";
    for (attribute, value) in [
        ("name", name.as_str()),
        ("greet-long", greeting),
        ("timeout", "8000"),
        ("max-failures", "3"),
        ("digit-len", "3"),
    ] {
        assert_eq!(menu.attribute(attribute), Some(value), "{attribute}");
    }
    let entries = menu.all("entry");
    assert_eq!(entries.len(), 3, "two choices and direct dialling");
    for entry in &entries {
        assert_eq!(entry.attribute("action"), Some("menu-exec-app"));
        let param = entry.attribute("param").unwrap();
        assert!(param.starts_with("transfer ") && param.ends_with(&format!(" XML {TENANT_A}")), "{param}");
    }
    assert_eq!(entries[2].attribute("digits"), Some(r"/\A(100|101|200|300|600|700|701|800|900)\z/"));
    for name in ["main", &names::menu(TENANT_A, "nope"), &names::menu(sample::SUSPENDED, "main")] {
        assert!(configuration("ivr.conf", &format!("Menu-Name={name}")).is_not_found(), "{name}");
    }
    assert!(configuration("ivr.conf", "").is_not_found());
}

#[test]
fn a_lookup_of_a_queue_returns_its_agents_and_tiers() {
    let name = names::queue(TENANT_A, "billing");
    let answer = configuration("callcenter.conf", &format!("CC-Queue={name}"));
    assert_eq!(names_of(&answer, "queue"), [name.as_str()]);
    let queue = answer.one("queue");
    assert_eq!(queue.value("strategy"), Some("round-robin"));
    assert_eq!(queue.value("max-wait-time"), Some("600"));
    assert_eq!(queue.value("max-wait-time-with-no-agent"), Some("1"));
    assert_eq!(queue.value("max-wait-time-with-no-agent-time-reached"), Some("0"));
    assert_eq!(queue.value("moh-sound"), Some(format!("local_stream://{TENANT_A}").as_str()));
    let agent = answer.one("agent");
    assert_eq!(agent.attribute("name"), Some(names::agent(TENANT_A, "101").as_str()));
    let contact = agent.attribute("contact").unwrap();
    assert!(contact.contains("leg_timeout=20") && contact.ends_with("]user/101@tenant-a.test"), "{contact}");
    assert_eq!((agent.attribute("type"), agent.attribute("status")), (Some("callback"), Some("Available")));
    let tier = answer.one("tier");
    assert_eq!(
        (tier.attribute("agent"), tier.attribute("queue")),
        (agent.attribute("name"), Some(name.as_str()))
    );
    for name in ["billing", &names::queue(TENANT_A, "nope"), &names::queue(sample::SUSPENDED, "billing")] {
        assert!(configuration("callcenter.conf", &format!("CC-Queue={name}")).is_not_found(), "{name}");
    }
}

#[test]
fn a_lookup_without_a_name_returns_all_queues_agents_and_tiers() {
    let answer = configuration("callcenter.conf", "");
    assert_eq!(answer.all("queue").len(), 4);
    assert_eq!(answer.all("agent").len(), 4, "an agent of two queues is one agent");
    assert_eq!(answer.all("tier").len(), 6);
}

#[test]
fn a_room_has_the_profile_of_its_name() {
    let name = names::room(TENANT_B, "room1");
    let answer = configuration("conference.conf", &format!("conference_name={name}&profile_name={name}"));
    let profile = answer.one("profile");
    assert_eq!(profile.attribute("name"), Some(name.as_str()));
    assert_eq!((profile.value("pin"), profile.value("max-members")), (Some("4711"), Some("20")));
    let controls = format!("Conf-Name={name}&Conf-Profile={name}&Action=request-controls&Controls=default");
    let answer = configuration("conference.conf", &controls);
    assert_eq!(names_of(&answer, "group"), ["default"]);
    assert!(answer.all("profile").is_empty(), "a lookup of keys returns no PIN");
    for name in ["default", "room1", &names::room(TENANT_B, "nope"), &names::room(sample::SUSPENDED, "room1")]
    {
        assert!(configuration("conference.conf", &format!("profile_name={name}")).is_not_found(), "{name}");
    }
}

#[test]
fn every_tenants_hold_music_is_a_stream_of_its_own() {
    let answer = configuration("local_stream.conf", "");
    let streams: Vec<_> = answer
        .all("directory")
        .into_iter()
        .map(|node| (node.attribute("name"), node.attribute("path")))
        .collect();
    let (a, b) = (TENANT_A.to_string(), TENANT_B.to_string());
    let path = |id: &str| format!("/media/tenants/{id}/music_on_hold");
    // The first stream belongs to no tenant: without any stream the module would not load.
    let expected =
        [("none".to_owned(), "/media/none".to_owned()), (a.clone(), path(&a)), (b.clone(), path(&b))];
    assert_eq!(streams, expected.each_ref().map(|(name, path)| (Some(name.as_str()), Some(path.as_str()))));
}

#[test]
fn voicemail_asks_for_a_pin_and_sends_no_mail() {
    let answer = configuration("voicemail.conf", "");
    let profile = answer.named("profile", "default");
    assert_eq!(profile.value("allow-empty-password-auth"), Some("false"));
    assert_eq!(profile.value("db-password-override"), Some("true"));
    assert!(answer.all("email").is_empty() && profile.value("operator-extension").is_none());
}

#[test]
fn other_configurations_are_not_found() {
    for file in [
        "switch.conf",
        "modules.conf",
        "event_socket.conf",
        "xml_cdr.conf",
        "post_load_modules.conf",
        "",
        "x",
    ] {
        assert!(configuration(file, "").is_not_found(), "{file}");
    }
}
