//! Phones' files. Each folder `tests/provision/VENDOR/CASE` holds a Device (`input.yaml`), which is compiled with
//! `tests/provision/system.yaml`, and the files that its phone gets (`FILE.snap`).
//!
//! `INSTA_UPDATE=always cargo test --test pure provision` writes the files again. Compare each changed file with its
//! input before you commit: the test only proves that a person once checked it.

mod hostile;

use std::path::Path;
use std::time::{Duration, Instant};

use centrex::compile;
use centrex::compile::Effect;
use centrex::phones::keys::{KeyKind, Slot, has_type};
use centrex::phones::{Phone, ProvisioningUrls, Site};
use centrex::provision::{FileName, PhoneSecrets, RenderError, Templates, file_names, render};
use centrex::route::view::TenantView;
use centrex::source::ResourceIndex;
use centrex::source::folder::Folder;

use crate::repository;

/// A phone with its tenant and its passwords.
pub struct Case {
    pub view: TenantView,
    pub phone: Phone,
    pub secrets: PhoneSecrets,
}

impl Case {
    /// The case of a folder below `tests/provision`.
    pub fn of(folder: &str) -> Self {
        Self::read(&repository("tests/provision").join(folder).join("input.yaml"))
    }

    fn read(input: &Path) -> Self {
        let system = repository("tests/provision/system.yaml");
        let reading = Folder::read_once(&[system, input.to_owned()]).unwrap();
        assert!(reading.problems.is_empty(), "{}: {:#?}", input.display(), reading.problems);
        let mut index = ResourceIndex::default();
        for change in reading.changes {
            index.apply(change);
        }
        let compiled = compile::all(&index);
        let wrong: Vec<_> = compiled.problems.iter().filter(|one| one.effect != Effect::Noted).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", input.display());
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let site = Site::new(
            &compiled.platform,
            &ProvisioningUrls::new(
                "https://phones.example.net/provision/",
                Some("http://phones.example.net:8080/provision"),
            ),
            "ntp.example.net",
            now,
        )
        .unwrap();
        let view = TenantView::new(compiled.tenants.into_iter().next().unwrap().1);
        let phone = Phone::of(&view, "phone", &site).unwrap();
        let secrets = PhoneSecrets::of(&view.plan.devices["phone"]);
        Self { view, phone, secrets }
    }

    /// A file of the phone.
    pub fn render(&self, templates: &Templates, name: &str) -> Result<String, RenderError> {
        let file = FileName::parse(name).unwrap();
        let rendered = render(templates, &self.view, &self.phone, &self.secrets, &file)?;
        Ok(String::from_utf8(rendered.body).unwrap())
    }
}

#[test]
fn every_device_gets_its_files() {
    let templates = Templates::built_in().unwrap();
    insta::glob!("provision/*/*/input.yaml", |input| {
        let case = Case::read(input);
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(input.parent().unwrap());
        settings.remove_snapshot_suffix();
        settings.remove_input_file();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| {
            for name in file_names(&case.phone) {
                let body = case.render(&templates, &name).unwrap();
                insta::assert_snapshot!(name, body);
            }
        });
    });
}

/// What `check` says of a key agrees with the phone's file: a key that the vendor lacks is as one that is off.
#[test]
fn a_key_that_a_vendor_lacks_is_off() {
    let templates = Templates::built_in().unwrap();
    let folders = ["yealink", "poly", "grandstream", "snom", "fanvil", "cisco"]
        .map(|vendor| format!("{vendor}/all-keys"));
    for folder in folders.into_iter().chain(["grandstream/p-values".to_owned(), "cisco/spa".to_owned()]) {
        let mut case = Case::of(&folder);
        let name = file_names(&case.phone).into_iter().find(|name| {
            case.render(&templates, name)
                .is_ok_and(|body| body.contains(case.secrets.sip_password.as_deref().unwrap()))
        });
        let (name, series) = (name.expect("settings"), case.phone.model.series);
        let mut with = |kind: Option<KeyKind>| {
            let slot = &mut case.phone.keys[5];
            *slot = Slot { kind, line: 1, ..Slot::off(slot.module, slot.position) };
            case.render(&templates, &name).unwrap()
        };
        let off = with(None);
        let kinds =
            [KeyKind::DoNotDisturb, KeyKind::Forward, KeyKind::AgentLogin, KeyKind::Url, KeyKind::Pickup];
        for kind in kinds {
            assert_eq!(with(Some(kind)) != off, has_type(series, kind), "{folder}: {kind:?}");
        }
    }
}

