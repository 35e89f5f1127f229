//! Emergency calls on a running FreeSWITCH, for every fault of the emergency trunk, with and without another
//! trunk. Every case is a tenant on one switch, and all call at the same time.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::freeswitch::phone::{Listener, Outcome, Peer};
use crate::freeswitch::process::free_port;
use crate::freeswitch::records::emergency_calls;
use crate::freeswitch::standalone::{PASSWORD, Standalone, USERNAME};
use crate::freeswitch::switch::{ESL_PASSWORD, Switch, installed};
use crate::program::sample;
use crate::skip::skip;
use crate::wait::{DEADLINE, until};

/// A fault of an emergency trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// No trunk of this name exists.
    Missing,
    /// The carrier answers no pings.
    Down,
    /// The carrier accepts no registration.
    NotRegistered,
    /// The carrier answers every call with a status.
    Answers(u16),
    /// The carrier sends a provisional answer before 404.
    Announces,
    /// The carrier does not answer.
    Silent,
    /// No fault: the case that the others are compared with.
    None,
}

/// The program that listens at a gateway.
enum Carrier {
    Nobody,
    Curt(Curt),
    Sipp(Listener),
}

/// Answers every call with one status, or not at all.
struct Curt {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Curt {
    fn listen(carrier: &Peer, status: Option<u16>) -> Self {
        let socket = UdpSocket::bind((carrier.address, carrier.port)).expect("its port");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut packet, mut messages) = ([0; 4096], Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, sender)) = socket.recv_from(&mut packet) else { continue };
                let message = String::from_utf8_lossy(&packet[..length]).into_owned();
                if let Some(status) = status.filter(|_| message.starts_with("INVITE")) {
                    socket.send_to(refusal(&message, status).as_bytes(), sender).expect("an answer");
                }
                messages.push(message);
            }
            messages
        });
        Self { stop, thread }
    }

    /// Received messages.
    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a carrier")
    }
}

/// The final answer to a request.
fn refusal(request: &str, status: u16) -> String {
    let copied = request.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        match line.split_once(':')?.0 {
            "Via" | "From" | "Call-ID" | "CSeq" => Some(format!("{line}\r\n")),
            "To" => Some(format!("{line};tag=curt\r\n")),
            _ => None,
        }
    });
    format!("SIP/2.0 {status} Refused\r\n{}Content-Length: 0\r\n\r\n", copied.collect::<String>())
}

/// A tenant with an emergency trunk, and perhaps another trunk.
struct Case {
    trouble: Trouble,
    name: &'static str,
    caller: Peer,
    carrier: Peer,
    other: Option<Peer>,
}

/// The result of a call.
struct Called {
    outcome: Outcome,
    took: Duration,
    /// INVITEs at the emergency trunk's carrier, and at the other carrier.
    invites: (usize, usize),
}

const TROUBLES: [(Trouble, &str, &str); 10] = [
    (Trouble::None, "fine-with", "fine-alone"),
    (Trouble::Missing, "missing-with", "missing-alone"),
    (Trouble::Down, "down-with", "down-alone"),
    (Trouble::NotRegistered, "unregistered-with", "unregistered-alone"),
    (Trouble::Answers(486), "busy-with", "busy-alone"),
    (Trouble::Answers(503), "unavailable-with", "unavailable-alone"),
    (Trouble::Answers(404), "unknown-with", "unknown-alone"),
    (Trouble::Answers(603), "declined-with", "declined-alone"),
    (Trouble::Announces, "announces-with", "announces-alone"),
    (Trouble::Silent, "silent-with", "silent-alone"),
];

/// Time of a call beyond its timeouts: twenty calls start together, and FreeSWITCH rounds the timeout of a
/// silent gateway to whole seconds.
const SLACK: Duration = Duration::from_secs(8);
/// The pauses between rounds.
const PAUSES: Duration = Duration::from_secs(6);
/// Timeout of a silent gateway, with and without another gateway.
const SILENCE: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(3));

#[test]
fn an_emergency_call_uses_another_trunk_when_its_own_fails() {
    let binary = match installed() {
        Ok(binary) => binary,
        Err(missing) => return skip("live::emergency", &missing),
    };
    let lab = Lab::start(&binary);
    lab.eventually("four gateways are down", || {
        lab.switch.api("sofia xmlstatus gateway").matches("<status>DOWN</status>").count() == 4
    });
    let called: Vec<(&Case, Called)> = std::thread::scope(|scope| {
        let calls: Vec<_> = lab.cases.iter().map(|case| (case, scope.spawn(|| lab.call(case)))).collect();
        calls.into_iter().map(|(case, call)| (case, call.join().expect("a call"))).collect()
    });
    let wrong: Vec<String> = called.iter().filter_map(|(case, called)| judge(case, called).err()).collect();
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), lab.logs());
    says_so(&lab);
    are_recorded(&lab);
    suspended(&lab);
    comes_back(&lab);
}

