//! The applications and commands that a switch allows: no more than Centrex uses.

use std::collections::BTreeSet;

use centrex::freeswitch::esl::Api;
use centrex::route::app::{Cause, DialplanApp, Variable, actions};
use centrex::route::dial_string::{DialString, Order};
use centrex::route::legal::Word;
use uuid::Uuid;

use super::File;

/// Applications that FreeSWITCH runs by itself; the dialplan uses all of them, too.
const OF_ITSELF: [&str; 5] = [
    "bridge",     // by limit_execute
    "playback",   // hold music
    "set",        // a call that is parked
    "sleep",      // the same
    "valet_park", // the same
];

/// Commands for people and for our tests: none of them makes a call, changes a call or runs another command.
const OF_PEOPLE: [&str; 14] = [
    "acl",
    "console_complete",
    "console_complete_xml",
    "help",
    "hostname",
    "interface_allowlist_dump",
    "module_exists",
    "reloadxml",
    "sofia_contact",
    "status",
    "switchname",
    "uptime",
    "user_exists",
    "uuid_dump",
];

/// Entries in the order of the file: `module.name.type`.
pub fn entries() -> Vec<String> {
    let file = File::read("interface_allowlist.xml");
    let names = file.root.all("allow").into_iter().filter_map(|allow| allow.attribute("name"));
    names.map(str::to_owned).collect()
}

/// Allowed names of a type.
pub fn allowed(kind: &str) -> BTreeSet<String> {
    let entries = entries().into_iter();
    let names = entries.filter_map(|entry| match entry.split('.').collect::<Vec<_>>()[..] {
        [_, name, of] if of == kind => Some(name.to_owned()),
        _ => None,
    });
    names.collect()
}

fn word(text: &str) -> Word {
    Word::new(text).expect("a word")
}

/// Every application that the dialplan uses, one after the other: a new application must be added here.
fn after(app: &DialplanApp) -> Option<DialplanApp> {
    Some(match app {
        DialplanApp::Answer => DialplanApp::Bridge(DialString {
            variables: Vec::new(),
            legs: Vec::new(),
            order: Order::Together,
        }),
        DialplanApp::Bridge(dial) => DialplanApp::LimitedBridge {
            realm: word("t"),
            most: Some(1),
            per_second: None,
            dial: dial.clone(),
        },
        DialplanApp::LimitedBridge { .. } => DialplanApp::Callcenter { queue: word("q") },
        DialplanApp::Callcenter { .. } => DialplanApp::Conference { room: word("r") },
        DialplanApp::Conference { .. } => DialplanApp::ConsentTone,
        DialplanApp::ConsentTone => DialplanApp::Echo,
        DialplanApp::Echo => DialplanApp::Hangup(Cause::NormalClearing),
        DialplanApp::Hangup(_) => DialplanApp::Ivr { menu: word("m") },
        DialplanApp::Ivr { .. } => DialplanApp::Limit { realm: word("t"), most: 1 },
        DialplanApp::Limit { .. } => DialplanApp::LimitPerDay { realm: word("t"), most: 1 },
        DialplanApp::LimitPerDay { .. } => DialplanApp::RecordSession { path: word("f") },
        DialplanApp::RecordSession { .. } => DialplanApp::SchedHangup { seconds: 1 },
        DialplanApp::SchedHangup { .. } => DialplanApp::Set(Variable::HangupAfterBridge),
        DialplanApp::Set(_) => DialplanApp::Sleep { milliseconds: 1 },
        DialplanApp::Sleep { .. } => DialplanApp::Transfer { destination: word("1"), context: word("c") },
        DialplanApp::Transfer { .. } => DialplanApp::ValetPark { lot: word("l"), place: word("1") },
        DialplanApp::ValetPark { .. } => {
            DialplanApp::VoicemailCheck { domain: word("d"), id: word("1"), without_pin: false }
        }
        DialplanApp::VoicemailCheck { .. } => {
            DialplanApp::VoicemailLeave { domain: word("d"), id: word("1") }
        }
        DialplanApp::VoicemailLeave { .. } => return None,
    })
}

#[test]
fn every_entry_of_the_allowlist_names_one_application_or_command() {
    let entries = entries();
    for entry in &entries {
        let parts: Vec<&str> = entry.split('.').collect();
        assert!(
            matches!(parts[..], [module, name, "api" | "app"] if module.starts_with("mod_") && !name.is_empty()),
            "deploy/freeswitch/interface_allowlist.xml: {entry} must be module.name.api or module.name.app: \
             a module, or a name without a type, allows more"
        );
    }
    assert_eq!(entries.iter().collect::<BTreeSet<_>>().len(), entries.len(), "a duplicate entry");
}

#[test]
fn the_allowed_applications_are_those_the_dialplan_uses() {
    let apps: Vec<DialplanApp> = std::iter::successors(Some(DialplanApp::Answer), after).collect();
    let mut written: BTreeSet<String> = apps.iter().map(|app| app.action().application.to_owned()).collect();
    let two = [Variable::HangupAfterBridge, Variable::TransferRingback].map(DialplanApp::Set);
    written.extend(actions(&two).iter().map(|action| action.application.to_owned()));
    assert_eq!(
        allowed("app"),
        written,
        "deploy/freeswitch/interface_allowlist.xml: an application more than src/route/app.rs writes is one for \
         an attacker, one less ends calls"
    );
    for application in OF_ITSELF {
        assert!(written.contains(application), "{application} is run by FreeSWITCH itself");
    }
}

#[test]
fn the_allowed_commands_are_those_of_centrex_and_read_only_ones() {
    let of_centrex = [
        Api::Version,
        Api::CoreUuid,
        Api::Channels,
        Api::LegVariable { leg: Uuid::nil(), variable: "v" },
        Api::Profiles,
        Api::ReloadAcl,
        Api::Queues,
        Api::Streams,
        Api::EndLegsWith { variable: "v", value: word("v") },
        Api::EndLeg(Uuid::nil()),
        Api::Ready,
    ];
    let commands =
        of_centrex.iter().map(|api| api.to_string().split(' ').next().unwrap_or_default().to_owned());
    let commands: BTreeSet<String> = commands.chain(OF_PEOPLE.map(str::to_owned)).collect();
    assert_eq!(allowed("api"), commands, "deploy/freeswitch/interface_allowlist.xml");
}
