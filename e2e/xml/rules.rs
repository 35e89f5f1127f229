//! The contract's twelve rules, by number.

use centrex::freeswitch::xml::form::Form;
use centrex::freeswitch::xml::{Answer, Section};

use super::sample::{self, sample_answers};
use super::tree::Node;

/// The document that answers a form.
pub fn ask(section: Section, form: &str) -> Node {
    document(&answer_to(section, form))
}

fn answer_to(section: Section, form: &str) -> Answer {
    sample_answers().answer(section, &Form::parse(form.as_bytes())).unwrap()
}

/// An answer as FreeSWITCH reads it.
pub fn document(answer: &Answer) -> Node {
    match answer {
        Answer::Document(document) => Node::parse(std::str::from_utf8(document).unwrap()),
        Answer::NotFound => Node::parse(std::str::from_utf8(centrex::freeswitch::xml::NOT_FOUND).unwrap()),
    }
}

/// A directory lookup in a domain.
pub fn directory(domain: &str, fields: &str) -> Node {
    let basic = "hostname=vm&section=directory&tag_name=domain&key_name=name&key_value=";
    ask(Section::Directory, &format!("{basic}{domain}&{fields}&domain={domain}"))
}

/// A configuration lookup.
pub fn configuration(file: &str, fields: &str) -> Node {
    let basic = "hostname=vm&section=configuration&tag_name=configuration&key_name=name&key_value=";
    ask(Section::Configuration, &format!("{basic}{file}&{fields}"))
}

const AUTH: &str = "action=sip_auth&sip_profile=internal&sip_auth_username=100&sip_auth_realm=tenant-a.test\
    &sip_from_user=100&sip_from_host=tenant-a.test&sip_to_user=100&sip_to_host=tenant-a.test\
    &sip_auth_method=REGISTER&key=id&user=100";

/// The lookup of a REGISTER with one field changed.
fn auth_with(field: &str, value: &str) -> Node {
    let changed: Vec<String> = AUTH
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if name == field => format!("{name}={value}"),
            _ => pair.to_owned(),
        })
        .collect();
    directory("tenant-a.test", &changed.join("&"))
}

/// Configuration files that are answered, each with the fields of its lookup.
const CONFIGURATIONS: [(&str, &str); 8] = [
    ("sofia.conf", ""),
    ("acl.conf", ""),
    ("ivr.conf", "Menu-Name=main.00000000-0000-4000-8000-a00000000000"),
    ("callcenter.conf", ""),
    ("conference.conf", "profile_name=room1-00000000-0000-4000-8000-a00000000000"),
    ("local_stream.conf", ""),
    ("voicemail.conf", ""),
    ("fifo.conf", ""),
];

#[test]
fn rule_1_nothing_in_an_answer_is_for_the_preprocessor() {
    let mut plan = sample::tenant(sample::TENANT_A, "tenant-a.test");
    let hostile = "X-PRE-PROCESS cmd=\"exec\" data=\"id\" $${base_dir} <x-pre-process/>";
    plan.tenant.time_zone = hostile.to_owned();
    let answers = sample::answers(sample::platform(), vec![plan]);
    let form = "section=directory&tag_name=domain&key_name=name&key_value=tenant-a.test&user=100&domain=tenant-a.test";
    let answer = answers.answer(Section::Directory, &Form::parse(form.as_bytes())).unwrap();
    let Answer::Document(bytes) = &answer else { panic!("{answer:?}") };
    let text = std::str::from_utf8(bytes).unwrap().to_lowercase();
    assert!(!text.contains("x-pre-process") && !text.contains('$'), "{text}");
    assert_eq!(document(&answer).value("timezone"), Some(hostile), "the parser reads the unchanged value");
}

