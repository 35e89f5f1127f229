//! Several phones of one extension on a running FreeSWITCH.

use std::time::{Duration, Instant};

use centrex::freeswitch::esl::{self, Address, CallId, Notify, Password};
use centrex::route::legal::Word;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::lab::{Lab, run};
use crate::freeswitch::phone::Peer;
use crate::freeswitch::records;
use crate::freeswitch::switch::ESL_PASSWORD;

const ACME: &str = "acme.example.com";
const PASSWORD: &str = "devicedummypassword";

/// Devices: extension, name, and the last byte of the MAC address.
const DEVICES: [(&str, &str, &str, u8); 6] = [
    ("acme", "bob", "desk", 1),
    ("acme", "bob", "mobile", 2),
    ("acme", "carol", "kitchen", 3),
    ("acme", "carol", "workshop", 4),
    ("acme", "alice", "hall", 5),
    ("globex", "ivy", "lobby", 6),
];

#[test]
fn an_extension_has_several_phones() {
    run(
        "live::phones::an_extension_has_several_phones",
        &["--provision-url", "https://phones.example.com/provision"],
        &[
            ("Devices are added, and each registers as a SIP user of its own", devices),
            ("all phones of an extension ring, and one has the call", fork),
            ("a Device calls as its extension, also in call records", calls_as_its_extension),
            ("a phone with an old configuration is told, and one that never fetched is not", told),
            ("registrations are rows and a metric", rows),
            ("a NOTIFY reaches one phone only", notify),
            ("lamps show an extension whichever of its phones has a call", lamps),
            ("an emergency call comes from where the Device stands", emergency),
            ("a phone that is busy is busy, whatever others are not registered", busy),
            ("phones that are not registered cost a caller nothing", cost),
            ("a disabled Device is shut out alone", shut_out),
            ("a Device of another extension registers anew", moved),
            ("another password: the phone is told, and its registration goes", another_password),
        ],
    );
}

fn manifest(tenant: &str, extension: &str, device: &str, mac: u8) -> String {
    format!(
        "apiVersion: centrex.dev/v1alpha1
kind: Device
metadata: {{name: {device}, namespace: {tenant}}}
spec:
  tenantRef: {{name: {tenant}}}
  mac: \"80:5e:c0:00:00:{mac:02x}\"
  vendor: Yealink
  lines: [{{extensionRef: {{name: {extension}}}}}]
  credentials: {{secretRef: {{name: phones}}}}"
    )
}

/// The SIP user of a Device's line, by the rule that docs/resources.md states.
fn sip_user(lab: &Lab, tenant: &str, extension: &str, device: &str) -> String {
    let sql =
        format!("SELECT t.id FROM public.tenants t WHERE t.name = '{tenant}' AND t.retained_at IS NULL");
    let rows = records::query(&lab.data_dir(), &sql);
    let id: uuid::Uuid = rows[0]["id"].as_str().unwrap().parse().unwrap();
    let number = match extension {
        "alice" => "1001",
        "bob" | "ivy" => "1002",
        _ => "1003",
    };
    let mut hash = Sha256::new();
    hash.update(id.as_bytes());
    for name in [device, extension] {
        hash.update(name);
        hash.update([0]);
    }
    format!("{number}-{}", &hex::encode(hash.finalize())[..8])
}

/// The phone of a Device.
fn phone(lab: &Lab, device: &str) -> Peer {
    let (tenant, extension, _, mac) = DEVICES.iter().find(|(_, _, name, _)| *name == device).unwrap();
    let user: &'static str = sip_user(lab, tenant, extension, device).leak();
    let domain = if *tenant == "acme" { ACME } else { "globex.example.com" };
    Peer::new(user, domain, PASSWORD, 80 + mac, &lab.dir.path().join("traces"))
}

