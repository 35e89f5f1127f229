//! `centrex phone render`, and `centrex check` of Devices.

use std::process::Command;

use super::client::Request;
use super::scene::{PASSWORD, SIP_PASSWORD, Scene, device};
use crate::postgres::key_line;
use crate::program::{repository, run, url};

fn render(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
    run(command.args(["phone", "render"]).args(arguments).env_remove("CENTREX_DATABASE_URL"))
}

#[test]
fn a_phones_files_are_printed_from_manifests_without_passwords() {
    let manifests = repository("tests/manifests/every-field.yaml");
    let directory = tempfile::tempdir().unwrap();
    let platform = std::fs::read_to_string(&manifests).unwrap();
    let extra = device("acme", "desk", "80:5e:c0:00:00:01", "");
    std::fs::write(directory.path().join("all.yaml"), format!("{platform}\n{extra}")).unwrap();
    let folder = directory.path().to_str().unwrap();
    for named in ["desk", "80:5E:C0:00:00:01", "805ec0000001"] {
        let (code, text) = render(&[
            named,
            "--tenant",
            "acme/acme",
            "-f",
            folder,
            "--provision-url",
            "https://pbx.example.com/provision/",
        ]);
        assert_eq!(code, Some(0), "{text}");
        assert!(
            text.contains("\n\n==> 805ec0000001.cfg (text/plain; charset=utf-8)\n#!version:1.0.0.1\n"),
            "{text}"
        );
        let start = "Device desk fetches from https://pbx.example.com/provision as user d-";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("https://pbx.example.com/provision") && text.contains("********"), "{text}");
        assert!(!text.contains(PASSWORD) && !text.contains(SIP_PASSWORD), "{text}");
        assert!(text.contains("\n==> 805ec0000001-phonebook.xml (application/xml)\n"), "{text}");
    }
    let (code, text) = render(&["nobody", "--tenant", "acme/acme", "-f", folder]);
    assert!(code == Some(1) && text.contains("nobody") && text.contains("desk"), "{text}");
    let (code, text) = render(&["desk", "--tenant", "acme/other", "-f", folder]);
    assert!(code == Some(1) && text.contains("acme/other"), "{text}");
}

#[tokio::test]
async fn a_phones_files_are_printed_from_the_database() {
    let test = "provision::render::a_phones_files_are_printed_from_the_database";
    let directory = crate::postgres::reachable_dir();
    let keys = directory.path().join("keys");
    std::fs::write(&keys, key_line(1, 'a')).unwrap();
    std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let keys = keys.to_str().unwrap();
    let devices = device("acme", "desk", "80:5e:c0:00:00:01", "");
    let Some(scene) = Scene::start(test, &devices, &["--encryption-key-file", keys]).await else { return };
    let database = url(&scene.database);
    let arguments =
        ["desk", "--tenant", "acme/acme", "--database-url", &database, "--encryption-key-file", keys];
    let (code, text) = render(&[&arguments[..], &["--provision-url", super::scene::URL]].concat());
    assert_eq!(code, Some(0), "{text}");
    // But for the passwords, the phone gets what is printed.
    let user = scene.user("desk").await;
    let got = Request::get("805ec0000001.cfg").basic(&user, PASSWORD).from("192.0.2.1").send(scene.address);
    let hidden = got.body.replace(PASSWORD, "********").replace(SIP_PASSWORD, "********");
    assert!(text.contains(&hidden), "{text}\n{hidden}");
}

#[test]
fn check_renders_every_device() {
    let directory = tempfile::tempdir().unwrap();
    let manifests = std::fs::read_to_string(repository("tests/manifests/every-field.yaml")).unwrap();
    // Cisco's enterprise firmware: its Device is valid, and no file can be made.
    let bad = device("acme", "classic", "00:04:f2:00:00:09", ", vendor: Cisco, model: \"7960\"");
    std::fs::write(directory.path().join("all.yaml"), format!("{manifests}\n{bad}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_centrex"));
    let (code, text) = run(command.arg("check").arg(directory.path()));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.lines().any(|line| line.contains("Device acme/classic") && line.contains("cannot be")),
        "{text}"
    );
}