/// Checks where a call went, and when.
fn judge(case: &Case, called: &Called) -> Result<(), String> {
    let Called { outcome, took, invites } = called;
    let with = case.other.is_some();
    let tried = !matches!(case.trouble, Trouble::Missing | Trouble::Down | Trouble::NotRegistered);
    let (answered, expected, waits) = match case.trouble {
        Trouble::None => (true, (1, 0), Duration::ZERO),
        Trouble::Silent if with => (true, (1, 1), SILENCE.0),
        _ if with => (true, (usize::from(tried), 1), Duration::ZERO),
        // No gateway exists, so none is tried again.
        Trouble::Missing => (false, (0, 0), Duration::ZERO),
        Trouble::Silent => (false, (3, 0), SILENCE.1 * 3 + PAUSES),
        _ => (false, (if tried { 3 } else { 0 }, 0), PAUSES),
    };
    let placed = match answered {
        true => outcome.completed,
        false => !outcome.completed && outcome.status() == Some(503),
    };
    if placed && *invites == expected && *took >= waits && *took < waits + SLACK {
        return Ok(());
    }
    Err(format!(
        "{}: INVITEs {invites:?} for {expected:?}, completed {}, last status {:?}, after {took:?}\n{}",
        case.name,
        outcome.completed,
        outcome.status(),
        outcome.trace
    ))
}

/// Number of calls to 112 in messages; each INVITE may be retransmitted.
fn calls<'a>(messages: impl IntoIterator<Item = &'a str>) -> usize {
    let invites = messages.into_iter().filter(|message| message.contains("INVITE sip:112@"));
    let id = |message: &'a str| message.lines().find(|line| line.starts_with("Call-ID:"));
    invites.filter_map(id).collect::<BTreeSet<_>>().len()
}

/// The log says whose emergency trunk cannot be used, and what is done instead.
fn says_so(lab: &Lab) {
    let told = |tenant: &str| {
        let is_told = |line: &str| line.contains("emergency calls of a tenant") && line.contains(tenant);
        lab.log().lines().any(is_told)
    };
    // A gateway that registers for the first time, or again, is neither up nor down for a moment.
    for tenant in ["missing-with", "down-with", "down-alone", "unregistered-with", "unregistered-alone"] {
        lab.eventually(&format!("a word on the emergency trunk of {tenant}"), || told(tenant));
    }
    for tenant in ["fine-with", "busy-with"] {
        assert!(!told(tenant), "{tenant}\n{}", lab.log());
    }
}

/// Each call is in Postgres once, with what the service was shown, and counted.
fn are_recorded(lab: &Lab) {
    let calls = || emergency_calls(&lab.dir.path().join("data"));
    lab.eventually("a row for each call", || calls().len() == lab.cases.len());
    for case in &lab.cases {
        let calls = calls();
        let mut own = calls.iter().filter(|call| call["tenant"] == case.name);
        let (call, other) = (own.next().expect("its row"), own.next());
        assert_eq!(other, None);
        assert_eq!(
            (&call["number"], &call["extension"], &call["internal"]),
            (&json!("112"), &json!("caller"), &json!("1001"))
        );
        assert_eq!(call["location"]["name"], "site", "{call}");
        assert_eq!(call["shown"], "+493012345601", "{call}");
        assert!(call["announced_at"].is_null() && call["delivered_at"].is_null());
    }
    let metric = |name: &str| sample(&lab.centrex.metrics(), name);
    let all = lab.cases.len() as f64;
    assert_eq!(metric("centrex_emergency_calls_total"), Some(all));
    assert_eq!(metric("centrex_emergency_calls_waiting"), Some(0.0));
    assert!(lab.log().contains("an emergency call"), "{}", lab.log());
}

/// A tenant is suspended during an emergency call, which goes on. Then its phone registers, and makes emergency
/// calls only.
fn suspended(lab: &Lab) {
    let case = lab.cases.iter().find(|case| case.name == "fine-with").expect("the case");
    let carrier = case.carrier.listen("answer", lab.trunks);
    let mut talk = case.caller.begin("call", lab.phones, &[("dial", "112")], Duration::from_secs(120));
    lab.eventually("the call", || lab.switch.legs().len() == 2);
    let legs = lab.switch.legs();
    let dial = |number: &str| case.caller.play("call", lab.phones, &[("dial", number)]);
    assert_eq!(dial("1001").status(), Some(480), "its own phone is not registered");
    let domain = "  domains: [fine-with.example.com]\n";
    lab.edit(domain, &format!("{domain}  suspended: true\n"));
    lab.eventually("the suspension", || dial("1001").status() == Some(403));
    // The legs of the call that was refused may still be there for a moment.
    lab.eventually("the emergency call alone", || lab.switch.legs() == legs);
    assert!(!talk.has_ended(), "the emergency call ended\n{}", lab.logs());
    let registered = case.caller.play("register", lab.phones, &[]);
    assert!(registered.completed, "{}", registered.trace);
    let outcome = dial("112");
    assert!(outcome.completed, "{}\n{}", outcome.trace, lab.logs());
    // The legs of the call that was refused may still be there for a moment.
    lab.eventually("the emergency call alone", || lab.switch.legs() == legs);
    assert!(!talk.has_ended(), "the emergency call ended\n{}", lab.logs());
    drop(talk);
    assert_eq!(calls(carrier.end().received("INVITE")), 2);
}