fn devices(lab: &mut Lab) {
    let secret = |tenant: &str| {
        format!(
            "apiVersion: v1
kind: Secret
metadata: {{name: phones, namespace: {tenant}}}
stringData: {{password: {PASSWORD}, provisioningPassword: provisioningdummy}}"
        )
    };
    let mut all = vec![secret("acme"), secret("globex")];
    all.extend(DEVICES.map(|(tenant, extension, device, mac)| manifest(tenant, extension, device, mac)));
    lab.add(&all.join("\n---\n"));
    let desk = phone(lab, "desk");
    lab.eventually("a Device registers", || desk.play("register", lab.phones, &[]).completed);
    lab.register(&[&desk, &phone(lab, "mobile"), &phone(lab, "lobby"), &lab.bob, &lab.alice]);
    let liar = Peer::new(desk.user, ACME, "bob-dummy-password", 90, &lab.dir.path().join("traces"));
    let outcome = liar.play("register", lab.phones, &[]);
    assert_eq!(outcome.status(), Some(403), "its extension's password: {}", outcome.trace);
}

fn fork(lab: &mut Lab) {
    let (desk, mobile) = (phone(lab, "desk"), phone(lab, "mobile"));
    lab.register(&[&desk, &mobile, &lab.bob]);
    let answers = desk.listen("answer", lab.phones);
    let rings = [mobile.listen("ring", lab.phones), lab.bob.listen("ring", lab.phones)];
    let call = lab.alice.play("call", lab.phones, &[("dial", "1002")]);
    assert!(call.completed, "{}\n{}", call.trace, lab.logs());
    let answered = answers.end();
    let invite = answered.received("INVITE").concat();
    assert!(invite.contains("sip:1001@acme.example.com"), "{invite}");
    for rings in rings {
        let outcome = rings.end();
        let cancel = outcome.received("CANCEL").concat();
        assert!(cancel.contains("Call completed elsewhere"), "{}", outcome.trace);
    }
}

fn calls_as_its_extension(lab: &mut Lab) {
    let desk = phone(lab, "desk");
    let alice = lab.alice.listen("answer", lab.phones);
    let call = desk.play("call", lab.phones, &[("dial", "1001")]);
    assert!(call.completed, "{}\n{}", call.trace, lab.logs());
    assert!(!call.received("INVITE").concat().contains(desk.user));
    let outcome = alice.end();
    let invite = outcome.received("INVITE").concat();
    assert!(invite.contains("\"Bob Example\" <sip:1002@acme.example.com>"), "{invite}");
    assert!(!invite.contains(desk.user), "{invite}");
    lab.eventually("its records", || {
        let (rows, quarantine) = records::all(&lab.data_dir());
        assert!(quarantine.is_empty(), "{quarantine:#?}");
        let is = |row: &&Value, leg: &str, destination: &str| {
            row["leg"] == leg && row["destination"] == destination && row["caller_number"] == "1002"
        };
        let a = rows.iter().find(|row| is(row, "a", "1001"));
        let b = rows.iter().find(|row| is(row, "b", "1001"));
        let of_bob = rows.iter().any(|row| row["leg"] == "b" && row["destination"] == "1002");
        a.is_some_and(|row| row["extension"] == "bob")
            && b.is_some_and(|row| row["extension"] == "alice")
            && of_bob
            && !rows.iter().any(|row| row.to_string().contains(desk.user))
    });
}

fn registrations(lab: &Lab) -> Vec<Value> {
    let sql = "SELECT t.name AS tenant, r.extension, r.device, r.sip_user, r.domain, r.profile, host(r.address) AS address,
                      r.transport, r.call_id, r.expires_at > now() AS valid
               FROM public.registrations r JOIN public.tenants t ON t.id = r.tenant_id ORDER BY 1, 2, 3";
    records::query(&lab.data_dir(), sql)
}

fn registration(lab: &Lab, device: &str) -> Option<Value> {
    registrations(lab).into_iter().find(|row| row["device"] == device)
}

fn rows(lab: &mut Lab) {
    lab.eventually("five rows", || registrations(lab).len() == 5);
    let row = registration(lab, "desk").unwrap();
    let desk = phone(lab, "desk");
    for (column, value) in [
        ("tenant", "acme"),
        ("extension", "bob"),
        ("sip_user", desk.user),
        ("domain", ACME),
        ("profile", "internal"),
        ("address", "127.0.0.81"),
        ("transport", "udp"),
    ] {
        assert_eq!(row[column], value, "{row:#}");
    }
    assert_eq!(row["valid"], true, "{row:#}");
    let own = registrations(lab).into_iter().find(|row| row["device"].is_null() && row["extension"] == "bob");
    assert_eq!(own.unwrap()["sip_user"], "1002");
    let metrics = lab.centrex.metrics();
    let line = "centrex_switch_registrations{profile=\"internal\"} 5";
    assert!(metrics.lines().any(|held| held == line), "{metrics}");
    // The list that is read after a restart has the same rows.
    lab.restart_sidecar();
    lab.eventually("the rows of the next process", || {
        registrations(lab).len() == 5 && registration(lab, "desk").is_some_and(|now| now == row)
    });
}