#[test]
fn rule_2_no_answer_has_a_prolog_or_a_second_line() {
    let mut answers = vec![answer_to(Section::Chatplan, "section=chatplan")];
    for (file, fields) in CONFIGURATIONS {
        let basic = "section=configuration&tag_name=configuration&key_name=name&key_value=";
        answers.push(answer_to(Section::Configuration, &format!("{basic}{file}&{fields}")));
    }
    for fields in [AUTH, "action=user_call&user=100", "action=voicemail-lookup&user=100", "group_name=sales"]
    {
        let basic = "section=directory&tag_name=domain&key_name=name&key_value=tenant-a.test";
        answers.push(answer_to(Section::Directory, &format!("{basic}&{fields}&domain=tenant-a.test")));
    }
    for answer in answers {
        let Answer::Document(document) = answer else { panic!("not found") };
        let text = std::str::from_utf8(&document).unwrap();
        assert!(!text.contains("<?") && !text.contains('\n') && !text.contains("<!"), "{text}");
        assert!(!text.contains("<include>") && !text.contains("</include>"), "{text}");
    }
}

#[test]
fn rule_3_form_fields_injected_by_a_realm_are_ignored() {
    let injected = "section=directory&tag_name=domain&key_name=name&key_value=tenant-b.test&user=200\
        &key_value=tenant-a.test&key=id&user=100&domain=tenant-b.test%26user%3D200%26key_value%3Dtenant-a.test";
    assert!(ask(Section::Directory, injected).is_not_found());
    // Values that FreeSWITCH posts raw and encoded are read alike, or the lookup is not answered.
    let differ = "section=directory&tag_name=domain&key_name=name&key_value=tenant-a.test&key=id&user=100\
        &domain=tenant-b.test";
    assert!(ask(Section::Directory, differ).is_not_found());
    for domain in ["tenant%2da.test", "1tenant.test", "tenant-a.test..", "*", "%", "centrex"] {
        assert!(directory(domain, "key=id&user=100").is_not_found(), "{domain}");
    }
    for domain in ["TENANT-A.TEST", "tenant-a.test."] {
        let answer = directory(domain, "key=id&user=100");
        assert_eq!(answer.one("domain").attribute("name"), Some(domain), "as FreeSWITCH asks");
    }
}

#[test]
fn rule_4_a_phone_may_spell_its_domain_in_any_way() {
    let auth = |from: &str, to: &str, realm: &str| {
        let spelt = AUTH
            .replace("sip_auth_realm=tenant-a.test", &format!("sip_auth_realm={realm}"))
            .replace("sip_from_host=tenant-a.test", &format!("sip_from_host={from}"))
            .replace("sip_to_host=tenant-a.test", &format!("sip_to_host={to}"));
        directory(realm, &spelt)
    };
    let known = auth("tenant-a.test", "tenant-a.test", "centrex");
    for (from, to) in [("Tenant-A.Test", "TENANT-A.test"), ("tenant-a.test.", "tenant-a.test")] {
        let answer = auth(from, to, "centrex");
        assert_eq!(answer.one("domain").attribute("name"), Some("centrex"));
        assert_eq!(answer.value("centrex_tenant"), Some("00000000-0000-4000-8000-a00000000000"));
        assert_eq!(answer.value("mwi-account"), Some("100@tenant-a.test"));
        assert_eq!(answer.value("a1-hash"), known.value("a1-hash"));
    }
    assert!(auth("tenant-a.test", "tenant-b.test", "centrex").is_not_found());
    assert!(auth("tenant-b.test", "tenant-a.test", "centrex").is_not_found());
    assert!(auth("centrex", "centrex", "centrex").is_not_found());
    // There is no hash of another spelling.
    assert!(auth("tenant-a.test", "tenant-a.test", "TENANT-A.TEST").is_not_found());
    let other = auth("tenant-b.test", "tenant-b.test", "centrex");
    assert_ne!(other.value("centrex_tenant"), known.value("centrex_tenant"), "another tenant's 100");
}

