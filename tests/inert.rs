//! FreeSWITCH expands no text of a tenant or a caller: hostile strings in every text that can reach an
//! action, and every action checked against the grammar of its application.
//!
//! These plans were never compiled: the strings are in fields whose patterns would refuse them. This tests
//! the second line of defence.

use std::borrow::Cow;
use std::sync::LazyLock;

use centrex::plan::*;
use centrex::resources::common::*;
use centrex::resources::feature_code::FeatureAction;
use centrex::resources::queue::QueueStrategy;
use centrex::resources::ring_group::RingStrategy;
use centrex::resources::sip_profile::Role;
use centrex::resources::tenant::DeletionPolicy;
use centrex::route::media::MediaRoot;
use centrex::route::{Answer, Call, Caller, TenantView, Tracer};
use centrex::secrets::signing_key::SigningKey;
use proptest::prelude::*;
use regex::Regex;
use uuid::Uuid;

use crate::hostile::HOSTILE;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(HOSTILE).prop_map(str::to_owned),
        (prop::sample::select(HOSTILE), "[ -~]{0,20}").prop_map(|(a, b)| format!("{b}{a}")),
        any::<String>(),
        "[a-z0-9]{1,8}",
    ]
}

/// The allowed data of each application.
static GRAMMAR: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(grammar);

