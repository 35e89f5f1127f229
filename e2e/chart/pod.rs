//! A real FreeSWITCH as in the chart's pod: the chart's arguments and environment, the configuration mounted
//! as by the kubelet, empty volumes, the pod's user, and a Centrex next to it.

use std::collections::HashMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::release::Helm;
use crate::freeswitch::esl::Esl;
use crate::freeswitch::process::{Process, free_port};
use crate::freeswitch::switch::installed;
use crate::operator::Site;
use crate::postgres::reachable_dir;
use crate::skip::skip;
use crate::wait::{DEADLINE, until};

/// User and group of the chart's pods.
const USER: u32 = 65532;
const PASSWORD: &str = "of-the-secret";

#[tokio::test(flavor = "multi_thread")]
async fn a_real_freeswitch_starts_as_in_the_pod() {
    let test = "chart: FreeSWITCH as in the pod";
    let binary = match installed() {
        Ok(binary) => binary,
        Err(why) => return skip(test, &why),
    };
    let Some(site) = Site::start(test).await else { return };
    let Some(helm) = Helm::on(&site.cluster, test) else { return };
    let operator = site.operator(&[]);
    let mut centrex = site.switch("centrex-switch-0");
    // As with the sidecar's startupProbe: a FreeSWITCH that starts without Centrex has no profiles, or exits.
    centrex.wait_until("that the sidecar is ready", |centrex| centrex.get("/readyz").0 == 200);
    let esl = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let values = ["switch.freeswitch.phrases=tones", &format!("switch.ports.eventSocket={esl}")];
    let text = helm.release(&["template"], &values);
    let of = |kind: &str| -> Value {
        let document = text.split("\n---\n").find(|text| {
            text.contains(&format!("\nkind: {kind}\n")) && text.contains("\n  name: centrex-switch\n")
        });
        serde_saphyr::from_str(document.unwrap()).unwrap()
    };
    let pod = of("StatefulSet")["spec"]["template"]["spec"].clone();
    let folder = reachable_dir();
    let place = |path: &str| folder.path().join(path.trim_start_matches('/'));
    mount(&of("ConfigMap")["data"], &pod["volumes"], &place("/etc/freeswitch"));

    let container = &pod["containers"][0];
    let mut command = Command::new(binary);
    for argument in container["args"].as_array().unwrap() {
        let argument = argument.as_str().unwrap();
        match argument.starts_with('/') {
            true => command.arg(place(argument)),
            false => command.arg(argument),
        };
    }
    let mut secrets =
        HashMap::from([("CENTREX_ESL_PASSWORD", PASSWORD), ("CENTREX_XML_PASSWORD", "demo-only")]);
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        match (variable["value"].as_str(), secrets.remove(name)) {
            (Some(value), _) | (None, Some(value)) => command.env(name, value),
            (None, None) => command.env(name, "centrex-switch-0"), // the pod's name
        };
    }
    assert!(secrets.is_empty(), "not read from the Secret: {secrets:?}");
    command.env("CENTREX_XML_URL", format!("http://{}", centrex.connect().peer_addr().unwrap()));
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    for volume in ["/run/freeswitch", "/var/lib/freeswitch"] {
        std::fs::create_dir_all(place(volume)).unwrap();
        if root {
            // As fsGroup leaves a volume: owned by root, writable by the group.
            chown(place(volume), Some(0), Some(USER)).unwrap();
            std::fs::set_permissions(place(volume), std::fs::Permissions::from_mode(0o2775)).unwrap();
        }
    }
    // Mounted files are readable by all users, independent of the umask here.
    assert!(Command::new("chmod").args(["-R", "a+rX"]).arg(folder.path()).status().unwrap().success());
    if root {
        command.uid(USER).gid(USER);
    }
    let pipe = folder.path().join("output");
    let output = follow(&pipe, root);
    let mut freeswitch = Process::start(&mut command, &pipe);
    let ask = |command: &str| Esl::connect(esl, PASSWORD)?.api(command);
    let ready = until(DEADLINE, || match freeswitch.ended() {
        Some(status) => Some(format!("ended with {status}")),
        None => ask("status").filter(|status| status.contains("is ready")),
    });
    // Its output is its log up to the last line, as the kubelet stores it.
    let log = || String::from_utf8_lossy(&output.lock().unwrap()).into_owned();
    assert!(ready.as_ref().is_some_and(|status| status.contains("is ready")), "{ready:?}\n{}", log());
    assert_eq!(ask("switchname").as_deref().map(str::trim), Some("centrex-switch-0"));
    for module in ["mod_sofia", "mod_voicemail", "mod_callcenter", "mod_xml_cdr"] {
        assert_eq!(
            ask(&format!("module_exists {module}")).as_deref().map(str::trim),
            Some("true"),
            "{module}"
        );
    }
    assert!(log().contains("Successfully Loaded [mod_sofia]"), "{}", log());
    let lines = log().lines().filter(|line| line.contains("% [")).count();
    assert!(lines > 20 && !place("/run/freeswitch/log/freeswitch.log").exists(), "{lines} lines: {}", log());
    // Data that must outlive the pod are on the persistent volume.
    for kept in ["db/core.db", "db/voicemail_default.db", "tls/dtls-srtp.pem", "cdr-spool"] {
        assert!(place("/var/lib/freeswitch").join(kept).exists(), "no {kept}");
    }
    drop((freeswitch, centrex, operator));
}

/// Reads a container's output: a pipe, which the runtime gives to the container's user.
fn follow(pipe: &Path, root: bool) -> Arc<Mutex<Vec<u8>>> {
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    if root {
        chown(pipe, Some(USER), Some(USER)).unwrap();
    }
    let output = Arc::<Mutex<Vec<u8>>>::default();
    let (written, pipe) = (output.clone(), pipe.to_owned());
    std::thread::spawn(move || {
        let mut pipe = std::fs::File::open(pipe).unwrap();
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut part) {
            written.lock().unwrap().extend(&part[..length]);
        }
    });
    output
}

/// Mounts a ConfigMap as the kubelet does, with its items: links into a folder that is replaced as a whole.
fn mount(data: &Value, volumes: &Value, at: &Path) {
    let inside = at.join("..2026_11_21");
    std::fs::create_dir_all(&inside).unwrap();
    symlink("..2026_11_21", at.join("..data")).unwrap();
    let volume = volumes.as_array().unwrap().iter().find(|volume| volume["name"] == "configuration").unwrap();
    for item in volume["configMap"]["items"].as_array().unwrap() {
        let (key, path) = (item["key"].as_str().unwrap(), item["path"].as_str().unwrap());
        std::fs::create_dir_all(inside.join(path).parent().unwrap()).unwrap();
        std::fs::write(inside.join(path), data[key].as_str().unwrap()).unwrap();
    }
    for entry in std::fs::read_dir(&inside).unwrap() {
        let name = entry.unwrap().file_name();
        symlink(Path::new("..data").join(&name), at.join(&name)).unwrap();
    }
}
