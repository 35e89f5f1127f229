//! Calls under a compiled tenant: caller, number and time, and the actions that follow.

mod carriers;
mod destinations;
mod emergency;
mod leaving;
mod numbers;
mod recording;

use std::borrow::Cow;

use centrex::compile::{self, Effect, Problem};
use centrex::plan::{PlatformPlan, Target, TenantPlan};
use centrex::resources::common::DestinationKind;
use centrex::route::media::MediaRoot;
use centrex::route::token::{Step, sign_step};
use centrex::route::{Action, Answer, Call, Caller, TenantView, Tracer};
use centrex::secrets::signing_key::SigningKey;
use centrex::source::ResourceIndex;
use centrex::source::folder::Folder;
use jiff::Timestamp;
use regex::Regex;
use uuid::Uuid;

/// A tenant with a resource of each kind, two carriers, and rules of the platform before and after the
/// tenant's.
const ACME: &str = include_str!("routing/system.yaml");

/// Compiles manifests of one tenant; panics on a problem, but not on a note.
fn compiled(manifests: &str) -> (PlatformPlan, TenantPlan) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("system.yaml");
    std::fs::write(&file, manifests).unwrap();
    let reading = Folder::read_once(&[file]).unwrap();
    assert!(reading.problems.is_empty(), "{:#?}", reading.problems);
    let mut index = ResourceIndex::default();
    for change in reading.changes {
        index.apply(change);
    }
    let mut compiled = compile::all(&index);
    let is_note = |problem: &Problem| problem.effect == Effect::Noted;
    assert!(compiled.problems.iter().all(is_note), "{:#?}", compiled.problems);
    (compiled.platform, compiled.tenants.remove(0).1)
}

/// Variables of every bridge to a carrier, unless its trunk or its caller wants others.
const TO_CARRIER: &str = ";origination_callee_id_name=30111;origination_callee_id_number=30111;sip_cid_type=pid;\
    sip_cid_suppress_privacy_none=true";

/// The inputs of a call.
struct Office {
    platform: PlatformPlan,
    view: TenantView,
    key: SigningKey,
    media: MediaRoot,
    now: Timestamp,
    disposition: &'static str,
    queue_cause: &'static str,
}

impl Office {
    fn open(manifests: &str) -> Self {
        let (platform, plan) = compiled(manifests);
        Self {
            platform,
            view: TenantView::new(plan),
            key: SigningKey::new([7; 32]),
            media: MediaRoot::dummy(),
            now: "2026-11-25T12:00:00+01:00".parse().unwrap(), // a Wednesday
            disposition: "",
            queue_cause: "",
        }
    }

    fn acme() -> Self {
        Self::open(ACME)
    }

    fn call(&self, caller: &str) -> Call<'_> {
        let caller = match caller {
            "outside" => Caller::Outside,
            name => Caller::Extension(name.to_owned()),
        };
        Call {
            view: &self.view,
            platform: &self.platform,
            key: &self.key,
            extension: self.view.caller(&caller),
            device: None,
            caller,
            leg: Cow::Borrowed("leg-1"),
            caller_name: Cow::Borrowed("Somebody"),
            caller_number: Cow::Borrowed(""),
            is_caller_hidden: false,
            called: Cow::Borrowed("30111"),
            disposition: Cow::Borrowed(self.disposition),
            queue_cause: Cow::Borrowed(self.queue_cause),
            now: self.now,
            media: &self.media,
            is_recorded: false,
            is_answered: false,
            tracer: Tracer::OFF,
        }
    }

    fn dial(&self, caller: &str, number: &str) -> Answer {
        self.call(caller).dialled(number)
    }

    fn step(&self, step: Step, kind: DestinationKind, name: &str) -> String {
        let target = Target { kind, name: name.to_owned() };
        sign_step(&self.key, self.view.plan.tenant.id, step, &target).unwrap().as_str().to_owned()
    }

    /// A call to an extension failed, for a reason.
    fn after(&mut self, extension: &str, disposition: &'static str) -> Answer {
        self.disposition = disposition;
        self.dial("bob", &self.step(Step::After, DestinationKind::Extension, extension))
    }

    fn comes_in(&self, number: &str) -> Answer {
        let (_, row) = self.view.public_number(number).unwrap();
        self.call("outside").inbound(&row.trunk, number).unwrap()
    }

    /// The actions as `application data`, with names in place of identities and signatures; each variable of
    /// a `multiset` on its own line, as if it were `set`; without
    /// [`TO_CARRIER`].
    fn said(&self, answer: &Answer) -> Vec<String> {
        let tenant = self.view.plan.tenant.id.to_string();
        let signature = Regex::new("cx-[0-9a-f]{32}-").unwrap();
        let said = answer.actions.iter().flat_map(single).map(|(application, data)| {
            let mut data = data.replace(&tenant, "TENANT");
            for (name, trunk) in &self.platform.trunks {
                data = data.replace(&trunk.id.to_string(), name);
                for index in 0..trunk.gateways.len() {
                    let gateway = self.key.gateway_name(trunk.id, index);
                    data = data.replace(&gateway, &format!("{name}#{index}"));
                }
            }
            let data = signature.replace(&data, "cx-").replace(TO_CARRIER, "");
            format!("{application} {data}").trim_end().to_owned()
        });
        said.collect()
    }

    /// The same, without the actions that begin every call.
    fn body(&self, answer: &Answer) -> Vec<String> {
        let said = self.said(answer);
        let first = said.iter().rposition(|action| {
            let last = ["limit hash TENANT ", "set timezone=Europe/Berlin", "set centrex_call="];
            last.iter().any(|last| action.starts_with(last))
        });
        said[first.map_or(0, |first| first + 1)..].to_vec()
    }
}

