//! Registrations and calls through a real FreeSWITCH: with our answers, with a server that answers constants,
//! and with the same users in a static XML directory.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use centrex::freeswitch::xml::field::Field;
use centrex::freeswitch::xml::form::Form;
use centrex::freeswitch::xml::{Answer, Answers, NOT_FOUND, Section};
use centrex::secrets::a1_hash::REALM;

use crate::Options;
use crate::constant::constants;
use crate::freeswitch::memory_folder;
use crate::load::{PASSWORD, USERNAME};
use crate::manifests;
use crate::peers::switch::{Switch, installed};
use crate::peers::{Process, free_port, until};
use crate::report::Row;
use crate::served::{Serving, answers, centrex};
use crate::turns::by_turns;

const REGISTERING: &str = "REGISTER through FreeSWITCH";
const CALLING: &str = "Calls set up through FreeSWITCH";
const TENANTS: usize = 100;
const ROUNDS: usize = 7;
const REGISTRATIONS: usize = 2000;
const CALLS: usize = 200;
const LEAST: f64 = 0.95;
/// Concurrent registrations or calls.
const PHONES: usize = 20;
const LEGS: usize = 25;
/// Longest duration of a round.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs all measurements if FreeSWITCH and sipp are installed.
pub fn rows(options: &Options) -> Vec<Row> {
    let binary = match installed() {
        Ok(binary) => binary,
        Err(why) => return vec![Row::skipped(REGISTERING, why.clone()), Row::skipped(CALLING, why)],
    };
    let site = Site::start(&binary);
    let (registrations, calls) = (options.size(REGISTRATIONS), options.size(CALLS));
    // All constants are recorded before the first measurement.
    let learnt = site.constants();
    site.register(CALLER, 1);
    site.call(1);
    drop(learnt);
    let compare = |what, count: usize, rate: fn(&Site, usize) -> f64| {
        let ours = || {
            let _serving = site.ours();
            rate(&site, count)
        };
        let constant = by_turns(ROUNDS, ours, || {
            let _serving = site.constants();
            rate(&site, count)
        });
        let fixed = by_turns(ROUNDS, ours, || {
            let _fixed = Static::instead_of_http(&site);
            rate(&site, count)
        });
        let rows = [
            Row::new(what, format!("{:.0}/s", constant.first))
                .against(format!("{:.0}/s with constants", constant.second), constant.ratio)
                .goal(&format!("≥ {LEAST:.2}"), constant.ratio >= LEAST),
            Row::new(what, format!("{:.0}/s", fixed.first))
                .against(format!("{:.0}/s from static XML", fixed.second), fixed.ratio),
        ];
        (rows, constant.second)
    };
    let (registering, _) = compare(REGISTERING, registrations, |site, count| site.register(CALLER, count));
    let (calling, per_second) = compare(CALLING, calls, Site::call);
    let _ = options.calls.set(per_second);
    registering.into_iter().chain(calling).collect()
}

/// Caller and callee: extensions of the first tenant.
const CALLER: usize = 0;
const CALLED: usize = 1;

struct Site {
    switch: Switch,
    answers: Arc<Answers>,
    /// The first answer to each kind of lookup.
    known: Arc<Mutex<HashMap<String, Bytes>>>,
    /// Ports of the server, of FreeSWITCH and of the called phone.
    xml: u16,
    sip: u16,
    called: u16,
    _phone: Process,
    _manifests: tempfile::TempDir,
    folder: tempfile::TempDir,
}

impl Site {
    fn start(binary: &Path) -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (manifests, folder) = (tempfile::tempdir().expect("a folder"), memory_folder());
        let (xml, sip, called) = (free_port(loopback), free_port(loopback), free_port(loopback));
        manifests::write(manifests.path(), TENANTS, &manifests::platform(sip, free_port(loopback)));
        let answers = answers(manifests.path());
        let switch = {
            let _serving = centrex(&answers, xml);
            let url = format!("http://{loopback}:{xml}");
            Switch::start(binary, folder.path(), &url, USERNAME, PASSWORD)
        };
        let mut phone = sipp(called, sip, CALLED);
        phone.args(["-sf"]).arg(scenario("answer")).args(["-aa", "-deadcall_wait", "0"]);
        let phone = Process::start(&mut phone, &folder.path().join("phone.out"));
        let known = Arc::default();
        Self { switch, answers, known, xml, sip, called, _phone: phone, _manifests: manifests, folder }
    }

    fn ours(&self) -> Serving {
        centrex(&self.answers, self.xml)
    }

    /// Answers each lookup with the first answer to a lookup of its kind. Neither side takes call records:
    /// FreeSWITCH writes them to files.
    fn constants(&self) -> Serving {
        let (answers, known) = (self.answers.clone(), self.known.clone());
        constants(self.xml, move |section, body| {
            let section = Section::by_name(section)?;
            let form = Form::parse(body);
            let kind = [section.name(), &form.text(Field::Action), &form.text(Field::User)].join(" ");
            let made = || match answers.answer(section, &form) {
                Ok(Answer::Document(document)) => document,
                _ => Bytes::from_static(NOT_FOUND),
            };
            Some(known.lock().expect("what is known").entry(kind).or_insert_with(made).clone())
        })
    }

    /// Registrations per second of one phone, each with a challenge.
    fn register(&self, extension: usize, count: usize) -> f64 {
        let port = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut command = sipp(port, self.sip, extension);
        command.arg("-sf").arg(scenario("register"));
        command.args(["-key", "listens", &self.called.to_string()]);
        self.play(command, count, PHONES)
    }

    /// Calls per second from one phone to another: set up, answered, ended.
    fn call(&self, count: usize) -> f64 {
        self.register(CALLED, 1); // a registration expires after five minutes
        let port = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut command = sipp(port, self.sip, CALLER);
        command.arg("-sf").arg(scenario("call"));
        command.args(["-key", "dial", &manifests::number(CALLED), "-d", "0"]);
        self.play(command, count, LEGS)
    }

    fn play(&self, mut command: Command, count: usize, at_once: usize) -> f64 {
        command.args(["-m", &count.to_string(), "-l", &at_once.to_string(), "-r", "100000", "-rp", "1000"]);
        let output = self.folder.path().join("sipp.out");
        let errors = self.folder.path().join("sipp.errors");
        command.arg("-trace_err").arg("-error_file").arg(&errors);
        let start = Instant::now();
        let mut process = Process::start(&mut command, &output);
        let ended = until(PATIENCE, || process.ended());
        let took = start.elapsed();
        let fine = ended.is_some_and(|status| status.success());
        let why =
            || std::fs::read_to_string(&errors).unwrap_or_default().chars().take(2000).collect::<String>();
        assert!(fine, "sipp: {ended:?}\n{}\n{}\n{}", why(), process.tail(40), self.switch.log(20));
        // The legs of the last calls must end before the next round.
        until(PATIENCE, || self.switch.legs().is_empty().then_some(())).expect("no legs");
        count as f64 / took.as_secs_f64()
    }
}