#[test]
fn rule_4_a_phone_registers_as_itself_in_its_own_domain() {
    let answer = directory("tenant-a.test", AUTH);
    assert_eq!(answer.one("user").attribute("id"), Some("100"));
    for (field, value) in [
        ("sip_auth_username", "101"),
        ("sip_auth_realm", "tenant-b.test"),
        ("sip_from_host", "tenant-b.test"),
        ("sip_to_host", "tenant-b.test"),
        ("sip_to_user", "101"),
        ("user", "101"),
        ("sip_profile", "external"),
        ("sip_profile", "nope"),
    ] {
        assert!(auth_with(field, value).is_not_found(), "{field}={value}");
    }
    for missing in ["sip_auth_username", "sip_auth_realm", "sip_from_host", "sip_to_host", "sip_to_user"] {
        let fields: Vec<&str> = AUTH.split('&').filter(|pair| !pair.starts_with(missing)).collect();
        assert!(directory("tenant-a.test", &fields.join("&")).is_not_found(), "without {missing}");
    }
    // Only a REGISTER has its own address as To.
    assert!(!auth_with("sip_auth_method", "INVITE").is_not_found());
    let call = AUTH.replace("REGISTER", "INVITE").replace("sip_to_user=100", "sip_to_user=101");
    assert!(!directory("tenant-a.test", &call).is_not_found());
}

// A subscription publishes calls with their identities, with which a call can be taken over.
#[test]
fn rule_4_a_phone_subscribes_to_its_own_tenant_only() {
    let subscribe = AUTH.replace("REGISTER", "SUBSCRIBE");
    let to = |user: &str, host: &str| {
        let form = subscribe
            .replace("sip_to_user=100", &format!("sip_to_user={user}"))
            .replace("sip_to_host=tenant-a.test", &format!("sip_to_host={host}"));
        !directory("tenant-a.test", &form).is_not_found()
    };
    for user in ["100", "101", "park%2B5", "%2B4930123456", ""] {
        assert!(to(user, "tenant-a.test"), "{user}");
        assert!(!to(user, "tenant-b.test"), "{user}");
    }
    for user in ["sip%2B200%2Btenant-b.test", "%2B200%2Btenant-b.test", "sip%2B200%40tenant-b.test"] {
        assert!(!to(user, "tenant-a.test"), "{user}");
    }
    let without: Vec<&str> = subscribe.split('&').filter(|pair| !pair.starts_with("sip_to_host")).collect();
    assert!(directory("tenant-a.test", &without.join("&")).is_not_found());
}

// FreeSWITCH stores the Call-ID, and lists it with every registration in an answer that must stay short.
#[test]
fn a_phone_with_an_endless_call_id_does_not_register() {
    let with = |length: usize| format!("{AUTH}&sip_call_id={}", "a".repeat(length));
    assert!(!directory("tenant-a.test", &with(256)).is_not_found());
    assert!(directory("tenant-a.test", &with(257)).is_not_found());
}

#[test]
fn rule_5_a_user_without_password_is_not_authenticated() {
    let form = AUTH.replace("username=100", "username=300").replace("user=100", "user=300");
    assert!(directory("tenant-a.test", &form).is_not_found());
    let answer = directory("tenant-a.test", AUTH);
    // MD5 of `100:tenant-a.test:pw100`.
    assert_eq!(answer.value("a1-hash"), Some("29fc0066f0243fef1a16deceab7faf30"));
    assert_eq!(answer.value("allow-empty-password"), Some("false"));
    assert_eq!(answer.value("password"), None);
    // The other tenant's user of that number has a hash of its own.
    let other = directory("tenant-b.test", &AUTH.replace("tenant-a.test", "tenant-b.test"));
    assert_ne!(other.value("a1-hash"), answer.value("a1-hash"));
}

#[test]
fn rule_6_no_user_is_cached_by_freeswitch() {
    for fields in [AUTH, "action=user_call&user=100", "key=id&user=100", "action=voicemail-lookup&user=100"] {
        for user in directory("tenant-a.test", fields).all("user") {
            let names: Vec<&str> = user.attributes.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["id"], "no cacheable, no type, no ip, no alias");
        }
    }
}

