//! Hostile text in every field of a plan that reaches an answer, and in every field of a request, stays text.
//! Compile refuses most of it earlier; these tests hold without compile.

use std::sync::Arc;

use centrex::freeswitch::xml::form::Form;
use centrex::freeswitch::xml::{Answer, Answers, Section};
use centrex::plan::*;
use centrex::route::names;
use proptest::prelude::*;

use super::sample::{self, TENANT_A};
use super::tree::Node;
use centrex::secrets::a1_hash::hash_passwords;

/// Text that has a meaning to XML, to the preprocessor, to FreeSWITCH's expansion or to a shell.
fn hostile() -> impl Strategy<Value = String> {
    let known = [
        "${system(id)}",
        "$${base_dir}",
        "\"/><action application=\"system\" data=\"id\"/><x y=\"",
        "'/>]]><X-PRE-PROCESS cmd='exec' data='id'/>",
        "<!--#exec \"id\" -->",
        "<?xml version=\"1.0\"?>",
        "</include>",
        "a\r\nb\0c\td",
        ",|:_:^^{}[]<>()",
        "x-pre-\u{0}process",
        "..%2f..%2fetc%2fpasswd",
        "&#36;{x}&quot;&lt;",
        "{^^;a=b}user/1@x",
        "\u{202e}\u{feff}\u{fffe}",
    ];
    prop_oneof![
        proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        "[\\x00-\\x7f]{0,40}",
        any::<String>(),
    ]
}

/// The sample with one text in every field of tenant A that an answer holds.
fn poisoned(text: &str) -> Arc<Answers> {
    let mut plan = sample::tenant(TENANT_A, "tenant-a.test");
    let text = || text.to_owned();
    plan.tenant.time_zone = text();
    plan.tenant.display_name = text();
    plan.tenant.domains.push(text());
    plan.tenant.music_on_hold = Some(MediaPath(text()));
    let mut secrets = Secrets::default();
    secrets.insert(SecretName::Pin, text());
    secrets.insert(SecretName::Password, text());
    for extension in plan.extensions.values_mut() {
        extension.secrets = secrets.clone();
        extension.display_name = text();
    }
    let mut odd = sample::extension(&text(), None);
    odd.secrets = secrets.clone();
    plan.extensions.insert("odd".into(), odd);
    for group in plan.ring_groups.values_mut() {
        group.members.push(MemberRow { extension: "odd".into(), delay_seconds: 0, ring_seconds: 20 });
    }
    for queue in plan.queues.values_mut() {
        queue.music_on_hold = Some(MediaPath(text()));
        queue.agents.push(AgentRow { extension: "odd".into(), level: 1, position: 1 });
    }
    for menu in plan.ivr_menus.values_mut() {
        menu.greeting = Some(MediaPath(text()));
        menu.options.push(IvrOptionRow {
            digits: text(),
            target: Target { kind: centrex::resources::common::DestinationKind::Extension, name: text() },
        });
    }
    for conference in plan.conferences.values_mut() {
        conference.secrets = secrets.clone();
    }
    let mut platform = sample::platform();
    for profile in platform.sip_profiles.values_mut() {
        profile.bind_address = Some(text());
        profile.external_address = Some(text());
        profile.codecs.push(text());
    }
    for trunk in platform.trunks.values_mut() {
        // A gateway without name or password is omitted.
        let username = format!("u{}", text());
        trunk.secrets.insert(SecretName::Password, format!("p{}", text()));
        trunk.registration = Some(RegistrationRow {
            username,
            realm: Some(text()),
            auth_username: Some(text()),
            contact_user: Some(text()),
            expiry_seconds: 600,
        });
        for gateway in &mut trunk.gateways {
            gateway.host = text();
        }
    }
    hash_passwords(&mut plan);
    sample::answers(platform, vec![plan])
}

/// Lookups that reach every template.
fn lookups() -> Vec<(Section, String)> {
    let directory = |fields: &str| {
        let basic = "section=directory&tag_name=domain&key_name=name&key_value=tenant-a.test";
        (Section::Directory, format!("{basic}&{fields}"))
    };
    let configuration = |file: &str, fields: &str| {
        let basic = "section=configuration&tag_name=configuration&key_name=name&key_value=";
        (Section::Configuration, format!("{basic}{file}&{fields}"))
    };
    vec![
        directory(
            "action=sip_auth&sip_profile=internal&sip_auth_username=100&sip_auth_realm=tenant-a.test\
             &sip_auth_method=INVITE&sip_from_host=tenant-a.test&user=100&domain=tenant-a.test",
        ),
        directory("action=user_call&user=100&domain=tenant-a.test"),
        directory("user=100&domain=tenant-a.test"),
        directory("action=voicemail-lookup&user=100&domain=tenant-a.test"),
        directory("group_name=sales&domain=tenant-a.test"),
        directory(""),
        configuration("sofia.conf", ""),
        configuration("acl.conf", ""),
        configuration("ivr.conf", &format!("Menu-Name={}", names::menu(TENANT_A, "main"))),
        configuration("callcenter.conf", ""),
        configuration("callcenter.conf", &format!("CC-Queue={}", names::queue(TENANT_A, "support"))),
        configuration("conference.conf", &format!("profile_name={}", names::room(TENANT_A, "room1"))),
        configuration("local_stream.conf", ""),
        configuration("voicemail.conf", ""),
    ]
}