/// The same users and numbers on FreeSWITCH's disk, with no server behind the configured URL: modules cannot
/// be unloaded in our configuration, so each lookup first has its connection refused.
struct Static<'a> {
    switch: &'a Switch,
    path: PathBuf,
    before: String,
}

impl<'a> Static<'a> {
    fn instead_of_http(site: &'a Site) -> Self {
        let path = site.folder.path().join("conf/freeswitch.xml");
        let before = std::fs::read_to_string(&path).expect("freeswitch.xml");
        let text = before
            .replace("<section name=\"directory\"/>", &directory(&site.answers))
            .replace("<section name=\"dialplan\"/>", &dialplan(&site.answers));
        std::fs::write(&path, text).expect("freeswitch.xml");
        site.switch.api("reloadxml");
        Self { switch: &site.switch, path, before }
    }
}

impl Drop for Static<'_> {
    fn drop(&mut self) {
        std::fs::write(&self.path, &self.before).expect("freeswitch.xml");
        self.switch.api("reloadxml");
    }
}

fn directory(answers: &Answers) -> String {
    // Phones are asked in the realm of all; those of the first tenant register and call.
    let tenant = |tenant: usize, realm: Option<&str>| {
        let domain = manifests::domain(tenant);
        let name = realm.unwrap_or(&domain);
        let view = answers.replica.by_domain(&domain).expect("a tenant");
        let context = view.context();
        let user = |extension: usize| {
            let number = manifests::number(extension);
            let hash = view.a1_hash(&number, name).expect("a password");
            format!(
                "<user id=\"{number}\"><params><param name=\"a1-hash\" value=\"{hash}\"/>\
                 <param name=\"dial-string\" value=\"{{^^;presence_id={number}@{domain}}}sofia/internal/{number}%{domain}\"/>\
                 </params><variables><variable name=\"user_context\" value=\"{context}\"/></variables></user>"
            )
        };
        let users: String = (0..manifests::EXTENSIONS).map(user).collect();
        format!(
            "<domain name=\"{name}\"><groups><group name=\"all\"><users>{users}</users></group></groups></domain>"
        )
    };
    let domains: String = (0..TENANTS).map(|index| tenant(index, None)).collect();
    format!("<section name=\"directory\">{domains}{}</section>", tenant(0, Some(REALM)))
}

fn dialplan(answers: &Answers) -> String {
    let domain = manifests::domain(0);
    let tenant = answers.replica.by_domain(&domain).expect("a tenant");
    let context = tenant.context();
    let set = |assignment: &str| format!("<action application=\"set\" data=\"{assignment}\"/>");
    let variables: String =
        ["media_timeout=120000", "hangup_after_bridge=true", "call_timeout=30", "continue_on_fail=true"]
            .map(set)
            .concat();
    let number = |extension: usize| {
        let number = manifests::number(extension);
        format!(
            "<extension name=\"{number}\"><condition field=\"destination_number\" expression=\"^{number}$\">{variables}\
             <action application=\"bridge\" data=\"user/{number}@{domain}\"/></condition></extension>"
        )
    };
    let extensions: String = (0..manifests::EXTENSIONS).map(number).collect();
    format!("<section name=\"dialplan\"><context name=\"{context}\">{extensions}</context></section>")
}

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("e2e/freeswitch/{name}.xml"))
}

/// The phone of an extension, at a port on loopback.
fn sipp(port: u16, switch: u16, extension: usize) -> Command {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let free = || free_port(loopback).to_string();
    let (number, domain) = (manifests::number(extension), manifests::domain(0));
    let mut command = Command::new("sipp");
    command
        .arg(format!("{loopback}:{switch}"))
        .args(["-i", "127.0.0.1", "-p", &port.to_string(), "-bind_local"])
        .args(["-mi", "127.0.0.1", "-mp", &(free_port(loopback) & !1).to_string()])
        .args(["-ci", "127.0.0.1", "-cp", &free(), "-nostdin"])
        .args(["-au", &number, "-ap", &format!("dummy-0-{extension}")])
        .args(["-key", "user", &number, "-key", "domain", &domain]);
    command
}