/// How often a phone was told something.
fn notified(trace: &str, event: &str) -> usize {
    trace.lines().filter(|line| line.trim_end() == format!("Event: {event}")).count()
}

fn told(lab: &mut Lab) {
    let (desk, mobile) = (phone(lab, "desk"), phone(lab, "mobile"));
    lab.register(&[&desk, &mobile, &lab.bob]);
    let [at_desk, at_mobile, at_bob] =
        [&desk, &mobile, &lab.bob].map(|phone| phone.listen("answer", lab.phones));
    lab.eventually("the registration as a row", || registration(lab, "desk").is_some());
    let fetched = "INSERT INTO public.phones (tenant_id, device, fetched_at, fingerprint)
                   SELECT id, 'desk', now(), decode(repeat('00', 32), 'hex') FROM public.tenants WHERE name = 'acme'";
    records::execute(&lab.data_dir(), fetched);
    let (resync, restart) = ("check-sync;reboot=false", "check-sync;reboot=true");
    lab.eventually("the phone is told", || notified(&at_desk.seen().trace, resync) == 1);
    let metadata = "{name: desk, namespace: acme}";
    let restarted =
        "{name: desk, namespace: acme, annotations: {centrex.dev/restarted-at: \"2026-11-30T12:00:00Z\"}}";
    lab.edit(metadata, restarted);
    lab.eventually("the restart", || notified(&at_desk.seen().trace, restart) == 1);
    lab.edit(restarted, metadata);
    std::thread::sleep(Duration::from_secs(2));
    let outcome = at_desk.end();
    assert_eq!((notified(&outcome.trace, resync), notified(&outcome.trace, restart)), (1, 1));
    for other in [at_mobile.end(), at_bob.end()] {
        assert_eq!((notified(&other.trace, resync), notified(&other.trace, restart)), (0, 0));
    }
}

fn notify(lab: &mut Lab) {
    let names = ["desk", "mobile", "lobby"];
    let phones = names.map(|name| phone(lab, name));
    lab.register(&phones.each_ref());
    let listeners = phones.each_ref().map(|phone| phone.listen("answer", lab.phones));
    let (alice, bob) = (lab.alice.listen("answer", lab.phones), lab.bob.listen("answer", lab.phones));
    // Not that of the registration before.
    let call_id = || {
        let listed = lab.switch.api("sofia xmlstatus profile internal reg");
        let row = registration(lab, "desk")?;
        let call_id = row["call_id"].as_str().filter(|call_id| listed.contains(*call_id))?;
        CallId::new(call_id)
    };
    lab.eventually("its Call-ID", || call_id().is_some());
    let word = |text: &str| Word::new(text).unwrap();
    let notify = Notify {
        profile: word("internal"),
        user: word(phones[0].user),
        host: word(ACME),
        call_id: call_id().unwrap(),
        event: "check-sync;reboot=false",
    };
    let address: Address = format!("127.0.0.1:{}", lab.esl_port).parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = esl::open(&address, &Password::new(ESL_PASSWORD).unwrap()).await.unwrap();
        session.client.notify(notify).await.unwrap();
    });
    let is_told = |trace: &str| notified(trace, "check-sync;reboot=false") > 0;
    lab.eventually("the NOTIFY", || is_told(&listeners[0].seen().trace));
    std::thread::sleep(Duration::from_secs(1));
    let told = listeners.map(|listener| is_told(&listener.end().trace));
    assert_eq!(told, [true, false, false]);
    assert!(!is_told(&alice.end().trace) && !is_told(&bob.end().trace));
}

/// The states of dialogs that a lamp was told, in order.
fn states(trace: &str) -> Vec<String> {
    let parts = trace.split("<state>").skip(1);
    parts.filter_map(|part| Some(part.split_once("</state>")?.0.to_owned())).collect()
}

