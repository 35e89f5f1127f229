//! What calls do under a compiled tenant: who dials what, when, and which actions follow.

mod destinations;
mod emergency;
mod leaving;
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

/// A tenant with one of everything, two carriers, and rules of the platform before and after.
const ACME: &str = include_str!("routing/world.yaml");

/// Compiles manifests that hold one tenant; nothing may be wrong with them, though there may be notes.
fn compiled(manifests: &str) -> (PlatformPlan, TenantPlan) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("world.yaml");
    std::fs::write(&file, manifests).unwrap();
    let reading = Folder::read_once(&[file]).unwrap();
    assert!(reading.problems.is_empty(), "{:#?}", reading.problems);
    let mut world = ResourceIndex::default();
    for change in reading.changes {
        world.apply(change);
    }
    let mut compiled = compile::all(&world);
    let is_note = |problem: &Problem| problem.effect == Effect::Noted;
    assert!(compiled.problems.iter().all(is_note), "{:#?}", compiled.problems);
    (compiled.platform, compiled.tenants.remove(0).1)
}

/// What calls need, held for a test.
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
            caller,
            leg: Cow::Borrowed("leg-1"),
            caller_name: Cow::Borrowed("Somebody"),
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

    /// An extension did not take a call, for a reason.
    fn after(&mut self, extension: &str, disposition: &'static str) -> Answer {
        self.disposition = disposition;
        self.dial("bob", &self.step(Step::After, DestinationKind::Extension, extension))
    }

    fn comes_in(&self, number: &str) -> Answer {
        let (_, row) = self.view.public_number(number).unwrap();
        self.call("outside").inbound(&row.trunk, number).unwrap()
    }

    /// The actions as `application data`, with names in the place of identities and signatures;
    /// each variable of a `multiset` on a line of its own, as if it were `set`.
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
            format!("{application} {}", signature.replace(&data, "cx-")).trim_end().to_owned()
        });
        said.collect()
    }

    /// The same, without what every call begins with.
    fn body(&self, answer: &Answer) -> Vec<String> {
        let said = self.said(answer);
        let first = said.iter().rposition(|action| {
            let last = ["limit hash TENANT ", "set timezone=Europe/Berlin", "set centrex_call="];
            last.iter().any(|last| action.starts_with(last))
        });
        said[first.map_or(0, |first| first + 1)..].to_vec()
    }
}

/// An action, or what a `multiset` stands for.
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
fn every_call_begins_with_who_it_is_and_what_bounds_it() {
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
fn what_a_number_means() {
    let office = Office::acme();
    for (caller, number, rule) in [
        ("alice", "112", "Emergency"),
        ("bob", "112", "Emergency"),
        // A caller from outside gets no emergency call out of a menu, and nothing else either.
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
        // A code that takes digits is none without, one that takes none is none with them.
        ("alice", "*98", "Unknown"),
        ("alice", "*971", "Unknown"),
        // Routes: by priority, and the first that matches decides.
        ("alice", "030123456", "Out.national"),
        ("bob", "030123456", "Refused.TollClass"),
        ("alice", "0900123456", "Refused.TollClass"),
        ("alice", "0044123456789", "Out.national"),
        ("bob", "80012345", "Out.free"),
        ("outside", "80012345", "Refused.Outside"),
        ("nobody", "030123456", "Refused.TollClass"),
        // On-net: the tenant's own number does not leave, and asks no toll class.
        ("bob", "03012345602", "Extension.bob"),
        ("bob", "004930123456020", "Refused.TollClass"),
        // The platform, before and after.
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
fn what_is_not_placed_ends_with_the_right_cause() {
    let office = Office::acme();
    for (caller, number, cause) in [
        ("alice", "0190123456", "CALL_REJECTED"),
        ("bob", "030123456", "OUTGOING_CALL_BARRED"),
        ("outside", "80012345", "OUTGOING_CALL_BARRED"),
        ("alice", "999", "UNALLOCATED_NUMBER"),
    ] {
        // Nothing else but for whose record it is: no limit is counted, nothing is exported.
        let said = office.said(&office.dial(caller, number));
        assert!(said.len() == 2 && said[0].starts_with("set centrex_call=TENANT/"), "{number}: {said:?}");
        assert_eq!(said[1], format!("hangup {cause}"), "{number}");
    }
}

#[test]
fn calls_come_in_on_behalf_of_nobody() {
    let office = Office::acme();
    let answer = office.comes_in("+493012345600");
    assert_eq!(answer.rule, "Number.main");
    let said = office.said(&answer);
    assert!(said.contains(&"set effective_caller_id_name=Main Somebody".to_owned()), "{said:#?}");
    assert!(said.iter().any(|action| action.starts_with("set centrex_call=TENANT/outside/leg-1/")));
    // The caller's number is the caller's, not one of ours.
    assert!(!said.iter().any(|action| action.starts_with("set effective_caller_id_number=")), "{said:#?}");
    let said = office.said(&office.comes_in("+493012345602"));
    assert!(!said.iter().any(|action| action.starts_with("set effective_caller_id_name=")), "{said:#?}");
    assert_eq!(said.last().unwrap(), "bridge user/1002@acme.example.com");
}

#[test]
fn destinations_are_signed_for_one_tenant() {
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
    // Signed once, gone since: the call is not placed, and nothing else happens.
    let gone = office.step(Step::To, DestinationKind::RingGroup, "gone");
    assert_eq!(office.said(&office.dial("alice", &gone)), ["hangup NORMAL_TEMPORARY_FAILURE"]);
}

/// `bob` forwards to a public number; a rule of the platform blocks some of those.
fn forwarding_to(number: &str) -> Office {
    let forwarding = format!("forwarding: {{always: {{kind: ExternalNumber, number: \"{number}\"}}}}");
    let manifests =
        ACME.replace("displayName: Bob Example", &format!("displayName: Bob Example, {forwarding}"));
    assert_ne!(manifests, ACME);
    Office::open(&manifests)
}
