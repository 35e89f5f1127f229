//! Differences are found and repaired, or only reported; a restarted switch gets the wanted state; a drained
//! switch gets no new calls.

use std::process::Command;

use super::lab::{Lab, run};

#[test]
fn differences_are_repaired() {
    run(
        "live::repair::differences_are_repaired",
        &["--compare-seconds", "5"],
        &[
            ("manual changes are reverted during a call", by_hand),
            ("registrations of unknown users are dropped", stranger),
            ("a killed and restarted switch gets the wanted state", restart),
            ("no new calls while it drains, and new ones after", drain),
        ],
    );
}

#[test]
fn without_repair_differences_are_only_reported() {
    run(
        "live::repair::without_repair_differences_are_only_reported",
        &["--compare-seconds", "5", "--repair", "false"],
        &[("a killed gateway stays away, and is reported", told)],
    );
}

fn gateway(lab: &Lab, proxy: &str) -> Option<String> {
    let text = lab.switch.api("sofia xmlstatus gateway");
    let part = text.split("<gateway>").find(|part| part.contains(proxy))?;
    Some(part.split_once("<name>")?.1.split('<').next()?.to_owned())
}

fn by_hand(lab: &mut Lab) {
    lab.register(&[&lab.alice, &lab.bob]);
    let mut call = lab.call();
    let proxy = "sip:127.0.0.42:15999";
    let name = gateway(lab, proxy).expect("the gateway");
    let queues = lab.switch.api("callcenter_config queue list");
    let queue =
        queues.lines().find_map(|line| line.split('|').next().filter(|name| name.contains("support@")));
    let queue = queue.expect("the queue").to_owned();
    lab.switch.api(&format!("sofia profile external killgw {name}"));
    lab.switch.api(&format!("callcenter_config queue unload {queue}"));
    let agent = format!("1003@{}", queue.split('@').nth(1).unwrap());
    lab.switch.api(&format!("callcenter_config agent set contact {agent} user/nobody"));
    lab.switch.api(&format!("callcenter_config tier del {queue} {agent}"));
    lab.switch.api("callcenter_config agent add intruder callback");
    lab.eventually("the gateway again", || gateway(lab, proxy).as_deref() == Some(name.as_str()));
    lab.answers("callcenter_config queue list", |text| text.contains(&queue));
    lab.answers("callcenter_config tier list", |text| text.contains(&format!("{queue}|{agent}")));
    lab.answers("callcenter_config agent list", |text| {
        text.contains("user/1003@acme.example.com") && !text.contains("intruder")
    });
    lab.eventually("no drift", || lab.metric("centrex_switch_drift") == Some(0.0));
    let metrics = lab.centrex.metrics();
    assert!(metrics.contains(r#"centrex_switch_changes_total{kind="gateway",reason="repair"}"#), "{metrics}");
    call.is_up(lab);
    call.end(lab);
}

/// Registered by a user of the directory, who is removed while Centrex is disconnected.
fn stranger(lab: &mut Lab) {
    lab.register(&[&lab.ivy, &lab.hank]);
    lab.remove("kind: Secret\nmetadata: {name: ivy-sip");
    lab.eventually("no registration", || !lab.is_registered("1002", "globex.example.com"));
    assert!(lab.is_registered("1001", "globex.example.com"));
}

fn restart(lab: &mut Lab) {
    lab.restart_switch();
    lab.eventually("Centrex is connected again", || lab.metric("centrex_esl_connected") == Some(1.0));
    lab.answers("sofia status", |text| text.contains("internal") && text.matches("gateway\t").count() == 2);
    lab.answers("callcenter_config queue list", |text| text.contains("support@"));
    lab.eventually("no drift", || lab.metric("centrex_switch_drift") == Some(0.0));
    assert!(lab.centrex.log().contains("FreeSWITCH was restarted"), "{}", lab.centrex.log());
}

pub(super) fn centrex(lab: &Lab, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
    let output =
        command.arg("switch").args(arguments).arg("--data-dir").arg(lab.data_dir()).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), text.concat())
}

fn drain(lab: &mut Lab) {
    lab.register(&[&lab.alice, &lab.bob]);
    let mut call = lab.call();
    let (done, text) = centrex(lab, &["drain", "--limit", "2"]);
    assert!(!done && text.contains("2 call legs are still up after 2 seconds"), "{text}");
    assert!(text.contains("no new calls; 2 call legs are up"), "{text}");
    call.is_up(lab);
    let refused = lab.alice.play("call", lab.phones, &[("dial", "4000")]);
    assert!(!refused.completed && refused.status() == Some(503), "{}", refused.trace);
    call.end(lab);
    let (done, text) = centrex(lab, &["drain", "--limit", "20"]);
    assert!(done && text.contains("no new calls; 0 call legs are up"), "{text}");
    let (done, text) = centrex(lab, &["resume"]);
    assert!(done && text.contains("new calls are taken"), "{text}");
    let taken = lab.alice.play("call", lab.phones, &[("dial", "4000")]);
    assert!(taken.completed, "{}", taken.trace);
}

fn told(lab: &mut Lab) {
    let proxy = "sip:127.0.0.42:15999";
    let name = gateway(lab, proxy).expect("the gateway");
    lab.switch.api(&format!("sofia profile external killgw {name}"));
    lab.eventually("drift", || lab.metric("centrex_switch_drift") == Some(1.0));
    let compared = |lab: &Lab| lab.metric("centrex_switch_comparisons_total").unwrap_or_default();
    let before = compared(lab);
    lab.eventually("two more comparisons", || compared(lab) >= before + 2.0);
    assert_eq!(gateway(lab, proxy), None, "the drift is only reported");
    // A revision is still applied.
    lab.edit("port: 15998", "port: 15988");
    lab.eventually("the other gateway's new port", || gateway(lab, "sip:127.0.0.41:15988").is_some());
    assert_eq!(gateway(lab, proxy), None);
}