fn lamps(lab: &mut Lab) {
    let (desk, mobile) = (phone(lab, "desk"), phone(lab, "mobile"));
    lab.register(&[&desk, &mobile, &lab.alice]);
    let lamp = lab.carol.follow("watch", lab.phones, &[("watched", "1002")]);
    let foreign = lab.hank.follow("watch", lab.phones, &[("watched", "1002")]);
    lab.eventually("both subscriptions", || {
        [&lamp, &foreign].iter().all(|lamp| lamp.seen().trace.contains("NOTIFY"))
    });
    let before = states(&lamp.seen().trace).len();
    let alice = lab.alice.listen("answer", lab.phones);
    let call = desk.play("call", lab.phones, &[("dial", "1001")]);
    assert!(call.completed, "{}", call.trace);
    alice.end();
    let ended = |from: usize| {
        let states = states(&lamp.seen().trace);
        let new = states.get(from..).unwrap_or_default().to_vec();
        let up = new.iter().position(|state| state == "confirmed")?;
        new[up..].iter().any(|state| state == "terminated").then_some(new)
    };
    lab.eventually("the lamp goes on and off when a Device calls", || ended(before).is_some());
    let after_first = states(&lamp.seen().trace).len();
    // The other Device is called.
    let answers = mobile.listen("answer", lab.phones);
    let call = lab.alice.play("call", lab.phones, &[("dial", "1002")]);
    assert!(call.completed, "{}", call.trace);
    answers.end();
    lab.eventually("the lamp goes on and off when a Device is called", || ended(after_first).is_some());
    eprintln!("a lamp was told {:?}", states(&lamp.end().trace));
    let foreign = foreign.end().trace;
    assert!(!states(&foreign).iter().any(|state| state == "confirmed"), "{foreign}");
}

