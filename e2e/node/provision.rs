//! A phone with nothing but the address of the server and its credential.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::site::{NODE, OUTSIDE, PHONES, Site};
use crate::chart::release::NAME;
use crate::freeswitch::phone::Peer;
use crate::provision::client::{Request, connect_tls};

const FILE: &str = "805ec0123456.cfg";
const DEVICE: &str = "apiVersion: centrex.dev/v1alpha1\nkind: Device\nmetadata: {name: hall, namespace: acme}\n\
    spec: {tenantRef: {name: acme}, mac: \"80:5e:c0:12:34:56\", vendor: Yealink, model: T46U, transport: UDP, \
    lines: [{extensionRef: {name: alice}}]}\n";

pub fn fetched(site: &mut Site) {
    site.cluster.apply(DEVICE);
    let wait = ["wait", "--for=condition=Ready", "--timeout=300s", "-n", "acme", "device/hall"];
    let output = site.cluster.kubectl(&wait);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // What an administrator types into the phone.
    let of = |object: &str, namespace: &str| -> Value {
        let text = site.cluster.kubectl_ok(&["get", object, "-n", namespace, "-o", "json"]);
        serde_json::from_str(&text).expect("JSON")
    };
    let user = of("device/hall", "acme")["status"]["provisioningUser"].as_str().expect("a user").to_owned();
    let secret = of("secret/hall-device", "acme");
    let password =
        STANDARD.decode(secret["data"]["provisioningPassword"].as_str().expect("a password")).unwrap();
    let password = String::from_utf8(password).unwrap();
    let service = of("service/centrex-phones", NAME);
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().expect("a port of the node");
    let server = SocketAddr::from((NODE, u16::try_from(port).unwrap()));
    let ask = |request: &Request| request.over(&mut connect_tls(server, &site.certificate, None));

    assert_eq!(ask(&Request::get(FILE)).status, 401);
    assert_eq!(ask(&Request::get(FILE).basic(&user, "wrong")).status, 401);
    let right = Request::get(FILE).basic(&user, &password);
    site.wait_until("its file", || ask(&right).status == 200);
    let file = ask(&right).body;
    let value = |name: &str| {
        let line = file.lines().find_map(|line| line.strip_prefix(&format!("account.1.{name} = ")));
        line.unwrap_or_else(|| panic!("no {name} in {file}")).to_owned()
    };
    // The Service keeps the phone's address.
    site.wait_until("a line of the log", || {
        let log = site.cluster.kubectl_ok(&["logs", "-n", NAME, "deployment/centrex-api"]);
        log.contains(&OUTSIDE.to_string()) && log.contains("credential")
    });

    let user: &'static str = value("user_name").leak();
    let password: &'static str = value("password").leak();
    let phone = Peer::from(OUTSIDE, user, "acme.example.com", password, site.directory.path()).at(NODE);
    let registered = phone.play("register", PHONES, &[]);
    assert!(registered.completed, "{}\n{}", registered.trace, site.state());
    let call = phone.play("call", PHONES, &[("dial", "1002")]);
    assert!(call.completed, "{:?} {}\n{}", call.status(), call.trace, site.state());

    // The switch tells it of another label, by the event that only reads.
    let listener = phone.listen("answer", PHONES);
    let registered = phone.play("register", PHONES, &[]);
    assert!(registered.completed, "{}", registered.trace);
    site.cluster.apply(
        &DEVICE.replace("{extensionRef: {name: alice}}", "{extensionRef: {name: alice}, label: Hall}"),
    );
    site.wait_until("that the phone is told", || listener.seen().trace.contains("check-sync;reboot=false"));
    listener.end();
    assert!(ask(&right).body.contains("account.1.label = Hall"));
    site.cluster.kubectl_ok(&["delete", "device/hall", "-n", "acme"]);
}
