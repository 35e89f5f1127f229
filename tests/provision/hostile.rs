//! Whatever text a phone's configuration has, it ends no line, attribute or element, and no syntax inside a value: every
//! file is read back and compared with the same file with harmless text.

use centrex::phones::Phone;
use centrex::provision::{PhoneSecrets, Templates, file_names};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use quick_xml::events::Event;

use super::Case;

/// Harmless text in place of the hostile one.
const HARMLESS: &str = "Qx7harmless";

/// Phones of every series and template.
const CASES: &[&str] = &[
    "yealink/all-keys",
    "yealink/dect",
    "poly/all-keys",
    "grandstream/all-keys",
    "grandstream/adapter",
    "grandstream/p-values",
    "snom/all-keys",
    "fanvil/all-keys",
    "cisco/all-keys",
    "cisco/spa",
    "linphone/several-lines",
    "acrobits/one-line",
    "microsip/several-lines",
];

/// Names and values of a file, in order: a name is a key, or a path of elements with an attribute.
fn parsed(name: &str, body: &str) -> Vec<(String, String)> {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("ini") => lines(body, "="),
        Some("cfg") if body.starts_with("#!version") => lines(body, " = "),
        _ => xml(body),
    }
}

fn lines(body: &str, separator: &str) -> Vec<(String, String)> {
    let pair = |line: &str| match line.split_once(separator) {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (line.to_owned(), String::new()),
    };
    body.lines().map(pair).collect()
}

fn xml(body: &str) -> Vec<(String, String)> {
    let mut reader = quick_xml::Reader::from_str(body);
    let (mut found, mut path, mut texts) = (Vec::new(), Vec::<String>::new(), Vec::<String>::new());
    loop {
        let event = reader.read_event().unwrap();
        let (element, is_empty) = match &event {
            Event::Eof => break,
            Event::Start(element) => (element, false),
            Event::Empty(element) => (element, true),
            Event::End(_) => {
                // Between elements there are line ends, within a value there are none.
                let text = texts.pop().unwrap();
                let value = if text.contains('\n') { text.trim() } else { &text };
                found.push((path.join("/"), value.to_owned()));
                path.pop();
                continue;
            }
            Event::Text(text) => {
                if let Some(last) = texts.last_mut() {
                    last.push_str(text);
                }
                continue;
            }
            Event::GeneralRef(reference) => {
                if let Some(last) = texts.last_mut() {
                    let entity = format!("&{};", &**reference);
                    last.push_str(&quick_xml::escape::unescape(&entity).unwrap());
                }
                continue;
            }
            _ => continue,
        };
        path.push(element.name().as_ref().to_owned());
        for attribute in element.attributes() {
            let attribute = attribute.unwrap();
            let value = quick_xml::escape::unescape(&attribute.value).unwrap();
            found.push((format!("{}@{}", path.join("/"), attribute.key.as_ref()), value.into_owned()));
        }
        match is_empty {
            true => drop(path.pop()),
            false => texts.push(String::new()),
        }
    }
    assert!(path.is_empty());
    found
}

