//! Phones of every vendor start: each asks for its files in its order, and registers at a real FreeSWITCH with what it
//! got.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use md5::{Digest, Md5};

use super::client::{Answer, Request};
use super::scene::{PASSWORD, SIP_PASSWORD, device};
use crate::freeswitch::phone::Peer;
use crate::freeswitch::process::free_port;
use crate::freeswitch::switch::installed;
use crate::live::lab::Lab;
use crate::skip::skip;

/// A phone of a vendor.
struct Phone {
    vendor: &'static str,
    /// Empty for a softphone.
    model: &'static str,
    mac: &'static str,
    agent: &'static str,
    /// What it asks for, in order, `M` and `m` for its MAC address, with the status that it expects.
    asks: &'static [(&'static str, &'static str, u16)],
    /// What is before the user and before the password of its first line, in the file that has both.
    marks: [&'static str; 2],
}

const PHONES: &[Phone] = &[
    Phone {
        vendor: "Yealink",
        model: "T46U",
        mac: "80:5e:c0:00:00:11",
        agent: "Yealink SIP-T46U 108.86.0.20 80:5e:c0:00:00:11",
        asks: &[
            ("GET", "m.boot", 404),
            ("GET", "y000000000000.boot", 404),
            ("GET", "y000000000108.cfg", 404),
            ("GET", "m.cfg", 200),
            ("GET", "m-local.cfg", 404),
            ("PUT", "m-local.cfg", 405),
            ("GET", "m-phonebook.xml", 200),
        ],
        marks: ["\naccount.1.user_name = ", "\naccount.1.password = "],
    },
    Phone {
        vendor: "Poly",
        model: "VVX450",
        mac: "00:04:f2:00:00:12",
        agent: "FileTransport PolycomVVX-VVX_450-UA/5.9.1.0615 (SN:0004f2000012) Type/Application",
        asks: &[
            ("GET", "m.cfg", 200),
            ("GET", "cx-m.cfg", 200),
            ("GET", "m-web.cfg", 404),
            ("GET", "m-phone.cfg", 404),
            ("GET", "m-directory.xml", 200),
            ("GET", "m-license.cfg", 404),
            ("HEAD", "m-boot.log", 404),
            ("PUT", "m-boot.log", 405),
            ("PUT", "m-app.log", 405),
        ],
        marks: ["reg.1.auth.userId=\"", "reg.1.auth.password=\""],
    },
    Phone {
        vendor: "Grandstream",
        model: "GRP2614",
        mac: "c0:74:ad:00:00:13",
        agent: "Grandstream Model HW GRP2614 SW 1.0.5.15 DevId c074ad000013",
        asks: &[
            ("GET", "cfgm", 200),
            ("GET", "cfgm.xml", 200),
            ("GET", "cfggrp2614.xml", 404),
            ("GET", "cfg.xml", 404),
            ("GET", "phonebook.xml", 200),
        ],
        marks: [
            "<item name=\"account.1.sip.subscriber.userid\">",
            "<item name=\"account.1.sip.subscriber.password\">",
        ],
    },
    Phone {
        vendor: "Snom",
        model: "D785",
        mac: "00:04:13:00:00:14",
        agent: "Mozilla/4.0 (compatible; snomD785-SIP 10.1.33.33 2010.12-00004-g9ba52f5 000413000014 SXM:0 UXM:0)",
        asks: &[("GET", "snomD785.htm", 404), ("GET", "snomD785-M.htm", 200), ("GET", "M.xml", 200)],
        marks: ["<user_name idx=\"1\" perm=\"R\">", "<user_pass idx=\"1\" perm=\"R\">"],
    },
    Phone {
        vendor: "Fanvil",
        model: "X4",
        mac: "0c:38:3e:00:00:15",
        agent: "Fanvil X4 2.10.2.6887 0c383e000015",
        asks: &[
            ("GET", "F0V00X400000.cfg", 404),
            ("GET", "m.cfg", 200),
            ("GET", "fanvil_x4_hwv1_0.txt", 404),
        ],
        marks: ["<RegisterUser>", "<RegisterPswd>"],
    },
    Phone {
        vendor: "Cisco",
        model: "8841",
        mac: "00:56:2b:00:00:16",
        agent: "Cisco-CP-8841-3PCC/11.0 (00562b000016)",
        asks: &[("GET", "CP-8841-3PCC.xml", 404), ("GET", "m.xml", 200)],
        marks: ["<User_ID_1_ ua=\"na\">", "<Password_1_ ua=\"na\">"],
    },
    Phone {
        vendor: "Cisco",
        model: "SPA508G",
        mac: "00:02:fd:00:00:17",
        agent: "Cisco/SPA508G-7.4.8a (0002FD000017)(CBT141400UK)",
        asks: &[("GET", "spa508G.cfg", 404), ("GET", "spaM.xml", 200)],
        marks: ["<User_ID_1_ ua=\"na\">", "<Password_1_ ua=\"na\">"],
    },
    Phone {
        vendor: "Linphone",
        model: "",
        mac: "02:00:00:00:00:18",
        agent: "Linphone-Desktop/5.2.4 (Linux) LinphoneCore/5.3.72",
        asks: &[("GET", "linphone.xml", 200)],
        // Its password is the hash of it.
        marks: ["<entry name=\"username\" overwrite=\"true\">", "<entry name=\"ha1\" overwrite=\"true\">"],
    },
    Phone {
        vendor: "Acrobits",
        model: "",
        mac: "02:00:00:00:00:19",
        agent: "Acrobits Groundwire/6.10",
        asks: &[("GET", "acrobits.xml", 200)],
        marks: ["<username>", "<password>"],
    },
    Phone {
        vendor: "MicroSip",
        model: "",
        mac: "02:00:00:00:00:20",
        agent: "MicroSIP/3.21.3",
        asks: &[("GET", "microsip.ini", 200)],
        marks: ["\nusername=", "\npassword="],
    },
];

#[test]
fn a_phone_of_every_vendor_boots_and_registers_with_what_it_got() {
    let binary = match installed() {
        Ok(binary) => binary,
        Err(missing) => {
            return skip(
                "provision::boot::a_phone_of_every_vendor_boots_and_registers_with_what_it_got",
                &missing,
            );
        }
    };
    let port = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (address, listen) = (SocketAddr::from(([127, 0, 0, 1], port)), format!("127.0.0.1:{port}"));
    let options = [
        "--provision-url",
        "https://phones.example.com/provision",
        "--provision-http-listen",
        &listen,
        "--trusted-proxies",
        "127.0.0.0/8",
        "--provision-requests-per-minute",
        "10000",
        "--provision-guesses",
        "10000",
    ];
    let lab = Lab::start(&binary, &options);
    let devices = PHONES.iter().map(|phone| {
        let model =
            if phone.model.is_empty() { String::new() } else { format!(", model: \"{}\"", phone.model) };
        let spec = format!(", vendor: {}, transport: UDP{model}", phone.vendor);
        device("acme", &name(phone), phone.mac, &spec)
    });
    lab.add(&devices.collect::<String>());
    for phone in PHONES {
        let answers = boot(&lab, address, phone);
        let settings = answers.iter().find(|answer| answer.body.contains(phone.marks[0])).expect("settings");
        let [user, password] = phone.marks.map(|mark| value(&settings.body, mark));
        let hash = hex::encode(Md5::digest(format!("{user}:{}:{SIP_PASSWORD}", challenged_realm(&lab))));
        assert!(user.starts_with("1001-"), "{}: {user}", name(phone));
        assert!(password == if phone.vendor == "Linphone" { &hash } else { SIP_PASSWORD }, "{}", name(phone));
        let traces = lab.dir.path().join("traces");
        let user: &'static str = String::leak(user.to_owned());
        let peer = Peer::new(user, "acme.example.com", SIP_PASSWORD, 90, &traces);
        lab.register(&[&peer]);
        eprintln!("ok: {} registers as {user}", name(phone));
    }
}

/// The realm in which FreeSWITCH asks phones for their password.
fn challenged_realm(lab: &Lab) -> String {
    let status = lab.switch.api("sofia xmlstatus profile internal");
    let (_, rest) = status.split_once("<challenge-realm>").expect(&status);
    rest.split('<').next().unwrap().to_owned()
}

fn name(phone: &Phone) -> String {
    format!("{}{}", phone.vendor, phone.model).to_ascii_lowercase()
}

/// Starts a phone: each request first without its credential, as phones do, and then with it.
fn boot(lab: &Lab, address: SocketAddr, phone: &Phone) -> Vec<Answer> {
    let plain = phone.mac.replace(':', "");
    let request = |method, file: &str| {
        let file = match file.contains(".htm") || file.starts_with('M') || file.starts_with("spaM") {
            true => file.replacen('M', &plain.to_ascii_uppercase(), 1),
            false => with_mac(file, &plain),
        };
        Request::get(&file).method(method).with("user-agent", phone.agent).from("192.0.2.1")
    };
    let user = user(lab, phone, address, request);
    let answers = phone.asks.iter().map(|(method, file, status)| {
        let first = request(*method, file).send(address);
        let asks_for_credential = *status == 200;
        assert_eq!(
            first.status,
            if asks_for_credential { 401 } else { *status },
            "{}: {method} {file}",
            name(phone)
        );
        let answer = request(*method, file).basic(&user, PASSWORD).send(address);
        assert_eq!(answer.status, *status, "{}: {method} {file}: {answer:?}", name(phone));
        answer
    });
    answers.collect()
}

/// A name with its `m`, which begins it or follows `cfg` or `cx-`, replaced by a MAC address.
fn with_mac(file: &str, mac: &str) -> String {
    for prefix in ["cfgm", "cx-m", "m.", "m-"] {
        if let Some(rest) = file.strip_prefix(prefix) {
            return prefix.replace('m', mac) + rest;
        }
    }
    file.to_owned()
}

/// The provisioning user of a phone, as its administrator reads it from what the phone would get.
fn user(
    lab: &Lab,
    phone: &Phone,
    address: SocketAddr,
    request: impl Fn(&'static str, &str) -> Request,
) -> String {
    let manifests = lab.dir.path().join("manifests");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_centrex"));
    command.args(["phone", "render", phone.mac, "--tenant", "acme/acme", "-f"]).arg(manifests);
    let (code, text) = crate::program::run(&mut command);
    assert_eq!(code, Some(0), "{text}");
    let users = text.match_indices("d-").filter_map(|(at, _)| text.get(at..at + 12));
    let is_user =
        |user: &&str| user[2..].bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let candidates: std::collections::BTreeSet<&str> = users.filter(is_user).collect();
    let (_, file, _) =
        phone.asks.iter().find(|(method, _, status)| *method == "GET" && *status == 200).unwrap();
    // The Device is served as soon as the folder was read.
    crate::wait::until(crate::wait::DEADLINE, || {
        let works = |user: &&&str| request("GET", file).basic(user, PASSWORD).send(address).status == 200;
        candidates.iter().find(works).map(|user| (*user).to_owned())
    })
    .unwrap_or_else(|| panic!("no user of {candidates:?} is right for {file}"))
}

/// The text after a mark, to the end of its element, attribute or line.
fn value<'a>(text: &'a str, mark: &str) -> &'a str {
    let rest = &text[text.find(mark).unwrap() + mark.len()..];
    &rest[..rest.find(['<', '"', '\n', '\r']).unwrap()]
}
