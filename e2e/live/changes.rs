//! Each class of change, during a call that must stay up.

use super::lab::{Call, Lab, run};

/// The manifest of one more trunk.
const TRUNK: &str = "
apiVersion: centrex.dev/v1alpha1
kind: Trunk
metadata: {name: second, namespace: carriers}
spec:
  sipProfileRef: {name: external}
  gateways: [{host: 127.0.0.43, port: 15997}]
  sourceAddresses: [192.0.2.9/32]
";

/// The manifest of one more queue.
const QUEUE: &str = "
apiVersion: centrex.dev/v1alpha1
kind: Queue
metadata: {name: second, namespace: acme}
spec:
  tenantRef: {name: acme}
  number: \"3001\"
  strategy: RoundRobin
  agents: [{extensionRef: {name: carol}, level: 2, position: 3}]
";

/// Hold music, as uploaded.
const MUSIC: &str = "
apiVersion: centrex.dev/v1alpha1
kind: MediaFile
metadata: {name: hold, namespace: acme}
spec: {tenantRef: {name: acme}, usage: MusicOnHold, source: {upload: {sha256: a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1}}}
";

#[test]
fn changes_are_applied_during_a_call() {
    run(
        "live::changes::changes_are_applied_during_a_call",
        &[],
        &[
            ("a gateway is added, with its addresses", gateway_comes),
            ("a gateway changes, and no other", gateway_changes),
            ("one gateway is removed, and no other", gateway_goes),
            ("a password changes: only its phone must register again", password),
            ("an extension is removed with its registration", extension_goes),
            ("a queue with an agent is added, changed and removed", queue),
            ("hold music is added and removed", music),
            ("a menu and a conference change, and nothing is done", nothing),
            ("a tenant gets one more domain", domain),
            ("codecs change without harm", codecs),
            ("a port changes when there are no more calls", port),
        ],
    );
}

#[test]
fn suspending_a_tenant_ends_its_calls_and_registrations() {
    run(
        "live::changes::suspending_a_tenant_ends_its_calls_and_registrations",
        &[],
        &[("calls and registrations of one tenant end, and no others", suspension)],
    );
}

/// Makes a change while Alice and Bob talk, and panics if the call is affected.
fn talking(lab: &Lab, work: impl FnOnce(&mut Call)) {
    lab.register(&[&lab.alice, &lab.bob]);
    let mut call = lab.call();
    work(&mut call);
    call.is_up(lab);
    call.end(lab);
}

/// Gateways by proxy: name, and microseconds since the gateway was created.
fn gateways(lab: &Lab) -> Vec<(String, String, u64)> {
    let text = lab.switch.api("sofia xmlstatus gateway");
    let value = |part: &str, name: &str| {
        let rest = part.split_once(&format!("<{name}>")).map(|(_, rest)| rest).unwrap_or_default();
        rest.split('<').next().unwrap_or_default().to_owned()
    };
    let parts = text.split("<gateway>").skip(1);
    parts
        .map(|part| {
            (value(part, "proxy"), value(part, "name"), value(part, "uptime-usec").parse().unwrap_or(0))
        })
        .collect()
}

fn has_gateway(lab: &Lab, proxy: &str) -> bool {
    gateways(lab).iter().any(|(held, ..)| held == proxy)
}

fn gateway_comes(lab: &mut Lab) {
    assert_eq!(lab.switch.api("acl 192.0.2.9 trunks"), "false");
    talking(lab, |_| {
        let before = gateways(lab);
        lab.add(TRUNK);
        lab.eventually("the gateway", || has_gateway(lab, "sip:127.0.0.43:15997"));
        lab.answers("acl 192.0.2.9 trunks", |answer| answer == "true");
        older(&before, &gateways(lab));
    });
}

/// None of these gateways was created again.
fn older(before: &[(String, String, u64)], after: &[(String, String, u64)]) {
    for (proxy, name, age) in before {
        let same = after.iter().any(|held| (&held.0, &held.1) == (proxy, name) && held.2 > *age);
        assert!(same, "{proxy} was touched: {before:?} {after:?}");
    }
}

