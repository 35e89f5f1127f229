//! Rules of the contract (§1, §3.5, §4.1, §5, §7.1, §8, §10.1) that the static files must keep, one test for
//! each.

use super::File;
use crate::program::repository;
use crate::xml::tree::Node;

/// Applications and modules that can run programs, fetch URLs or set variables of calls.
const NOT_LOADED: [&str; 15] = [
    "mod_curl",
    "mod_enum",
    "mod_fifo",
    "mod_http_cache",
    "mod_httapi",
    "mod_lua",
    "mod_perl",
    "mod_python3",
    "mod_shout",
    "mod_sms",
    "mod_spy",
    "mod_v8",
    "mod_verto",
    "mod_vlc",
    "mod_xml_rpc",
];

/// Files below a folder of `deploy/freeswitch`, by name.
fn names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository("deploy/freeswitch").join(folder)).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every file of the configuration.
fn all() -> Vec<File> {
    ["", "autoload_configs", "lang", "lang/en", "lang/tones"]
        .iter()
        .flat_map(|folder| names(folder).into_iter().map(move |name| format!("{folder}/{name}")))
        .filter(|name| name.ends_with(".xml"))
        .map(|name| File::read(name.trim_start_matches('/')))
        .collect()
}

fn number(node: &Node, name: &str) -> Option<u64> {
    node.value(name)?.parse().ok()
}

/// True if an element below includes a file.
fn includes(node: &Node, file: &str) -> bool {
    let directives = node.all("X-PRE-PROCESS");
    directives
        .iter()
        .any(|one| one.attribute("cmd") == Some("include") && one.attribute("data") == Some(file))
}

#[test]
fn the_preprocessor_runs_no_program_and_no_default_password_remains() {
    for file in all() {
        for directive in file.root.all("X-PRE-PROCESS") {
            let command = directive.attribute("cmd").unwrap_or_default();
            file.require(
                &format!("the preprocessor sets and includes, and does nothing else: {command}"),
                ["set", "env-set", "include"].contains(&command),
            );
        }
        let known = |value: &&str| value.to_lowercase().contains("cluecon");
        file.require(
            "the password that every FreeSWITCH has stands nowhere",
            !file.root.values().iter().any(known),
        );
    }
}

#[test]
fn the_static_files_serve_no_user_while_centrex_is_away() {
    let root = File::read("freeswitch.xml");
    for section in ["dialplan", "chatplan", "directory"] {
        let section = root.root.named("section", section);
        root.require(
            &format!("{section:?} is empty, for it is served to all tenants"),
            section.children.is_empty(),
        );
    }
    // FreeSWITCH would read a static file of this name instead of Centrex' answer.
    let expected = [
        "console.conf.xml",
        "event_socket.conf.xml",
        "logfile.conf.xml",
        "modules.conf.xml",
        "switch.conf.xml",
        "timezones.conf.xml",
        "xml_cdr.conf.xml",
        "xml_curl.conf.xml",
    ];
    assert_eq!(
        names("autoload_configs"),
        expected,
        "deploy/freeswitch/autoload_configs: these files, no other"
    );
}

#[test]
fn no_file_declares_xml_entities() {
    let vars = File::read("vars.xml");
    let set = |one: &&Node| one.attribute("data") == Some("xml_disable_dtd=true");
    vars.require(
        "xml_disable_dtd must be true: a document with a DOCTYPE expands entities",
        vars.root.all("X-PRE-PROCESS").iter().any(set),
    );
}

#[test]
fn the_core_expands_no_api_commands_and_runs_no_mailer() {
    let switch = File::of("switch");
    switch.require_value("api-expansion", "false", "${system(…)} in application data would run a shell");
    switch.require_value(
        "mailer-app",
        "/bin/false",
        "FreeSWITCH mails through a shell command made of addresses",
    );
    switch.require_value("dump-cores", "no", "core dumps contain passwords");
    switch.require_value("rtp-retain-crypto-keys", "no", "FreeSWITCH would store keys of calls");
    for (name, value) in [
        ("max-sessions", "$${centrex_max_sessions}"),
        ("sessions-per-second", "$${centrex_sessions_per_second}"),
    ] {
        switch.require_value(name, value, "a flood of INVITEs would end the machine");
    }
    let list = "../interface_allowlist.xml";
    switch.require(&format!("{list} must be included"), includes(&switch.root, list));
}

#[test]
fn modules_that_run_programs_or_fetch_urls_are_not_loaded() {
    let modules = File::of("modules");
    let load: Vec<&str> =
        modules.root.all("load").iter().filter_map(|load| load.attribute("module")).collect();
    for module in NOT_LOADED {
        modules.require(&format!("{module} must not be loaded"), !load.contains(&module));
    }
    // Modules that ask Centrex before Centrex answers use their defaults: a default password, no call
    // records.
    let place = |module: &str| load.iter().position(|other| *other == module);
    for module in ["mod_event_socket", "mod_xml_cdr"] {
        modules.require(
            &format!("{module} must be loaded before mod_xml_curl: its configuration is static"),
            place(module).is_some_and(|at| Some(at) < place("mod_xml_curl")),
        );
    }
    for module in
        ["mod_event_socket", "mod_xml_curl", "mod_xml_cdr", "mod_dialplan_xml", "mod_hash", "mod_sofia"]
    {
        let critical = modules.root.all("load").iter().any(|load| {
            load.attribute("module") == Some(module) && load.attribute("critical") == Some("true")
        });
        modules.require(
            &format!("{module} must be critical: a switch without it must not accept calls"),
            critical,
        );
    }
}