/// An action, or the actions that a `multiset` stands for.
fn single(action: &Action) -> Vec<(&str, &str)> {
    match action.application {
        "multiset" => {
            let variables = action.data.strip_prefix("^^;").expect("a separator");
            variables.split(';').map(|variable| ("set", variable)).collect()
        }
        application => vec![(application, &action.data)],
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[track_caller]
fn assert_body(office: &Office, answer: &Answer, expected: &str) {
    assert_eq!(office.body(answer), lines(expected), "{}", answer.rule);
}

#[test]
fn every_call_starts_with_its_identity_and_limits() {
    let office = Office::acme();
    let said = office.said(&office.dial("alice", "1002"));
    let token = Regex::new("^set centrex_call=TENANT/extension.alice/leg-1/[0-9a-f]{32}$").unwrap();
    assert!(token.is_match(&said[0]), "{}", said[0]);
    let expected = lines(
        "set sip_copy_custom_headers=false
         set media_timeout=120000
         set media_hold_timeout=1800000
         set export_vars=centrex_call,media_timeout,media_hold_timeout
         set hangup_after_bridge=true
         set continue_on_fail=false
         set transfer_ringback=%(1000,4000,425)
         set timezone=Europe/Berlin
         set effective_caller_id_name=Alice Example
         set effective_caller_id_number=1001
         limit hash TENANT calls 40 !NORMAL_CIRCUIT_CONGESTION
         set call_timeout=30
         bridge user/1002@acme.example.com",
    );
    assert_eq!(said[1..], expected);
}

#[test]
fn dialled_numbers_have_the_expected_meaning() {
    let office = Office::acme();
    for (caller, number, rule) in [
        ("alice", "112", "Emergency"),
        ("bob", "112", "Emergency"),
        // A caller from outside can make no emergency call from a menu, nor any other outbound call.
        ("outside", "112", "Refused.Outside"),
        ("alice", "1002", "Extension.bob"),
        ("alice", "2001", "RingGroup.sales"),
        ("alice", "3001", "Queue.support"),
        ("alice", "4001", "Conference.standup"),
        ("alice", "5001", "IvrMenu.welcome"),
        ("outside", "1002", "Extension.bob"),
        ("outside", "5001", "IvrMenu.welcome"),
        // Forwarding of every call is followed before anything rings.
        ("alice", "1003", "Voicemail.alice"),
        ("alice", "1004", "RingGroup.sales"),
        ("alice", "*97", "FeatureCode.messages"),
        ("alice", "*981001", "FeatureCode.leave"),
        ("alice", "*57", "FeatureCode.park"),
        ("outside", "*97", "Refused.Outside"),
        ("outside", "*981001", "Refused.Outside"),
        // A code that takes digits does not match without digits, and one that takes none does not match with
        // them.
        ("alice", "*98", "Unknown"),
        ("alice", "*971", "Unknown"),
        // Routes: by priority; the first that matches decides.
        ("alice", "030123456", "Out.national"),
        ("bob", "030123456", "Refused.TollClass"),
        ("alice", "0900123456", "Refused.TollClass"),
        ("alice", "0044123456789", "Out.national"),
        ("bob", "80012345", "Out.free"),
        ("outside", "80012345", "Refused.Outside"),
        ("nobody", "030123456", "Refused.TollClass"),
        // On-net: a call to the tenant's own number stays inside, and needs no toll class.
        ("bob", "03012345602", "Extension.bob"),
        ("bob", "004930123456020", "Refused.TollClass"),
        // Rules of the platform, before and after.
        ("alice", "0190123456", "Refused.Blocked"),
        ("outside", "0190123456", "Refused.Blocked"),
        ("alice", "11833", "Out.information"),
        ("outside", "11833", "Refused.Outside"),
        // An unknown number.
        ("alice", "999", "Unknown"),
        ("alice", "", "Unknown"),
        ("alice", "alice", "Unknown"),
        ("alice", "1002,1003", "Unknown"),
        ("alice", "+49 30 123", "Unknown"),
        ("outside", "999", "Refused.Outside"),
    ] {
        assert_eq!(office.dial(caller, number).rule, rule, "{caller} dials {number:?}");
    }
}

#[test]
fn calls_that_are_not_placed_end_with_the_right_cause() {
    let office = Office::acme();
    for (caller, number, cause) in [
        ("alice", "0190123456", "CALL_REJECTED"),
        ("bob", "030123456", "OUTGOING_CALL_BARRED"),
        ("outside", "80012345", "OUTGOING_CALL_BARRED"),
        ("alice", "999", "UNALLOCATED_NUMBER"),
    ] {
        // Only the identity for call records is set: no limit is counted, and nothing is exported.
        let said = office.said(&office.dial(caller, number));
        assert!(said.len() == 2 && said[0].starts_with("set centrex_call=TENANT/"), "{number}: {said:?}");
        assert_eq!(said[1], format!("hangup {cause}"), "{number}");
    }
}

#[test]
fn an_inbound_call_acts_for_no_extension() {
    let office = Office::acme();
    let answer = office.comes_in("+493012345600");
    assert_eq!(answer.rule, "Number.main");
    let said = office.said(&answer);
    assert!(said.contains(&"set effective_caller_id_name=Main Somebody".to_owned()), "{said:#?}");
    assert!(said.iter().any(|action| action.starts_with("set centrex_call=TENANT/outside/leg-1/")));
    // The caller's number is shown, not one of ours.
    assert!(!said.iter().any(|action| action.starts_with("set effective_caller_id_number=")), "{said:#?}");
    let said = office.said(&office.comes_in("+493012345602"));
    assert!(!said.iter().any(|action| action.starts_with("set effective_caller_id_name=")), "{said:#?}");
    assert_eq!(said.last().unwrap(), "bridge user/1002@acme.example.com");
}

#[test]
fn a_prefix_stands_one_blank_before_the_name() {
    for prefix in ["Main", "Main ", " Main  "] {
        let office =
            Office::open(&ACME.replace("callerIdPrefix: Main", &format!("callerIdPrefix: \"{prefix}\"")));
        let said = office.said(&office.comes_in("+493012345600"));
        assert!(said.contains(&"set effective_caller_id_name=Main Somebody".to_owned()), "{said:#?}");
    }
}

#[test]
fn names_are_said_as_they_are_written_or_in_code() {
    for (name, said) in [
        ("O'Brien, Pat; Jr.", "O'Brien, Pat; Jr."),
        ("Sales: UK", "Sales%3A UK"),
        ("R&D / Ops @ HQ", "R&D %2F Ops %40 HQ"),
        ("${system(id)}", "%24(system(id))"),
        ("山田 🎧", "山田 🎧"),
    ] {
        let named = ACME.replace("displayName: Alice Example", &format!("displayName: \"{name}\""));
        let office = Office::open(&named);
        let told = office.said(&office.dial("alice", "1002"));
        assert!(told.contains(&format!("set effective_caller_id_name={said}")), "{told:#?}");
    }
}

#[test]
fn a_signed_destination_is_valid_for_one_tenant() {
    let office = Office::acme();
    let target = Target { kind: DestinationKind::Extension, name: "bob".into() };
    let own = office.step(Step::To, DestinationKind::Extension, "bob");
    assert_eq!(office.dial("outside", &own).rule, "Extension.bob");
    let foreign = sign_step(&office.key, Uuid::from_u128(5), Step::To, &target).unwrap();
    assert_eq!(office.dial("alice", foreign.as_str()).rule, "Unknown");
    let other_key = sign_step(&SigningKey::new([8; 32]), office.view.plan.tenant.id, Step::To, &target);
    assert_eq!(office.dial("alice", other_key.unwrap().as_str()).rule, "Unknown");
    assert_eq!(office.dial("alice", &own.replace("-bob", "-alice")).rule, "Unknown");
    assert_eq!(office.dial("alice", &own.replace("-to-", "-after-")).rule, "Unknown");
    assert_eq!(office.dial("alice", "cx-to-extension-bob").rule, "Unknown");
    // Signed, and deleted since: the call is not placed, and nothing else happens.
    let gone = office.step(Step::To, DestinationKind::RingGroup, "gone");
    assert_eq!(office.said(&office.dial("alice", &gone)), ["hangup NORMAL_TEMPORARY_FAILURE"]);
}

/// `bob` forwards to a public number; a rule of the platform blocks some numbers.
fn forwarding_to(number: &str) -> Office {
    let forwarding = format!("forwarding: {{always: {{kind: ExternalNumber, number: \"{number}\"}}}}");
    let manifests =
        ACME.replace("displayName: Bob Example", &format!("displayName: Bob Example, {forwarding}"));
    assert_ne!(manifests, ACME);
    Office::open(&manifests)
}