/// A field of a phone.
type Field = (&'static str, fn(&mut Phone, &str));

/// Text of tenants.
const TEXTS: &[Field] = &[
    ("label", |phone, text| phone.lines.iter_mut().flatten().for_each(|line| line.label = text.to_owned())),
    ("display name", |phone, text| {
        phone.lines.iter_mut().flatten().for_each(|line| line.display_name = text.to_owned());
    }),
    ("label of a key", |phone, text| {
        phone.keys.iter_mut().filter(|key| key.kind.is_some()).for_each(|key| key.label = text.to_owned());
    }),
];

/// Everything else that is text. Compile admits less.
const OTHERS: &[Field] = &[
    ("user", |phone, text| phone.lines.iter_mut().flatten().for_each(|line| line.user = text.to_owned())),
    ("number", |phone, text| phone.lines.iter_mut().flatten().for_each(|line| line.number = text.to_owned())),
    ("voicemail", |phone, text| {
        let with_voicemail = phone.lines.iter_mut().flatten().filter(|line| line.voicemail.is_some());
        with_voicemail.for_each(|line| line.voicemail = Some(text.to_owned()));
    }),
    ("value of a key", |phone, text| {
        let with_value = phone.keys.iter_mut().filter(|key| !key.value.is_empty());
        with_value.for_each(|key| key.value = text.to_owned());
    }),
    ("emergency number", |phone, text| {
        phone.dial_plan.emergency = vec![text.to_owned()];
        phone.dial_plan.at_once = vec![text.to_owned()];
    }),
    ("setting", |phone, text| {
        for key in
            ["phone_setting.x", "up.x", "lcd.x", "P334", "dim_timer", "phone.display.LCDTitle", "Back_Light"]
        {
            phone.settings.insert(key.to_owned(), text.to_owned());
        }
    }),
    ("domain", |phone, text| phone.domain = text.to_owned()),
    ("host", |phone, text| phone.server.host = text.to_owned()),
    ("time server", |phone, text| phone.ntp_server = text.to_owned()),
    ("address of the configuration", |phone, text| phone.provisioning.url = text.to_owned()),
    ("provisioning user", |phone, text| phone.provisioning.user = text.to_owned()),
    ("language", |phone, text| phone.language = text.to_owned()),
    ("country", |phone, text| phone.country = Some(text.to_owned())),
    ("codec", |phone, text| phone.codecs = vec![text.to_owned()]),
    ("zone", |phone, text| phone.clock.name = text.to_owned()),
];

/// Values with syntax of their own: no text of a tenant may add to it.
const SYNTAX: &[&str] = &[
    "Extended_Function_",
    "Unit_",
    "Fkey/Value",
    "functionKeys/fkey",
    "resourceList",
    "digitmap",
    "Dial_Plan",
    "dialplan",
    "user_dp_str",
];

fn syntax(value: &str, field: &Field) -> Vec<usize> {
    // A label is inside the functions of Cisco's keys only.
    let characters = if field.0 == "label of a key" { ";=@$" } else { ";=@|/$,()" };
    characters.chars().map(|c| value.chars().filter(|other| *other == c).count()).collect()
}

/// The settings of a phone with a text in a field; `None` where the text is refused.
fn rendered(templates: &Templates, case: &Case, field: &Field, text: &str) -> Option<Vec<(String, String)>> {
    let mut phone = case.phone.clone();
    field.1(&mut phone, text);
    let name = file_names(&phone)[0].clone();
    let case = Case {
        view: centrex::route::view::TenantView::new(case.view.plan.clone()),
        phone,
        secrets: case.secrets.clone(),
    };
    let body = case.render(templates, &name).ok()?;
    Some(parsed(&name, &body))
}

/// Whether a text is rendered, and then as harmless as the other.
fn check(
    templates: &Templates,
    (folder, case): (&str, &Case),
    field: &Field,
    harmless: &[(String, String)],
    text: &str,
) -> bool {
    let Some(hostile) = rendered(templates, case, field, text) else { return false };
    let names = |file: &[(String, String)]| file.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(harmless), names(&hostile), "{folder}: {} {text:?}", field.0);
    for ((name, before), (_, after)) in harmless.iter().zip(&hostile) {
        let at = format!("{folder}: {} {text:?}: {name}: {after}", field.0);
        // HA1 of another user.
        let is_digest =
            name.contains("config/section/entry") && before.len() == 32 && !before.contains(HARMLESS);
        if is_digest {
            continue;
        }
        if !before.contains(HARMLESS) {
            assert_eq!(before, after, "{at}");
            continue;
        }
        // An address of a web server is no syntax of the phone's.
        let has_syntax = SYNTAX.iter().any(|part| name.contains(part)) && !before.starts_with("url ");
        let is_of_tenant =
            !matches!(field.0, "domain" | "host" | "address of the configuration" | "language");
        let is_label = name.ends_with("label");
        if has_syntax && is_of_tenant && !is_label {
            assert_eq!(syntax(before, field), syntax(after, field), "{at}");
            continue;
        }
        let exactly = before.replace(HARMLESS, text);
        let escaped = before.replace(HARMLESS, &text.replace('\\', "\\\\").replace('"', "\\\""));
        let is_exact = *after == exactly || *after == exactly.replace("$(", "(") || *after == escaped;
        // These leave out what their phones would take for syntax.
        let leaves_out =
            ["cisco", "fanvil", "microsip", "acrobits"].iter().any(|vendor| folder.starts_with(vendor))
                || matches!(field.0, "emergency number" | "value of a key" | "host")
                || (folder.starts_with("yealink") && text.starts_with('%'));
        assert!(is_exact || leaves_out, "{at}");
    }
    true
}