fn emergency(lab: &mut Lab) {
    let of_tenant = "callerIdNumber: \"+493023125000\"}";
    let with_locations = "callerIdNumber: \"+493023125000\", locations: [{name: north}, {name: south}], defaultLocationRef: {name: north}}";
    lab.edit(of_tenant, with_locations);
    let desk = manifest("acme", "bob", "desk", 1);
    lab.edit(&desk, &format!("{desk}\n  emergencyLocationRef: {{name: south}}"));
    let calls = || {
        let rows = records::emergency_calls(&lab.data_dir());
        rows.iter()
            .map(|row| row["location"]["name"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let talk = Duration::from_secs(1);
    lab.eventually("a call from the Device's place", || {
        let call = phone(lab, "desk").begin("call", lab.phones, &[("dial", "112")], talk);
        std::thread::sleep(Duration::from_millis(1500));
        drop(call);
        calls().last().is_some_and(|location| location == "south")
    });
    let before = calls().len();
    let call = lab.bob.begin("call", lab.phones, &[("dial", "112")], talk);
    lab.eventually("a call from elsewhere", || calls().len() > before);
    drop(call);
    assert_eq!(calls().last().unwrap(), "north");
    lab.switch.api("hupall");
}

fn busy(lab: &mut Lab) {
    let (kitchen, workshop) = (phone(lab, "kitchen"), phone(lab, "workshop"));
    let call = || lab.alice.play("call", lab.phones, &[("dial", "1003")]);
    // No phone of carol is registered: her calls go to bob.
    lab.register(&[&lab.bob]);
    let bob = lab.bob.listen("answer", lab.phones);
    let outcome = call();
    assert!(outcome.completed, "{}\n{}", outcome.trace, lab.logs());
    bob.end();
    for registered in [vec![&kitchen], vec![&workshop], vec![&kitchen, &workshop]] {
        lab.switch.api(&format!("sofia profile internal flush_inbound_reg {}@{ACME}", kitchen.user));
        lab.switch.api(&format!("sofia profile internal flush_inbound_reg {}@{ACME}", workshop.user));
        lab.eventually("no registration", || {
            !lab.is_registered(kitchen.user, ACME) && !lab.is_registered(workshop.user, ACME)
        });
        std::thread::sleep(Duration::from_secs(1));
        lab.register(&registered);
        let listeners: Vec<_> = registered.iter().map(|phone| phone.listen("busy", lab.phones)).collect();
        let outcome = call();
        assert_eq!(outcome.status(), Some(486), "{}\n{}", outcome.trace, lab.logs());
        for listener in listeners {
            listener.end();
        }
    }
}

fn cost(lab: &mut Lab) {
    lab.register(&[&lab.alice]);
    let time = || {
        let alice = lab.alice.listen("answer", lab.phones);
        let start = Instant::now();
        let call = lab.bob.play("call", lab.phones, &[("dial", "1001")]);
        assert!(call.completed, "{}", call.trace);
        let took = start.elapsed();
        alice.end();
        took
    };
    let before = (0..3).map(|_| time()).min().unwrap();
    let more: Vec<_> = (0..9u8).map(|n| manifest("acme", "alice", &format!("spare-{n}"), 0x20 + n)).collect();
    lab.add(&more.join("\n---\n"));
    let applied = "SELECT s.revision FROM public.switch_state s JOIN public.tenants t ON t.id = s.tenant_id
                   WHERE t.name = 'acme' AND s.revision = t.revision";
    std::thread::sleep(Duration::from_secs(2));
    lab.eventually("ten Devices on the switch", || !records::query(&lab.data_dir(), applied).is_empty());
    let after = (0..3).map(|_| time()).min().unwrap();
    eprintln!("a call took {before:?}, and {after:?} with ten Devices that are not registered");
    assert!(after < before + Duration::from_secs(5), "as long as a phone rings: {before:?} {after:?}");
}

fn shut_out(lab: &mut Lab) {
    let (desk, mobile) = (phone(lab, "desk"), phone(lab, "mobile"));
    lab.register(&[&desk, &mobile, &lab.bob]);
    let spec = manifest("acme", "bob", "desk", 1);
    lab.edit(&spec, &format!("{spec}\n  disabled: true"));
    lab.eventually("no registration", || !lab.is_registered(desk.user, ACME));
    assert!(lab.is_registered(mobile.user, ACME) && lab.is_registered("1002", ACME));
    lab.eventually("no row", || registration(lab, "desk").is_none());
    let outcome = desk.play("register", lab.phones, &[]);
    assert_eq!(outcome.status(), Some(403), "{}", outcome.trace);
    let call = desk.play("call", lab.phones, &[("dial", "1001")]);
    assert_eq!(call.status(), Some(403), "{}", call.trace);
    let rings = mobile.listen("answer", lab.phones);
    let call = lab.alice.play("call", lab.phones, &[("dial", "1002")]);
    assert!(call.completed, "{}", call.trace);
    rings.end();
    lab.edit("\n  disabled: true", "");
    lab.eventually("it registers again", || desk.play("register", lab.phones, &[]).completed);
}

fn moved(lab: &mut Lab) {
    let mobile = phone(lab, "mobile");
    lab.register(&[&mobile, &lab.bob]);
    let of = |extension| manifest("acme", extension, "mobile", 2);
    lab.edit(&of("bob"), &of("carol"));
    lab.eventually("no registration", || !lab.is_registered(mobile.user, ACME));
    assert!(lab.is_registered("1002", ACME));
    let user: &'static str = sip_user(lab, "acme", "carol", "mobile").leak();
    let moved = Peer::new(user, ACME, PASSWORD, 91, &lab.dir.path().join("traces"));
    lab.register(&[&moved]);
}

fn another_password(lab: &mut Lab) {
    let user: &'static str = sip_user(lab, "acme", "carol", "mobile").leak();
    let mobile = Peer::new(user, ACME, PASSWORD, 91, &lab.dir.path().join("traces"));
    lab.register(&[&mobile, &lab.bob]);
    let row = || registration(lab, "mobile").and_then(|row| Some(row["call_id"].as_str()?.to_owned()));
    lab.eventually("its registration's row", || row().is_some());
    let (listener, bob) = (mobile.listen("answer", lab.phones), lab.bob.listen("answer", lab.phones));
    lab.edit("stringData: {password: devicedummypassword", "stringData: {password: anotherdummypassword");
    lab.eventually("no registration", || !lab.is_registered(mobile.user, ACME));
    let is_told = |trace: &str| notified(trace, "check-sync;reboot=false") > 0;
    assert!(is_told(&listener.end().trace), "the phone is told while it is still registered");
    assert!(!is_told(&bob.end().trace));
    assert!(lab.is_registered("1002", ACME), "its extension's own phone has another password");
    assert_eq!(mobile.play("register", lab.phones, &[]).status(), Some(403));
}