fn gateway_changes(lab: &mut Lab) {
    talking(lab, |_| {
        let before = gateways(lab);
        let (changed, others): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|(proxy, ..)| proxy == "sip:127.0.0.43:15997");
        lab.edit("port: 15997", "port: 15996");
        lab.eventually("the gateway's new port", || has_gateway(lab, "sip:127.0.0.43:15996"));
        let after = gateways(lab);
        older(&others, &after);
        let name = &changed[0].1;
        assert!(after.iter().any(|held| held.1 == *name && held.2 < changed[0].2 + 60_000_000), "{after:?}");
        assert!(!has_gateway(lab, "sip:127.0.0.43:15997"));
    });
}

fn gateway_goes(lab: &mut Lab) {
    talking(lab, |_| {
        let others: Vec<_> =
            gateways(lab).into_iter().filter(|(proxy, ..)| !proxy.contains("127.0.0.43")).collect();
        lab.remove("name: second, namespace: carriers");
        lab.eventually("no gateway", || !has_gateway(lab, "sip:127.0.0.43:15996"));
        older(&others, &gateways(lab));
        lab.answers("acl 192.0.2.9 trunks", |answer| answer == "false");
    });
}

fn password(lab: &mut Lab) {
    lab.register(&[&lab.carol, &lab.hank]);
    talking(lab, |_| {
        lab.edit("carol-dummy-password", "carol-other-password");
        lab.eventually("no registration", || !lab.is_registered("1003", "acme.example.com"));
        for (user, domain) in
            [("1001", "acme.example.com"), ("1002", "acme.example.com"), ("1001", "globex.example.com")]
        {
            assert!(lab.is_registered(user, domain), "{user}@{domain}");
        }
        let outcome = lab.carol.play("register", lab.phones, &[]);
        assert!(!outcome.completed && outcome.status() == Some(403), "{}", outcome.trace);
    });
    lab.edit("carol-other-password", "carol-dummy-password");
    lab.eventually("the old password again", || {
        lab.carol.play("register", lab.phones, &[]).completed && lab.is_registered("1003", "acme.example.com")
    });
}

fn extension_goes(lab: &mut Lab) {
    lab.register(&[&lab.hank, &lab.ivy]);
    talking(lab, |_| {
        lab.remove("kind: Extension\nmetadata: {name: ivy");
        lab.eventually("no registration", || !lab.is_registered("1002", "globex.example.com"));
        assert!(lab.is_registered("1001", "globex.example.com"));
        assert!(lab.is_registered("1002", "acme.example.com"));
    });
}

fn queue(lab: &mut Lab) {
    let column = |text: &str, queue: &str, index: usize| {
        let line = text.lines().find(|line| line.starts_with(queue)).map(str::to_owned);
        line.and_then(|line| line.split('|').nth(index).map(str::to_owned)).unwrap_or_default()
    };
    talking(lab, |call| {
        lab.add(QUEUE);
        lab.answers("callcenter_config queue list", |text| column(text, "second@", 1) == "round-robin");
        lab.answers("callcenter_config tier list", |text| {
            (column(text, "second@", 3), column(text, "second@", 4)) == ("2".into(), "3".into())
        });
        lab.edit("strategy: RoundRobin", "strategy: TopDown");
        lab.answers("callcenter_config queue list", |text| column(text, "second@", 1) == "top-down");
        lab.edit("level: 2, position: 3", "level: 1, position: 4");
        lab.answers("callcenter_config tier list", |text| {
            (column(text, "second@", 3), column(text, "second@", 4)) == ("1".into(), "4".into())
        });
        lab.edit("{extensionRef: {name: carol}, level: 1, position: 4}", "{extensionRef: {name: bob}}");
        lab.answers("callcenter_config agent list", |text| text.contains("1002@"));
        lab.answers("callcenter_config tier list", |text| column(text, "second@", 1).starts_with("1002@"));
        lab.edit("strategy: TopDown", "strategy: TopDown\n  wrapUpSeconds: 33");
        lab.answers("callcenter_config agent list", |text| column(text, "1002@", 8) == "33");
        call.is_up(lab);
        lab.remove("kind: Queue\nmetadata: {name: second");
        lab.answers("callcenter_config queue list", |text| !text.contains("second@"));
        lab.answers("callcenter_config agent list", |text| !text.contains("1002@"));
        let text = lab.switch.api("callcenter_config queue list");
        assert_eq!(column(&text, "support@", 1), "ring-all");
    });
}