/// Panics unless a document is inert, and returns it.
fn inert(answer: &Answer) -> Node {
    let Answer::Document(document) = answer else { panic!("not found") };
    let text = std::str::from_utf8(document).unwrap();
    assert!(!text.contains(['$', '\n', '\r', '\t', '\0']), "{text}");
    assert!(!text.to_lowercase().contains("x-pre-process"), "{text}");
    for forbidden in ["<!", "<?", "<include>", "</include>", "]]>"] {
        assert!(!text.contains(forbidden), "{forbidden} in {text}");
    }
    Node::parse(text)
}

/// The elements of a document, without their attributes' values.
fn shape(node: &Node) -> (String, Vec<String>) {
    let attributes = node.attributes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",");
    (format!("{}[{attributes}]", node.name), node.children.iter().map(|child| shape(child).0).collect())
}

/// The escaped form of a text in an answer.
fn sanitised(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_text_in_a_plan_stays_text(text in hostile()) {
        let answers = poisoned(&text);
        let documents: Vec<Node> = lookups()
            .iter()
            .map(|(section, form)| inert(&answers.answer(*section, &Form::parse(form.as_bytes())).unwrap()))
            .collect();
        let clean = sanitised(&text);
        prop_assert_eq!(documents[0].value("timezone"), Some(clean.as_str()));
        let gateway = documents[6].all("gateway")[0];
        prop_assert_eq!(gateway.value("realm"), Some(clean.as_str()));
        prop_assert_eq!(gateway.value("from-domain"), Some(clean.as_str()));
        // `@` ends the user of a SIP URI.
        let (user, password) = (format!("u{clean}").replace('@', "%40"), format!("p{clean}"));
        prop_assert_eq!(gateway.value("username"), Some(user.as_str()));
        prop_assert_eq!(gateway.value("password"), Some(password.as_str()));
        let domains: Vec<_> = documents[6].all("alias").into_iter().map(|d| d.attribute("name").unwrap()).collect();
        prop_assert!(domains.contains(&clean.as_str()));
        // Only values differ from the answer to a harmless plan: the text created no element.
        for (document, name) in [(0, "auth"), (2, "user"), (13, "voicemail.conf")] {
            let (section, form) = &lookups()[document];
            let harmless = sample::sample_answers().answer(*section, &Form::parse(form.as_bytes())).unwrap();
            prop_assert_eq!(shape(&documents[document]), shape(&inert(&harmless)), "{}", name);
        }
    }

    #[test]
    fn hostile_text_never_becomes_a_file_or_a_leg(text in hostile()) {
        let answers = poisoned(&text);
        for (section, form) in lookups() {
            let document = inert(&answers.answer(section, &Form::parse(form.as_bytes())).unwrap());
            let params = document.all("param").into_iter();
            for param in params {
                let value = param.attribute("value").unwrap();
                match param.attribute("name").unwrap() {
                    "dial-string" => {
                        let built = value == "error/USER_NOT_REGISTERED" || value.starts_with("{^^;presence_id=");
                        prop_assert!(built, "{}", value);
                    }
                    "moh-sound" => prop_assert!(value.starts_with("/media/tenants/") || value.starts_with("local_stream://0000")),
                    "vm-password" => prop_assert!(value.bytes().all(|b| b.is_ascii_digit())),
                    _ => {}
                }
            }
            for stream in document.all("directory") {
            let path = stream.attribute("path").unwrap();
            assert!(path.starts_with("/media/tenants/") || path == "/media/none", "{path}");
            }
            for menu in document.all("menu") {
                let greeting = menu.attribute("greet-long").unwrap();
                prop_assert!(greeting == "silence_stream://500" || greeting.starts_with("/media/tenants/"));
            }
            for entry in document.all("entry") {
                prop_assert!(entry.attribute("param").unwrap().starts_with("transfer "));
            }
            for agent in document.all("agent") {
                let contact = agent.attribute("contact").unwrap();
                prop_assert!(contact.starts_with("[^^;leg_timeout=20]user/"), "{}", contact);
            }
        }
    }

    #[test]
    fn hostile_text_in_a_request_never_reaches_the_answer(field in 0usize..10, text in hostile()) {
        let names = ["user", "group_name", "Menu-Name", "CC-Queue", "profile_name", "gateway", "profile", "action", "purpose", "key"];
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answers = sample::sample_answers();
        for (section, form) in lookups() {
            let form = format!("{form}&{}={encoded}", names[field]);
            if let Answer::Document(_) = answers.answer(section, &Form::parse(form.as_bytes())).unwrap() {
                inert(&answers.answer(section, &Form::parse(form.as_bytes())).unwrap());
            }
        }
    }

    #[test]
    fn bodies_that_are_no_forms_are_answered_safely(body in proptest::collection::vec(any::<u8>(), 0..200), section in 0usize..4) {
        let section = Section::ALL[section];
        let mut form = format!("section={}&", section.name()).into_bytes();
        form.extend(body);
        if let answer @ Answer::Document(_) = sample::sample_answers().answer(section, &Form::parse(&form)).unwrap() {
            inert(&answer);
        }
    }
}