/// Every vendor has cases enough to be read by people.
#[test]
fn every_vendor_has_six_devices() {
    for vendor in std::fs::read_dir(repository("tests/provision")).unwrap().map(|entry| entry.unwrap().path())
    {
        if vendor.is_dir() {
            let cases = std::fs::read_dir(&vendor).unwrap().count();
            assert!(cases >= 6, "{}: {cases}", vendor.display());
        }
    }
}

/// No file that anybody reads without asking for passwords has one, and no address ever has.
#[test]
fn passwords_are_hidden_on_request_and_never_in_an_address() {
    let templates = Templates::built_in().unwrap();
    for folder in
        ["yealink/all-keys", "poly/all-keys", "snom/all-keys", "cisco/all-keys", "linphone/one-line"]
    {
        let mut case = Case::of(folder);
        let names = file_names(&case.phone);
        for name in &names {
            let body = case.render(&templates, name).unwrap();
            for line in body.lines().filter(|line| line.contains("https://") && !line.contains("--pwd")) {
                assert!(!line.contains("Password1234"), "{folder}: {line}");
            }
        }
        case.secrets = PhoneSecrets::hidden();
        for name in &names {
            let body = case.render(&templates, name).unwrap();
            assert!(!body.contains("Password1234"), "{folder}");
        }
        assert!(!format!("{:?}", PhoneSecrets::of(&case.view.plan.devices["phone"])).contains("1234"));
    }
}

#[test]
fn a_phone_that_enrolls_gets_its_credential_and_no_line() {
    let templates = Templates::built_in().unwrap();
    for folder in ["yealink/all-keys", "grandstream/p-values", "fanvil/all-keys", "cisco/all-keys"] {
        let mut case = Case::of(folder);
        case.phone = case.phone.bootstrap();
        case.secrets.sip_password = None;
        case.secrets.admin_password = None;
        let name = &file_names(&case.phone)[0];
        let body = case.render(&templates, name).unwrap();
        assert!(body.contains("ProvPassword123456789abc"), "{folder}");
        for absent in ["SipPassword", "1001", "1002", "Anna", "sip.example.net"] {
            assert!(!body.contains(absent), "{folder} has {absent}");
        }
    }
}

#[test]
fn a_phone_gets_no_file_of_another_vendor_or_of_another_phone() {
    let templates = Templates::built_in().unwrap();
    let case = Case::of("yealink/one-line");
    for name in
        ["cfg805ec01234ab.xml", "805ec01234ab.xml", "linphone.xml", "805ec01234ac.cfg", "phonebook.xml"]
    {
        assert!(matches!(case.render(&templates, name), Err(RenderError::NotMade)), "{name}");
    }
    assert!(case.render(&templates, "805EC01234AB.cfg").is_ok());
    // Cisco's phonebook has pages, and no more than there are.
    let case = Case::of("cisco/one-line");
    assert!(case.render(&templates, "00562b1234ab-phonebook.xml").is_ok());
    assert!(matches!(case.render(&templates, "00562b1234ab-phonebook-2.xml"), Err(RenderError::NotMade)));
}

#[test]
fn a_password_with_syntax_is_refused_and_not_shown() {
    let templates = Templates::built_in().unwrap();
    let mut case = Case::of("cisco/one-line");
    case.secrets.provisioning_password = Some("secret]http://evil/".to_owned());
    let error = case.render(&templates, "00562b1234ab.xml").unwrap_err().to_string();
    assert!(error.contains("provisioning password") && !error.contains("evil"), "{error}");
}

#[test]
fn a_fingerprint_changes_with_the_configuration_and_with_nothing_else() {
    let (one, same) = (Case::of("yealink/all-keys").phone, Case::of("yealink/all-keys").phone);
    assert_eq!(one.fingerprint(), same.fingerprint());
    let mut other = same.clone();
    other.keys[0].label = "Other".to_owned();
    assert_ne!(one.fingerprint(), other.fingerprint());
    let mut other = same;
    other.clock.base_minutes += 60;
    assert_ne!(one.fingerprint(), other.fingerprint());
}

/// A full phone is rendered at once: 207 keys in less than 200 ms of an unoptimised build.
#[test]
fn a_full_phone_is_rendered_at_once() {
    let templates = Templates::built_in().unwrap();
    let case = Case::of("yealink/all-keys");
    let times = (0..20).map(|_| {
        let start = Instant::now();
        case.render(&templates, "805ec01234ab.cfg").unwrap();
        start.elapsed()
    });
    let fastest = times.min().unwrap();
    println!("a full phone takes {fastest:?}");
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");
}