/// The only trunk registers and is created again: the call waits until the trunk is back.
fn comes_back(lab: &Lab) {
    let case = lab.cases.iter().find(|case| case.name == "fine-alone").expect("the case");
    let carrier = case.carrier.listen("registrar_answer", lab.trunks);
    let gateway = |lab: &Lab| {
        let all = lab.switch.api("sofia xmlstatus gateway");
        let own = format!("{}:{}", case.carrier.address, case.carrier.port);
        all.split("<gateway>").find(|gateway| gateway.contains(&own)).unwrap_or_default().to_owned()
    };
    let is_up = |lab: &Lab| gateway(lab).contains("<status>UP</status>");
    let registered = "registration: {username: fine, secretRef: {name: carrier}}";
    lab.edit("# fine-alone\n", &format!("# fine-alone\n  {registered}\n"));
    lab.eventually("the gateway is registered", || {
        gateway(lab).contains("<state>REGED</state>") && is_up(lab)
    });
    lab.edit(registered, &registered.replace("fine,", "fine, expirySeconds: 300,"));
    let gone = until(DEADLINE, || (!is_up(lab)).then_some(()));
    assert!(gone.is_some(), "the gateway was never created again\n{}", lab.logs());
    let outcome = case.caller.play("call", lab.phones, &[("dial", "112")]);
    let carrier = carrier.end();
    assert!(outcome.completed, "{}\n{}\n{}", outcome.trace, carrier.trace, lab.logs());
    assert_eq!(carrier.received("INVITE").len(), 1, "{}", carrier.trace);
}

/// Centrex, a switch, and all phones and carriers.
struct Lab {
    switch: Switch,
    centrex: Standalone,
    phones: u16,
    trunks: u16,
    cases: Vec<Case>,
    dir: tempfile::TempDir,
}

impl Lab {
    fn start(binary: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("centrex-emergency-").tempdir().expect("a folder");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
        let port = || free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (phones, trunks, esl_port) = (port(), port(), port());
        let cases = cases(&dir.path().join("traces"));
        let manifests = dir.path().join("manifests");
        std::fs::create_dir_all(&manifests).expect("folder of the manifests");
        let profile = |name: &str, role: &str, port: u16| {
            format!(
                "{{apiVersion: centrex.dev/v1alpha1, kind: SipProfile, metadata: {{name: {name}}}, \
                 spec: {{role: {role}, bindAddress: 127.0.0.1, sipPort: {port}, codecs: [PCMA]}}}}\n---\n"
            )
        };
        let mut text = profile("internal", "Phones", phones) + &profile("external", "Trunks", trunks);
        text.extend(cases.iter().map(Case::manifests));
        std::fs::write(manifests.join("all.yaml"), text).expect("the manifests");
        let address = format!("127.0.0.1:{esl_port}");
        let options = ["--esl-address", &address, "--esl-password", ESL_PASSWORD];
        let centrex = Standalone::start_with(&manifests, dir.path(), &options);
        let credentials = (USERNAME, PASSWORD);
        let switch =
            Switch::start_at(binary, &dir.path().join("switch"), &centrex.url(), credentials, esl_port);
        let lab = Self { switch, centrex, phones, trunks, cases, dir };
        let gateways = lab.cases.iter().map(Case::gateways).sum::<usize>();
        lab.eventually("all gateways exist", || {
            lab.switch.api("sofia xmlstatus gateway").matches("<gateway>").count() == gateways
        });
        lab
    }

    /// Calls 112 from a tenant while its carriers listen.
    fn call(&self, case: &Case) -> Called {
        let carrier = case.carrier(self.trunks);
        let other = case.other.as_ref().map(|other| other.listen("answer", self.trunks));
        let start = Instant::now();
        let outcome = case.caller.play("call", self.phones, &[("dial", "112")]);
        let took = start.elapsed();
        let other = other.map_or(0, |other| calls(other.end().received("INVITE")));
        Called { outcome, took, invites: (carrier.calls(), other) }
    }

    fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        let held = until(DEADLINE, || holds().then_some(()));
        assert!(held.is_some(), "never came: {what}\n{}", self.logs());
    }

    fn edit(&self, from: &str, to: &str) {
        let file = self.dir.path().join("manifests/all.yaml");
        let text = std::fs::read_to_string(&file).expect("the manifests");
        assert!(text.contains(from), "the manifests have no {from}");
        let new = file.with_extension("new");
        std::fs::write(&new, text.replace(from, to)).expect("the manifests");
        std::fs::rename(&new, &file).expect("the manifests");
    }

    /// The output of Centrex.
    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("centrex.out")).expect("its output")
    }

    fn logs(&self) -> String {
        format!(
            "== Centrex\n{}\n== FreeSWITCH\n{}\n{}",
            self.centrex.log(),
            self.switch.log(80),
            self.switch.ask("sofia status gateway").unwrap_or_default()
        )
    }
}

/// Every fault, with and without another trunk.
fn cases(traces: &Path) -> Vec<Case> {
    let names = TROUBLES
        .iter()
        .flat_map(|(trouble, with, alone)| [(*trouble, *with, true), (*trouble, *alone, false)]);
    let case = |(host, (trouble, name, with)): (u8, (Trouble, &'static str, bool))| {
        let traces: PathBuf = traces.join(name);
        let domain: &'static str = Box::leak(format!("{name}.example.com").into_boxed_str());
        let peer = |user, password, host| Peer::new(user, domain, password, host, &traces);
        Case {
            trouble,
            name,
            caller: peer("1001", "caller-dummy-password", host),
            carrier: peer("carrier", "none", 60 + host),
            other: with.then(|| peer("other", "none", 120 + host)),
        }
    };
    (130..).map(|host| host - 50).zip(names).map(case).collect()
}

impl Case {
    fn gateways(&self) -> usize {
        usize::from(self.trouble != Trouble::Missing) + usize::from(self.other.is_some())
    }

    /// The program that listens at the emergency trunk's gateway.
    fn carrier(&self, trunks: u16) -> Carrier {
        let sipp = |scenario| Carrier::Sipp(self.carrier.listen(scenario, trunks));
        match self.trouble {
            Trouble::Missing | Trouble::Down | Trouble::NotRegistered => Carrier::Nobody,
            Trouble::Answers(status) => Carrier::Curt(Curt::listen(&self.carrier, Some(status))),
            Trouble::Silent => Carrier::Curt(Curt::listen(&self.carrier, None)),
            Trouble::Announces => sipp("announce"),
            Trouble::None => sipp("answer"),
        }
    }

    fn manifests(&self) -> String {
        let name = self.name;
        let object = |kind: &str, of: &str, spec: &str| {
            format!(
                "apiVersion: centrex.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {of}, namespace: {name}}}\nspec:\n{spec}---\n"
            )
        };
        let trunk = |of: &str, peer: &Peer, more: &str| {
            let gateway = format!("{{host: {}, port: {}}}", peer.address, peer.port);
            let seconds = if self.trouble == Trouble::Silent && self.other.is_none() { 3 } else { 30 };
            let spec = format!(
                "  sipProfileRef: {{name: external}}\n  gateways: [{gateway}]\n  progressTimeoutSeconds: {seconds}\n{more}"
            );
            object("Trunk", of, &spec)
        };
        let secret = |of: &str| {
            format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: {of}, namespace: {name}}}\nstringData: {{password: caller-dummy-password}}\n---\n"
            )
        };
        let more = match self.trouble {
            Trouble::Down => "  pingSeconds: 5\n".to_owned(),
            Trouble::NotRegistered => {
                "  registration: {username: nobody, secretRef: {name: carrier}}\n".to_owned()
            }
            _ => format!("  # {name}\n"),
        };
        let tenant = format!(
            "  domains: [{name}.example.com]\n  emergency: {{numbers: [\"112\"], trunkRef: {{name: emergency}}, \
             defaultLocationRef: {{name: site}}, locations: [{{name: site, callerIdNumber: \"+493012345601\"}}]}}\n"
        );
        let extension = format!("  tenantRef: {{name: {name}}}\n  number: \"1001\"\n");
        let mut text = object("Tenant", name, &tenant);
        text += &object("Extension", "caller", &extension);
        text += &(secret("caller-sip") + &secret("carrier"));
        if self.trouble != Trouble::Missing {
            text += &trunk("emergency", &self.carrier, &more);
        }
        if let Some(other) = &self.other {
            text += &trunk("other", other, "");
        }
        text
    }
}

impl Carrier {
    /// Received calls to 112.
    fn calls(self) -> usize {
        match self {
            Self::Nobody => 0,
            Self::Sipp(listener) => calls(listener.end().received("INVITE")),
            Self::Curt(curt) => calls(curt.end().iter().map(String::as_str)),
        }
    }
}