#[test]
fn every_section_has_limits_and_phrases_are_never_requested() {
    let curl = File::of("xml_curl");
    let mut bound = Vec::new();
    for binding in curl.root.all("binding") {
        let name = binding.attribute("name").unwrap_or_default();
        let urls: Vec<&Node> = binding
            .all("param")
            .into_iter()
            .filter(|param| param.attribute("name") == Some("gateway-url"))
            .collect();
        let [url] = urls[..] else { panic!("{}: {name} must have one gateway-url", curl.path) };
        let section = url.attribute("bindings").unwrap_or_default();
        curl.require(
            &format!("{name} must be bound to that section alone, not to {section:?}"),
            section == name,
        );
        let ours = format!("$${{centrex_xml_url}}/freeswitch/{name}");
        curl.require(&format!("{name} must be asked of Centrex"), url.attribute("value") == Some(&ours));
        curl.require(
            &format!(
                "{name} needs a timeout of 1 to 5 s: without it one stuck answer holds REGISTER for everybody"
            ),
            number(binding, "timeout").is_some_and(|seconds| (1..=5).contains(&seconds)),
        );
        curl.require(
            &format!("{name} needs response-max-bytes, of 16 MiB at most"),
            number(binding, "response-max-bytes").is_some_and(|bytes| (1..=16 << 20).contains(&bytes)),
        );
        curl.require(
            &format!("{name} needs auth-scheme =basic: another could be negotiated"),
            binding.value("auth-scheme") == Some("=basic"),
        );
        curl.require(
            &format!("{name} needs the credentials of vars.xml"),
            binding.value("gateway-credentials") == Some("$${centrex_xml_username}:$${centrex_xml_password}"),
        );
        curl.require(
            &format!("{name} must post the fields of posted.xml alone"),
            includes(binding, "../posted.xml"),
        );
        for wrong in ["use-dynamic-url", "cookie-file", "method"] {
            curl.require(&format!("{name} must not have {wrong}"), binding.value(wrong).is_none());
        }
        bound.push(name);
    }
    assert_eq!(
        bound,
        ["directory", "dialplan", "configuration", "chatplan"],
        "{}: these sections are bound; languages would be a request of 6 to 9 kB for every prompt",
        curl.path
    );
}

#[test]
fn the_event_socket_listens_on_loopback_with_its_own_password() {
    let socket = File::of("event_socket");
    socket.require_value("listen-ip", "127.0.0.1", "the event socket is a shell");
    socket.require_value(
        "apply-inbound-acl",
        "loopback.auto",
        "FreeSWITCH checks the ACL before it reads anything",
    );
    socket.require_value("password", "$${centrex_esl_password}", "each installation has its own password");
    socket.require_value("nat-map", "false", "a router must not open the port to others");
    socket.require_value("stop-on-bind-error", "true", "a switch without an event socket must not start");
}

#[test]
fn call_records_are_posted_with_a_timeout_and_saved_on_failure() {
    let records = File::of("xml_cdr");
    records.require_value("encode", "textxml", "a document that is encoded twice cannot be read");
    records.require_value("auth-scheme", "basic", "another scheme could be negotiated");
    records.require_value(
        "cred",
        "$${centrex_xml_username}:$${centrex_xml_password}",
        "the credentials of Centrex",
    );
    records.require_value("url", "$${centrex_xml_url}/freeswitch/cdr", "records are posted to Centrex");
    records.require_value(
        "err-log-dir",
        "$${storage_dir}/cdr-spool",
        "records that cannot be posted would be lost",
    );
    for (name, most) in [("timeout", 5), ("retries", 2), ("delay", 2)] {
        records.require(
            &format!("{name} must be 1 to {most}: a call stays open while its record is posted"),
            number(&records.root, name).is_some_and(|value| (1..=most).contains(&value)),
        );
    }
}

#[test]
fn phrases_only_play_and_say() {
    for file in all().into_iter().filter(|file| file.path.contains("/lang/")) {
        for action in file.root.all("action") {
            let function = action.attribute("function").unwrap_or_default();
            file.require(
                &format!("a phrase plays files and says numbers, and does not {function}"),
                ["play-file", "say"].contains(&function),
            );
        }
    }
}

/// A WebSocket of FreeSWITCH's: of a profile's template only, and on loopback, where Centrex' relay connects.
const WEBSOCKET: &str = r#"<param name="ws-binding" value="127.0.0.1:{{ profile.ws_port }}"/>"#;

#[test]
fn no_profile_opens_a_websocket_to_a_network() {
    let mut folders =
        vec![repository("deploy/freeswitch"), repository("templates"), repository("deploy/samples")];
    let (mut files, mut websockets) = (0, 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("its entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).expect("a text");
            for line in text.to_lowercase().lines() {
                if line.trim() == WEBSOCKET && path.ends_with("configuration/sofia_phones.xml") {
                    websockets += 1;
                    continue;
                }
                let found =
                    ["ws-binding", "wss-binding", "wssport"].into_iter().find(|word| line.contains(word));
                assert_eq!(
                    found,
                    None,
                    "{}: anybody who reaches FreeSWITCH's WebSocket can end it",
                    path.display()
                );
            }
        }
    }
    assert!(files > 50, "{files} files");
    assert_eq!(websockets, 1, "the profile of browsers");
}