fn music(lab: &mut Lab) {
    let domains = "domains: [acme.example.com]";
    let music = format!("{domains}\n  musicOnHold: {{mediaFileRef: {{name: hold}}}}");
    lab.upload_music();
    talking(lab, |_| {
        lab.add(MUSIC);
        lab.edit(domains, &music);
        lab.answers("local_stream show", |text| text.contains("/music_on_hold"));
        lab.edit(&music, domains);
        lab.answers("local_stream show", |text| !text.contains("/music_on_hold"));
    });
}

/// Number of changes so far, of all kinds.
fn changes(lab: &Lab) -> Vec<String> {
    let metrics = lab.centrex.metrics();
    metrics
        .lines()
        .filter(|line| line.starts_with("centrex_switch_changes_total"))
        .map(str::to_owned)
        .collect()
}

fn nothing(lab: &mut Lab) {
    talking(lab, |_| {
        let (revision, before) = (lab.metric("centrex_replica_newest_tenant_revision"), changes(lab));
        lab.edit("timeoutSeconds: 4", "timeoutSeconds: 5");
        lab.eventually("the revision", || lab.metric("centrex_replica_newest_tenant_revision") > revision);
        lab.edit("number: \"4000\"}", "number: \"4001\"}");
        lab.eventually("the room", || lab.alice.play("call", lab.phones, &[("dial", "4001")]).completed);
        assert_eq!(changes(lab), before);
    });
}

fn domain(lab: &mut Lab) {
    talking(lab, |_| {
        lab.edit("domains: [globex.example.com]", "domains: [globex.example.com, globex.example.net]");
        lab.answers("sofia status", |text| text.contains("globex.example.net"));
    });
}

fn codecs(lab: &mut Lab) {
    talking(lab, |_| {
        lab.edit("codecs: [PCMA, PCMU]", "codecs: [PCMU, PCMA]");
        for profile in ["internal", "external"] {
            lab.answers(&format!("sofia xmlstatus profile {profile}"), |text| {
                text.contains("<inbound-codecs>PCMU,PCMA</inbound-codecs>")
            });
        }
    });
}

fn port(lab: &mut Lab) {
    let (from, to) = (lab.phones, lab.phones + 1);
    let bound = |port: u16| format!("127.0.0.1:{port};");
    lab.register(&[&lab.alice, &lab.bob]);
    let mut call = lab.call();
    lab.edit(&format!("sipPort: {from}"), &format!("sipPort: {to}"));
    lab.eventually("that the change waits", || lab.metric("centrex_switch_drift") >= Some(1.0));
    call.is_up(lab);
    assert!(lab.switch.api("sofia xmlstatus profile internal").contains(&bound(from)));
    call.end(lab);
    lab.answers("sofia xmlstatus profile internal", |text| text.contains(&bound(to)));
    lab.eventually("no drift", || lab.metric("centrex_switch_drift") == Some(0.0));
    lab.phones = to;
    lab.register(&[&lab.alice]);
}

fn suspension(lab: &mut Lab) {
    lab.register(&[&lab.alice, &lab.bob, &lab.hank, &lab.ivy]);
    let mut call = lab.call();
    let ivy = lab.ivy.listen("answer", lab.phones);
    let seconds = std::time::Duration::from_secs(60);
    let mut other = lab.hank.begin("call", lab.phones, &[("dial", "1002")], seconds);
    lab.eventually("both calls", || lab.legs().len() == 4);
    lab.edit("spec: {domains: [globex.example.com]", "spec: {suspended: true, domains: [globex.example.com]");
    lab.eventually("the end of one call", || lab.legs().len() == 2);
    call.is_up(lab);
    lab.eventually("its end at the phone", || {
        !lab.is_registered("1001", "globex.example.com") && !lab.is_registered("1002", "globex.example.com")
    });
    assert!(lab.is_registered("1001", "acme.example.com") && lab.is_registered("1002", "acme.example.com"));
    let _ = other.has_ended();
    drop(other);
    ivy.end();
    call.end(lab);
}
