//! What carriers want, on the wire: a real FreeSWITCH between phones and carriers of many habits.
//!
//! The test runs itself once more in a network and a mount namespace of its own: there it has addresses that
//! are not loopback (TLS is refused there), port 53, and an `/etc/resolv.conf` for the switch's resolver.
//! Needs root, as `ip` and `unshare` do.

mod dns;
mod peer;

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::phone::{Outcome, Peer};
use super::process::Process;
use super::standalone::{PASSWORD, Standalone, USERNAME};
use super::switch::{self, Switch, give};
use crate::program::repository;
use crate::skip::skip;
use crate::wait::{self, DEADLINE};
use peer::{Carrier, Login, Script, field};

const NAME: &str = "freeswitch::carrier::what_carriers_want_is_on_the_wire";
/// Set for the run inside.
const INSIDE: &str = "CENTREX_CARRIER_LAB";
const SWITCH: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 1);
const TRUNKS: u16 = 5080;
const PHONES: u16 = 5060;
const ACME: &str = "acme.example.com";

/// A step: what must be true, and what asks for it.
type Step = (&'static str, fn(&Lab));

const STEPS: &[Step] = &[
    ("a name without a port is found by NAPTR and SRV, and the login is not the user", srv),
    ("a domain is in every URI, and packets go to the edge", domain),
    ("an outbound proxy gets the packets, and calls their password", outbound_proxy),
    ("P-Asserted-Identity is what a trunk sends", asserted),
    ("From alone", from_only),
    ("a hidden caller is known to the carrier alone", hidden),
    ("an emergency call shows its number", emergency),
    ("TLS leads to the port that SRV names", tls),
    ("302 leads a call nowhere, and 488 to the next gateway", refused),
    ("no more calls begin in a second than a trunk takes", rate),
    ("the caller is shown the number that it dialled", told),
    ("the called number is found where the carrier puts it", called_number),
    ("the trusted header names the caller", trusted),
    ("a caller who asks for privacy rings as Anonymous", anonymous),
    ("the caller of a forwarded call is not told where it went", forwarded),
];

#[test]
fn what_carriers_want_is_on_the_wire() {
    let binary = match switch::installed() {
        Ok(binary) => binary,
        Err(missing) => return skip(NAME, &missing),
    };
    if std::env::var_os(INSIDE).is_none() {
        return outside();
    }
    let mut lab = Lab::start(&binary);
    for (what, step) in STEPS {
        super::run_step_with(what, &mut lab, |lab| step(lab), Lab::logs);
    }
}

/// Runs the test again in namespaces of its own.
fn outside() {
    let may = Command::new("unshare").args(["--net", "--mount", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return skip(NAME, "no namespaces without root");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let resolver = dir.path().join("resolv.conf");
    std::fs::write(&resolver, "nameserver 127.0.0.1\n").expect("a file");
    let prepare = "set -e; ip link set lo up; for n in 1 2 3 4 5 6 7 8 9 11 12; do ip address add 10.98.0.$n/24 dev lo; done; \
        mount --bind \"$1\" /etc/resolv.conf; exec \"$2\" \"$3\" --exact --nocapture";
    let status = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", prepare, "sh"])
        .arg(&resolver)
        .arg(std::env::current_exe().expect("this program"))
        .arg(NAME)
        .env(INSIDE, "1")
        .status()
        .expect("unshare");
    assert!(status.success(), "the test failed in its namespaces");
}

/// Centrex, a switch, phones and carriers. Fields end in the order they stand.
struct Lab {
    switch: Switch,
    centrex: Standalone,
    alice: Peer,
    bob: Peer,
    /// Registered with NAPTR and SRV; a registration behind a domain; a proxy; two plain ones.
    srv: Carrier,
    edge: Carrier,
    proxy: Carrier,
    plain: Carrier,
    second: Carrier,
    tls: Process,
    dir: tempfile::TempDir,
}

impl Lab {
    fn start(binary: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("centrex-carrier-").tempdir().expect("a folder");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
        dns::serve(vec![
            dns::naptr("srv-only.test", "SIP+D2U", "_sip._udp.srv-only.test"),
            dns::srv("_sip._udp.srv-only.test", 5090, "node1.srv-only.test"),
            dns::a("node1.srv-only.test", Ipv4Addr::new(10, 98, 0, 2)),
            dns::a("edge1.telco.test", Ipv4Addr::new(10, 98, 0, 3)),
            dns::srv("_sips._tcp.tls.test", 5091, "node1.tls.test"),
            dns::a("node1.tls.test", Ipv4Addr::new(10, 98, 0, 7)),
        ]);
        let login = |username| Some(Login { username, password: "a-carrier-password" });
        let manifests = dir.path().join("manifests");
        std::fs::create_dir_all(&manifests).expect("folder of the manifests");
        let from = repository("e2e/freeswitch/carrier/manifests.yaml");
        std::fs::copy(from, manifests.join("all.yaml")).expect("manifests of the test");
        let traces = dir.path().join("traces");
        let phone = |user, password, host| {
            Peer::from(Ipv4Addr::new(10, 98, 0, host), user, ACME, password, &traces).at(SWITCH)
        };
        let (alice, bob) = (phone("117", "alice-dummy-password", 11), phone("118", "bob-dummy-password", 12));
        let tls = tls_server(dir.path());
        let carriers = [
            Carrier::start(2, 5090, login("acct77@telco.test")),
            Carrier::start(3, 5070, login("acct88")),
            Carrier::start(4, 5060, login("acct99")),
            Carrier::start(5, 5060, None),
            Carrier::start(6, 5060, None),
        ];
        let centrex = Standalone::start(&manifests, dir.path());
        give(&dir.path().join("media"));
        let switch = Switch::start(binary, &dir.path().join("switch"), &centrex.url(), USERNAME, PASSWORD);
        let [srv, edge, proxy, plain, second] = carriers;
        let lab = Self { switch, centrex, alice, bob, srv, edge, proxy, plain, second, tls, dir };
        lab.wait_for("sofia status", |status| status.matches("gateway\t").count() == 7);
        for phone in [&lab.alice, &lab.bob] {
            let outcome = phone.play("register", PHONES, &[]);
            assert!(outcome.completed, "{}", outcome.trace);
        }
        lab
    }

    fn wait_for(&self, command: &str, is_so: impl Fn(&str) -> bool) {
        let so = wait::until(DEADLINE, || self.switch.ask(command).filter(|answer| is_so(answer)));
        assert!(so.is_some(), "{command}: {}\n{}", self.switch.api(command), self.logs());
    }

    /// Dials a number of a phone; the call must be answered.
    fn call(&self, phone: &Peer, number: &str) -> Outcome {
        let call = self.dial(phone, number);
        assert!(call.completed, "{number}: {}", call.trace);
        call
    }

    fn dial(&self, phone: &Peer, number: &str) -> Outcome {
        phone.play("call", PHONES, &[("dial", number)])
    }

    /// Brings a call in from a carrier's address, and what the phone saw that takes it.
    fn comes_in(&self, host: u8, keys: &[(&str, &str)], phone: &Peer) -> (Outcome, Outcome) {
        let mut all = vec![
            ("ruri", "sip:1710163127241@10.98.0.1:5080"),
            ("to", "<sip:1710163127241@10.98.0.1>"),
            ("from", "\"From Name\" <sip:+33100000001@carrier.test>"),
            ("more", "X-None: 0"),
        ];
        for key in keys {
            all.retain(|(name, _)| name != &key.0);
            all.push(*key);
        }
        let traces = self.dir.path().join("traces");
        let carrier =
            Peer::from(Ipv4Addr::new(10, 98, 0, host), "carrier", "test", "none", &traces).at(SWITCH);
        let rings = phone.listen("answer", PHONES);
        let call = carrier.play("inbound", TRUNKS, &all);
        (call, rings.end())
    }

    fn logs(&self) -> String {
        format!("== Centrex\n{}\n== FreeSWITCH\n{}", self.centrex.log(), self.switch.log(80))
    }
}

/// A TLS server that writes down what it gets.
fn tls_server(dir: &Path) -> Process {
    let (key, certificate) = (dir.join("tls.key"), dir.join("tls.crt"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tls.test"])
        .args([Path::new("-keyout"), &key, Path::new("-out"), &certificate])
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{made:?}");
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "10.98.0.7:5091", "-quiet", "-naccept", "9"]);
    command.args([Path::new("-key"), &key, Path::new("-cert"), &certificate]);
    Process::start_with_open_input(&mut command, &dir.join("tls.out"))
}

/// Asserts that a message has a line, or a part of one.
#[track_caller]
fn has(message: &str, part: &str) {
    assert!(message.contains(part), "{part} is not in\n{message}");
}

#[track_caller]
fn has_not(message: &str, part: &str) {
    assert!(!message.contains(part), "{part} is in\n{message}");
}

/// The Request-URI of a request.
fn request_uri(request: &str) -> &str {
    request.split(' ').nth(1).unwrap_or_default()
}

fn srv(lab: &Lab) {
    // Registered: the digest of the other user name was right.
    lab.wait_for("sofia xmlstatus gateway", |status| status.matches("REGED").count() == 2);
    let register = lab.srv.seen("REGISTER").pop().expect("a REGISTER at the host that SRV names");
    has(request_uri(&register), "sip:srv-only.test");
    has_not(request_uri(&register), "5060");
    has(&register, "To: <sip:+4143000100@srv-only.test>");
    has(&register, "username=\"acct77@telco.test\"");
    lab.call(&lab.alice, "814930111");
    let invite = lab.srv.invite();
    assert_eq!(request_uri(&invite), "sip:+4930111@srv-only.test");
    has(&invite, "username=\"acct77@telco.test\"");
}

fn domain(lab: &Lab) {
    let register = lab.edge.seen("REGISTER").pop().expect("a REGISTER at the edge");
    has(request_uri(&register), "sip:telco.test");
    has(&register, "To: <sip:acct88@telco.test>");
    has(&register, "Contact: <sip:acct88@10.98.0.1:5080");
    lab.call(&lab.alice, "824930111");
    let invite = lab.edge.invite();
    assert_eq!(request_uri(&invite), "sip:+4930111@telco.test");
    has(field(&invite, "From").unwrap(), "<sip:acct88@telco.test>");
    has(field(&invite, "To").unwrap(), "<sip:+4930111@telco.test>");
    // The extension's direct number, in the header that the trunk wants.
    has(field(&invite, "P-Preferred-Identity").unwrap(), "<sip:+493023125117@telco.test>");
    for other in ["P-Asserted-Identity", "Remote-Party-ID", "Privacy:"] {
        has_not(&invite, other);
    }
}

fn outbound_proxy(lab: &Lab) {
    assert!(lab.proxy.seen("REGISTER").is_empty());
    lab.call(&lab.alice, "834930111");
    let invite = lab.proxy.invite();
    assert_eq!(request_uri(&invite), "sip:+4930111@pbx.customer.test;user=phone");
    has(field(&invite, "To").unwrap(), "<sip:+4930111@pbx.customer.test;user=phone>");
    has(field(&invite, "From").unwrap(), "<sip:+493023125117@pbx.customer.test;user=phone>");
    has(
        field(&invite, "Remote-Party-ID").unwrap(),
        "<sip:+493023125117@pbx.customer.test>;party=calling;screen=yes;privacy=off",
    );
    has(&invite, "username=\"acct99\"");
    has_not(&invite, "P-Asserted-Identity");
}

fn asserted(lab: &Lab) {
    lab.call(&lab.alice, "844930111");
    let invite = lab.plain.invite();
    assert_eq!(request_uri(&invite), "sip:+4930111@10.98.0.5:5060");
    has(field(&invite, "From").unwrap(), "\"Acme\" <sip:+493023125117@10.98.0.5>");
    has(field(&invite, "P-Asserted-Identity").unwrap(), "<sip:+493023125117@10.98.0.5>");
    for other in ["Remote-Party-ID", "P-Preferred-Identity", "Privacy:", "user=phone", "Authorization"] {
        has_not(&invite, other);
    }
}

fn from_only(lab: &Lab) {
    lab.call(&lab.alice, "854930111");
    let invite = lab.second.invite();
    has(field(&invite, "From").unwrap(), "<sip:+493023125117@10.98.0.6>");
    for other in ["Remote-Party-ID", "-Identity", "Privacy:"] {
        has_not(&invite, other);
    }
}

fn hidden(lab: &Lab) {
    for (number, carrier, header) in [
        ("824930111", &lab.edge, Some("P-Preferred-Identity")),
        ("834930111", &lab.proxy, Some("Remote-Party-ID")),
        ("844930111", &lab.plain, Some("P-Asserted-Identity")),
        ("854930111", &lab.second, None),
    ] {
        lab.call(&lab.bob, number);
        let invite = carrier.invite();
        has(field(&invite, "From").unwrap(), "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
        match header {
            Some("Remote-Party-ID") => {
                let header = field(&invite, "Remote-Party-ID").unwrap();
                has(header, "<sip:+493023125018@");
                has(header, "privacy=full");
            }
            Some(header) => {
                has(field(&invite, header).unwrap(), "<sip:+493023125018@");
                has(&invite, "Privacy: id");
            }
            None => {
                has_not(&invite, "493023125018");
                has(&invite, "Privacy: id");
            }
        }
        let contact = field(&invite, "Contact").unwrap();
        has_not(contact, "493023125018");
    }
}

fn emergency(lab: &Lab) {
    lab.call(&lab.bob, "112");
    let invite = lab.plain.invite();
    has(field(&invite, "From").unwrap(), "<sip:+493023125000@");
    has(field(&invite, "P-Asserted-Identity").unwrap(), "<sip:+493023125000@");
    has_not(&invite, "Privacy:");
    has_not(&invite, "nonymous");
}

fn tls(lab: &Lab) {
    let mut call = lab.alice.begin("call", PHONES, &[("dial", "864930111")], Duration::from_secs(1));
    let seen = || {
        let text = std::fs::read_to_string(lab.dir.path().join("tls.out")).unwrap_or_default();
        text.contains("INVITE sip:").then_some(text)
    };
    let text = wait::until(DEADLINE, seen).unwrap_or_else(|| panic!("{}", lab.tls.tail(20)));
    has(&text, "INVITE sip:+4930111@tls.test;transport=tls SIP/2.0");
    has(&text, "Via: SIP/2.0/TLS 10.98.0.1:5081");
    wait::until(DEADLINE, || call.has_ended().then_some(())).expect("the call gives up");
}

fn refused(lab: &Lab) {
    for script in [Script::Moved, Script::NotAcceptable] {
        // Each call has a second of its own at this trunk, and both gateways are tried.
        std::thread::sleep(Duration::from_millis(1100));
        lab.plain.play(script);
        lab.call(&lab.alice, "844930111");
        assert_eq!(lab.plain.seen("INVITE").len(), 1);
        // The address of the 302 gets nothing; the second trunk has the second gateway too.
        let invite = lab.second.invite();
        assert_eq!(request_uri(&invite), "sip:+4930111@10.98.0.6:5060");
    }
    lab.plain.play(Script::Answer);
}

fn rate(lab: &Lab) {
    std::thread::sleep(Duration::from_millis(1100));
    let call = || lab.alice.begin("call", PHONES, &[("dial", "844930111")], Duration::from_secs(1));
    let both = [call(), call()];
    for mut call in both {
        wait::until(DEADLINE, || call.has_ended().then_some(())).expect("the call ends");
    }
    let (first, second) = (lab.plain.seen("INVITE").len(), lab.second.seen("INVITE").len());
    // Two calls within a second, or on both sides of its end: then the next trunk has none.
    assert_eq!(first + second, 2, "{first} and {second}");
    let log = lab.switch.log(400);
    assert!(second == 1 || log.contains("rate"), "{first} and {second}\n{log}");
}

fn told(lab: &Lab) {
    for number in ["814930111", "844930111"] {
        std::thread::sleep(Duration::from_millis(1100));
        let call = lab.call(&lab.alice, number);
        has_not(&call.trace, "Outbound Call");
        // What it sent itself, and what carriers got, is another matter than what it was told.
        for answer in call.trace.split("UDP message received").skip(1) {
            has_not(answer, "sip:+4930111@");
        }
        has(&call.trace, &format!("\"{number}\" <sip:{number}@"));
        has(&call.trace, "SIP/2.0 183");
    }
}

fn called_number(lab: &Lab) {
    for (host, keys) in [
        (3, [("more", "P-Called-Party-ID: <sip:+493023125117@telco.test;user=phone>")].as_slice()),
        (4, [("to", "<sip:+493023125201@10.98.0.1>")].as_slice()),
        (5, [("ruri", "sip:+493023125202;npdi@10.98.0.1:5080")].as_slice()),
        (6, [("more", "Diversion: <sip:+493023125204@x.test>;reason=unconditional")].as_slice()),
    ] {
        let (call, alice) = lab.comes_in(host, keys, &lab.alice);
        assert!(call.completed, "{host}: {}\n{}", call.trace, lab.logs());
        assert_eq!(alice.received("INVITE").len(), 1, "{host}: {}", alice.trace);
    }
    // The number that a trunk does not read there is none.
    let (call, _) = lab.comes_in(5, &[("to", "<sip:+493023125202@10.98.0.1>")], &lab.alice);
    assert_eq!(call.status(), Some(404), "{}", call.trace);
    // No extension has these digits.
    let (call, bob) =
        lab.comes_in(3, &[("more", "P-Called-Party-ID: <sip:+493023125155@telco.test>")], &lab.bob);
    assert!(call.completed && bob.received("INVITE").len() == 1, "{}", call.trace);
}

fn trusted(lab: &Lab) {
    let asserted = ("more", "P-Asserted-Identity: \"Asserted\" <sip:+33100000002@carrier.test>");
    // FreeSWITCH's own choice, and From alone.
    let (call, alice) =
        lab.comes_in(5, &[("ruri", "sip:+493023125202@10.98.0.1:5080"), asserted], &lab.alice);
    assert!(call.completed, "{}", call.trace);
    has(&alice.trace, "<sip:+33100000002@acme.example.com>");
    let (call, alice) = lab.comes_in(4, &[("to", "<sip:+493023125201@10.98.0.1>"), asserted], &lab.alice);
    assert!(call.completed, "{}", call.trace);
    has(&alice.trace, "\"From Name\" <sip:+33100000001@acme.example.com>");
    has_not(&alice.trace, "+33100000002");
}

fn anonymous(lab: &Lab) {
    let (call, alice) = lab.comes_in(
        5,
        &[
            ("ruri", "sip:+493023125202@10.98.0.1:5080"),
            ("from", "\"Anonymous\" <sip:anonymous@anonymous.invalid>"),
            ("more", "P-Asserted-Identity: \"Secret\" <sip:+33100000003@carrier.test>\r\nPrivacy: id"),
        ],
        &lab.alice,
    );
    assert!(call.completed, "{}", call.trace);
    has(&alice.trace, "From: \"Anonymous\" <sip:anonymous@acme.example.com>");
    has_not(&alice.trace, "+33100000003");
    has_not(&alice.trace, "Secret");
}

fn forwarded(lab: &Lab) {
    lab.srv.seen("INVITE");
    let (call, _) = lab.comes_in(
        5,
        &[("ruri", "sip:+493023125203@10.98.0.1:5080"), ("to", "<sip:+493023125203@10.98.0.1>")],
        &lab.bob,
    );
    assert!(call.completed, "{}", call.trace);
    // The first route that makes such a number of what is dialled.
    assert_eq!(request_uri(&lab.srv.invite()), "sip:+4917099999@srv-only.test");
    has_not(&call.trace, "17099999");
    has_not(&call.trace, "Outbound Call");
    has(&call.trace, "\"+493023125203\" <sip:+493023125203@");
}