fn grammar() -> Vec<(&'static str, Regex)> {
    let word = r"[A-Za-z0-9._@+*#/][A-Za-z0-9._@+*#/-]*";
    let codes = "%(?:2F|3A|40|25|24|5E)";
    let listed = format!(r#"(?:[^\x00-\x1f\x7f"'`<>\\\[\]{{}}|$@:/;^%]|{codes}){{0,64}}"#);
    let text = format!(r#"(?:[^\x00-\x1f\x7f"`<>\\\[\]{{}}|$@:/^%]|{codes}){{0,64}}"#);
    let list = format!(r"\^\^(;(sip_invite_[a-z_]+=user=phone|[A-Za-z_]+={word}(,{word})*))+");
    let leg = format!(r"(\[{list}\])?(user/{word}|sofia/gateway/{word})");
    let dial = format!(r"(\{{{list}\}})?{leg}([,|]{leg})*");
    let file = r"recordings/[0-9]{4}/[0-9]{2}/[0-9a-f-]{36}\.wav";
    let variable = format!(
        r"centrex_call={word}|centrex_called=\+?[0-9*#]{{1,32}}|ivr_menu_terminator=(#|none)|sip_copy_custom_headers=false|media(_hold)?_timeout=[0-9]+|export_vars=centrex_call(,centrex_emergency)?,media_timeout,media_hold_timeout|centrex_emergency=true|call_timeout=[0-9]+|continue_on_fail=(true|false|[A-Z_,]+)|cc_export_vars=centrex_call,media_timeout,media_hold_timeout|effective_caller_id_name={listed}|effective_caller_id_number=(anonymous|\+?[0-9*#]{{1,32}})|hangup_after_bridge=true|transfer_ringback=%\(1000,4000,425\)|hold_music=local_stream://{word}|timezone={word}|ringback=%\(1000,4000,425\)|last_bridge_proto_specific_hangup_cause=|RECORD_ANSWER_REQ=true|execute_on_answer=playback tone_stream://%\(500,250,1400\)|centrex_recording={file}"
    );
    let patterns = [
        ("playback", r"tone_stream://%\(500,250,1400\)".to_owned()),
        ("record_session", format!("/media/tenants/[0-9a-f-]{{36}}/{file}")),
        ("answer", String::new()),
        ("bridge", dial.clone()),
        ("callcenter", word.to_owned()),
        ("conference", word.to_owned()),
        ("echo", String::new()),
        ("hangup", "[A-Z_]+".to_owned()),
        ("ivr", word.to_owned()),
        ("limit", format!(r"hash {word} calls [0-9]+ ![A-Z_]+")),
        (
            "limit_execute",
            format!("(hash {word} rate [0-9]+/1 limit_execute )?hash {word} calls [0-9]+ bridge {dial}"),
        ),
        ("sched_hangup", r"\+[0-9]+ ALLOTTED_TIMEOUT".to_owned()),
        ("multiset", format!(r"\^\^(;({variable}))+")),
        // A name with an apostrophe or a semicolon would break a list.
        ("set", format!("{variable}|effective_caller_id_name={text}")),
        ("sleep", "[0-9]+".to_owned()),
        ("transfer", format!("{word} XML {word}")),
        ("valet_park", format!("{word} {word}")),
        ("voicemail", format!("(check (auth )?)?default {word} {word}")),
    ];
    patterns.map(|(app, pattern)| (app, Regex::new(&format!("^(?:{pattern})$")).unwrap())).into()
}

fn assert_inert(answer: &Answer) {
    for action in &answer.actions {
        let rule = GRAMMAR.iter().find(|(app, _)| *app == action.application);
        let (_, pattern) = rule.unwrap_or_else(|| panic!("no grammar for {}", action.application));
        assert!(pattern.is_match(&action.data), "{}({:?})", action.application, action.data);
    }
}

/// A plan in which every text is the test's string.
fn plan(text: &[String; 8]) -> TenantPlan {
    let [name, number, domain, zone, display, cid, mail, code] = text.clone();
    let to = |kind, name: &str| Target { kind, name: name.to_owned() };
    let mut plan = TenantPlan::empty(TenantRow {
        id: Uuid::from_u128(7),
        namespace: name.clone(),
        name: name.clone(),
        owner_uid: name.clone(),
        display_name: display.clone(),
        domains: vec![domain],
        suspended: false,
        time_zone: zone.clone(),
        country: None,
        caller_id: Some(CallerId {
            name: Some(display.clone()),
            number: Some(cid.clone()),
            direct: Some(true),
            privacy: None,
        }),
        emergency: Some(EmergencyRow {
            numbers: vec!["112".into()],
            trunk: Some("c/t".into()),
            others: Vec::new(),
            caller_id_number: Some(cid.clone()),
            ..EmergencyRow::default()
        }),
        max_concurrent_calls: Some(3),
        max_call_duration_seconds: Some(60),
        max_calls_abroad_per_day: None,
        cdr_days: None,
        music_on_hold: Some(MediaPath(name.clone())),
        recording_tone: true,
        deletion_policy: DeletionPolicy::Retain,
    });
    let extension = |number: &str, forwarding: ForwardingRow| ExtensionRow {
        number: number.to_owned(),
        display_name: display.clone(),
        caller_id: Some(CallerId {
            name: Some(display.clone()),
            number: Some(cid.clone()),
            direct: Some(true),
            privacy: None,
        }),
        emergency_location: None,
        ring_seconds: 20,
        toll_classes: vec!["Any".into()],
        countries_abroad: Vec::new(),
        recording: Recording::Always,
        voicemail: Some(VoicemailRow { email: Some(mail.clone()), asks_pin: false }),
        forwarding,
        secrets: Secrets::default(),
    };
    let voicemail = ForwardingRow {
        no_answer: Some(to(DestinationKind::Voicemail, "hostile")),
        busy: Some(to(DestinationKind::ExternalNumber, &cid)),
        ..ForwardingRow::default()
    };
    plan.extensions.insert("caller".into(), extension("1000", ForwardingRow::default()));
    plan.extensions.insert("hostile".into(), extension(&number, voicemail));
    plan.extensions.insert(name.clone(), extension("1002", ForwardingRow::default()));
    for (number, strategy) in [
        ("2001", RingStrategy::Simultaneous),
        ("2002", RingStrategy::Sequential),
        ("2003", RingStrategy::Random),
    ] {
        let member =
            |extension: &str| MemberRow { extension: extension.into(), delay_seconds: 3, ring_seconds: 9 };
        plan.ring_groups.insert(
            format!("{name}{number}"),
            RingGroupRow {
                number: Some(number.into()),
                strategy,
                members: vec![member("hostile"), member("caller"), member(&name)],
                no_answer: Some(to(DestinationKind::Voicemail, "hostile")),
            },
        );
    }
    plan.queues.insert(
        name.clone(),
        QueueRow {
            number: Some("3001".into()),
            strategy: QueueStrategy::RingAll,
            agents: vec![],
            max_wait_seconds: 9,
            no_agent_wait_seconds: 9,
            announce_position: false,
            ring_seconds: 9,
            wrap_up_seconds: 0,
            music_on_hold: None,
            overflow: Some(to(DestinationKind::RingGroup, &name)),
        },
    );
    plan.ivr_menus.insert(
        name.clone(),
        IvrMenuRow {
            number: Some("5001".into()),
            greeting: Some(MediaPath(name.clone())),
            timeout_seconds: 3,
            max_failures: 3,
            direct_dial: true,
            options: vec![],
            otherwise: Some(to(DestinationKind::Queue, &name)),
            no_input: Some(to(DestinationKind::Queue, &name)),
            invalid_input: None,
        },
    );
    plan.conferences.insert(
        name.clone(),
        ConferenceRow { number: Some("4001".into()), max_members: 3, secrets: Secrets::default() },
    );
    plan.schedules.insert(
        name.clone(),
        ScheduleRow {
            time_zone: zone,
            weekly: vec![],
            holidays: vec![],
            overridden: None,
            open: to(DestinationKind::Queue, &name),
            closed: to(DestinationKind::Schedule, &name),
            holiday: None,
        },
    );
    plan.numbers.insert(
        name.clone(),
        NumberRow {
            number: "+4930123456".into(),
            range: None,
            internal_number: None,
            trunk: "c/t".into(),
            target: to(DestinationKind::Extension, "hostile"),
            caller_id_prefix: Some(display.clone()),
            record_calls: true,
        },
    );
    plan.outbound_routes.insert(
        name.clone(),
        OutboundRouteRow {
            priority: 1,
            toll_class: Some("Any".into()),
            matches: vec![DigitMatch {
                prefix: Some("0".into()),
                strip: Some(1),
                prepend: Some(code.clone()),
                min_digits: None,
                max_digits: None,
                number_types: Vec::new(),
                countries: Vec::new(),
            }],
            trunks: vec!["c/t".into()],
            caller_id: None,
        },
    );
    for (code, action) in [
        ("*97", FeatureAction::CheckVoicemail),
        ("*98", FeatureAction::LeaveVoicemail),
        ("*5", FeatureAction::Park),
        ("*43", FeatureAction::EchoTest),
    ] {
        plan.feature_codes.insert(code.into(), FeatureCodeRow { code: code.into(), action });
    }
    plan
}

fn platform(text: &[String; 8]) -> PlatformPlan {
    let mut platform = PlatformPlan::default();
    platform.sip_profiles.insert(
        text[0].clone(),
        SipProfileRow {
            role: Role::Phones,
            bind_address: None,
            external_address: None,
            sip_port: 5060,
            tls_port: None,
            ws_port: None,
            codecs: vec![],
            update_policy: Default::default(),
        },
    );
    let gateway = GatewayRow {
        host: text[2].clone(),
        port: Some(5060),
        transport: Transport::Udp,
        outbound_proxy: Some(ProxyRow { host: text[3].clone(), port: None }),
    };
    platform.trunks.insert(
        "c/t".into(),
        TrunkRow {
            id: Uuid::from_u128(9),
            sip_profile: text[0].clone(),
            gateways: vec![gateway.clone(), gateway],
            credentials: Some(text[1].clone()),
            domain: Some(text[3].clone()),
            codecs: vec![text[7].clone()],
            max_concurrent_calls: Some(2),
            max_calls_per_second: Some(3),
            user_phone: true,
            progress_timeout_seconds: 4,
            ..TrunkRow::default()
        },
    );
    platform
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_text_anywhere_in_a_plan_stays_inert(
        texts in prop::array::uniform8(text()),
        foreign in prop::array::uniform4(text()),
        harmless in prop::array::uniform8(any::<bool>()),
    ) {
        // Some fields are valid, so that answers get past the first hostile one.
        let plain = ["sales", "1001", "acme.example.com", "Europe/Berlin", "Acme", "+4930111", "a@b.c", "+49"];
        let mut texts = texts;
        for (index, plain) in plain.iter().enumerate() {
            if harmless[index] {
                texts[index] = (*plain).to_owned();
            }
        }
        let view = TenantView::new(plan(&texts));
        let platform = platform(&texts);
        let key = SigningKey::new([3; 32]);
        let media = MediaRoot::dummy();
        let [leg, caller_name, disposition, dialled] = &foreign;
        for caller in [Caller::Extension("caller".into()), Caller::Extension(texts[0].clone()), Caller::Outside] {
            let call = Call {
                view: &view,
                platform: &platform,
                key: &key,
                extension: view.caller(&caller),
                device: None,
                caller,
                leg: Cow::Borrowed(leg),
                caller_name: Cow::Borrowed(caller_name),
                caller_number: Cow::Borrowed(caller_name),
                is_caller_hidden: false,
                called: Cow::Borrowed(dialled),
                disposition: Cow::Borrowed(disposition),
                queue_cause: Cow::Borrowed(disposition),
                now: jiff::Timestamp::UNIX_EPOCH,
                media: &media,
                is_recorded: false,
            is_answered: false,
                tracer: Tracer::OFF,
            };
            let numbers = [
                "1000", "1002", "2001", "2002", "2003", "3001", "4001", "5001", "*97", "*981002", "*5701", "*43",
                "0301234", "112", texts[1].as_str(), dialled.as_str(),
            ];
            for number in numbers {
                assert_inert(&call.dialled(number));
            }
            for number in view.plan.numbers.values() {
                assert_inert(&call.inbound(&number.trunk, &number.number).unwrap());
            }
            for (kind, name) in [
                (DestinationKind::Extension, "hostile"),
                (DestinationKind::Queue, texts[0].as_str()),
                (DestinationKind::ExternalNumber, texts[5].as_str()),
                (DestinationKind::Schedule, texts[0].as_str()),
            ] {
                let target = Target { kind, name: name.to_owned() };
                for step in [centrex::route::token::Step::To, centrex::route::token::Step::After] {
                    if let Some(word) = centrex::route::token::sign_step(&key, view.plan.tenant.id, step, &target) {
                        assert_inert(&call.dialled(word.as_str()));
                    }
                }
            }
        }
    }
}

/// The grammar above must not refuse everything: with harmless texts the calls are placed.
#[test]
fn calls_with_harmless_text_are_placed() {
    let texts = ["sales", "1001", "acme.example.com", "Europe/Berlin", "Acme", "+4930111", "a@b.c", "+49"];
    let texts = texts.map(str::to_owned);
    let view = TenantView::new(plan(&texts));
    let platform = platform(&texts);
    let key = SigningKey::new([3; 32]);
    let media = MediaRoot::dummy();
    let call = Call {
        view: &view,
        platform: &platform,
        key: &key,
        caller: Caller::Extension("caller".into()),
        extension: view.plan.extensions.get("caller"),
        device: None,
        leg: Cow::Borrowed("b2c1"),
        caller_name: Cow::Borrowed("Anybody"),
        caller_number: Cow::Borrowed("493012345"),
        is_caller_hidden: false,
        called: Cow::Borrowed("1001"),
        disposition: Cow::Borrowed("NO_ANSWER"),
        queue_cause: Cow::Borrowed(""),
        now: jiff::Timestamp::UNIX_EPOCH,
        media: &media,
        is_recorded: false,
        is_answered: false,
        tracer: Tracer::OFF,
    };
    for (number, last) in [
        ("1001", "transfer"),
        ("1002", "bridge"),
        ("2001", "transfer"),
        ("3001", "transfer"),
        ("4001", "conference"),
        ("5001", "transfer"),
        ("*97", "voicemail"),
        ("*981002", "voicemail"),
        ("*5701", "valet_park"),
        ("*43", "echo"),
        ("0301234", "hangup"),
        ("112", "hangup"),
    ] {
        let answer = call.dialled(number);
        assert_inert(&answer);
        let refused = answer.actions.iter().all(|action| ["set", "hangup"].contains(&action.application));
        assert!(!refused, "{number}: {answer:?}");
        assert_eq!(answer.actions.last().unwrap().application, last, "{number}: {answer:?}");
    }
}