/// Text that compile admits.
fn is_legal(text: &str) -> bool {
    let is_legal = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    !text.is_empty() && text.trim() == text && text.chars().all(is_legal)
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9äß\u{4e2d} ]{1,4}",
        prop::sample::select(vec![
            "\n",
            "\r\n",
            "\t",
            "\0",
            "\u{85}",
            "\u{2028}",
            "<",
            ">",
            "&",
            "\"",
            "'",
            "]]>",
            "<!--",
            "-->",
            "<x/>",
            "&amp;",
            "&#10;",
            "=",
            " = ",
            ";",
            "@",
            "$PROXY",
            "$(id)",
            "!!$(::)!!",
            "%NULL%",
            "%EMPTY%",
            "#",
            "\\",
            "|",
            "/",
            "{{ x }}",
            "{% x %}",
            "[Account2]",
            "..",
            "%0a",
            "\u{feff}",
            "\u{fffe}",
            "\u{202e}",
            ",",
            "(",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

#[test]
fn no_text_ends_its_line_attribute_or_element() {
    let templates = Templates::built_in().unwrap();
    let cases: Vec<(&str, Case)> = CASES.iter().map(|folder| (*folder, Case::of(folder))).collect();
    let fields: Vec<&Field> = TEXTS.iter().chain(OTHERS).collect();
    let mut accepted = 0;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for (folder, case) in &cases {
        for field in &fields {
            let harmless = rendered(&templates, case, field, HARMLESS).unwrap();
            for _ in 0..6 {
                let text = hostile().new_tree(&mut runner).unwrap().current();
                // A setting that compile would refuse is left out.
                if field.0 == "setting" && (!is_legal(&text) || text.starts_with('%')) {
                    continue;
                }
                let is_rendered = check(&templates, (folder, case), field, &harmless, &text);
                let is_text = TEXTS.iter().any(|(name, _)| *name == field.0);
                assert!(
                    is_rendered || !is_text || !is_legal(&text),
                    "{folder}: {} {text:?} is refused",
                    field.0
                );
                accepted += usize::from(is_rendered);
            }
        }
    }
    assert!(accepted > 500, "{accepted}");
}

#[test]
fn names_of_a_phonebook_are_escaped() {
    let templates = Templates::built_in().unwrap();
    let mut read = 0;
    for folder in CASES {
        let case = Case::of(folder);
        for name in file_names(&case.phone)
            .into_iter()
            .skip(1)
            .filter(|name| name.contains("book") || name.contains("directory"))
        {
            let body = case.render(&templates, &name).unwrap();
            let found = parsed(&name, &body);
            let numbers: Vec<&str> = found
                .iter()
                .map(|(_, value)| value.as_str())
                .filter(|v| ["1001", "1002", "1003"].contains(v))
                .collect();
            assert!(numbers.len() >= 3, "{folder} {name}: {found:?}");
            read += 1;
        }
    }
    assert!(read >= 6, "{read}");
}

#[test]
fn a_key_of_a_setting_that_was_never_checked_is_left_out() {
    let templates = Templates::built_in().unwrap();
    for folder in CASES {
        let mut case = Case::of(folder);
        case.secrets = PhoneSecrets::hidden();
        let name = file_names(&case.phone)[0].clone();
        let before = case.render(&templates, &name).unwrap();
        for key in ["a b", "x><evil", "a.b\nc.d", "a.b = 1", "é.x", ""] {
            case.phone.settings.insert(key.to_owned(), "evil".to_owned());
        }
        assert_eq!(case.render(&templates, &name).unwrap(), before, "{folder}");
    }
}