#[test]
fn rule_7_a_message_runs_no_command() {
    for profile in configuration("sofia.conf", "").all("profile") {
        assert_eq!(profile.value("enable-chat"), Some("false"));
    }
    let message = |to_proto: &str, to: &str, to_user: &str, to_host: &str| {
        let form = format!(
            "section=chatplan&proto=sip&to_proto={to_proto}&dest_proto={to_proto}&from_user=100\
             &from_host=tenant-a.test&to_user={to_user}&to_host={to_host}&to={to}&context=public"
        );
        ask(Section::Chatplan, &form)
    };
    let applications = |node: &Node| {
        let actions = node.all("action").into_iter().filter_map(|action| action.attribute("application"));
        actions.map(str::to_owned).collect::<Vec<_>>()
    };
    for (to_proto, to, to_user, to_host) in [
        ("api", "system%20id", "api%2Bsystem%20id", "tenant-a.test"),
        ("sip", "101@tenant-b.test", "101", "tenant-b.test"),
        ("sip", "system", "101", "tenant-a.test"),
        ("sip", "api%2Bx@tenant-a.test", "api%2Bx", "tenant-a.test"),
        ("", "", "", ""),
    ] {
        let answer = message(to_proto, to, to_user, to_host);
        assert_eq!(applications(&answer), ["final"], "{to_proto} {to}");
    }
    // A message inside the tenant is delivered.
    assert!(message("sip", "101@tenant-a.test", "101", "tenant-a.test").is_not_found());
}

#[test]
fn rule_8_a_gateways_name_cannot_be_guessed_and_gives_no_rights() {
    let sofia = configuration("sofia.conf", "");
    let gateways = sofia.all("gateway");
    assert_eq!(gateways.len(), 2);
    for (index, gateway) in gateways.iter().enumerate() {
        let name = gateway.attribute("name").unwrap();
        assert_eq!(name, sample::key().gateway_name(sample::TRUNK, index));
        assert!(name.len() >= 32 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
        assert!(gateway.all("variable").is_empty(), "no variable that a phone could give itself");
        assert_eq!(gateway.value("context"), Some("inbound"));
    }
}

#[test]
fn rule_9_logins_by_verto_or_to_the_switch_are_refused() {
    for action in ["jsonrpc-authenticate", "event_socket_auth"] {
        let answer = directory("tenant-a.test", &format!("action={action}&key=id&user=100"));
        assert!(answer.is_not_found(), "{action}");
    }
    assert!(directory("tenant-a.test", "number_alias=check&key=id&user=100").is_not_found());
    assert!(configuration("verto.conf", "").is_not_found());
    assert!(configuration("event_socket.conf", "").is_not_found());
}

#[test]
fn rule_10_registers_do_not_wait_for_each_other() {
    let sofia = configuration("sofia.conf", "");
    assert!(sofia.one("global_settings").value("max-reg-threads").unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(sofia.named("profile", "internal").value("inbound-reg-in-new-thread"), Some("true"));
}

#[test]
fn rule_11_every_domain_of_a_served_tenant_is_an_alias_of_one_profile() {
    let sofia = configuration("sofia.conf", "");
    let domains: Vec<_> =
        sofia.all("alias").into_iter().map(|alias| alias.attribute("name").unwrap()).collect();
    assert_eq!(domains, ["tenant-a.test", "tenant-b.test"]);
    assert_eq!(sofia.named("profile", "internal").all("alias").len(), 2);
}

#[test]
fn rule_12_variables_have_names_from_a_fixed_list() {
    let known = ["user_context", "centrex_tenant", "centrex_extension", "timezone", "presence_id"];
    for fields in [AUTH, "action=user_call&user=100", "key=id&user=100", "action=voicemail-lookup&user=100"] {
        for variable in directory("tenant-a.test", fields).all("variable") {
            assert!(known.contains(&variable.attribute("name").unwrap()), "{variable:?}");
        }
    }
    let answer = directory("tenant-a.test", AUTH);
    assert_eq!(answer.value("user_context"), Some("00000000-0000-4000-8000-a00000000000"));
}

#[test]
fn rule_13_a_phone_cannot_refer_a_call() {
    for profile in configuration("sofia.conf", "").all("profile") {
        assert_eq!(profile.value("disable-transfer"), Some("true"));
    }
}
