//! ivr.conf: the menu that a caller enters.

use serde::Serialize;

use crate::freeswitch::xml::field::Field;
use crate::freeswitch::xml::form::Form;
use crate::freeswitch::xml::{Answer, AnswerError, Answers, render};
use crate::plan::{IvrMenuRow, IvrOptionRow, Target};
use crate::route::app::DialplanApp;
use crate::route::legal::Word;
use crate::route::token::{Step, sign_step};
use crate::route::{Action, TenantView, names};
use crate::secrets::signing_key::SigningKey;

/// Values of `ivr/menu.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Menu<'a> {
    pub name: &'a str,
    pub greeting: String,
    /// Milliseconds to wait for a digit.
    pub timeout: i64,
    pub max_failures: i32,
    /// Length of the longest entry.
    pub digit_len: usize,
    /// What runs after too many times without a key; the dialplan goes on when absent.
    pub on_no_input: Option<String>,
    /// What runs after too many wrong entries; the dialplan goes on when absent.
    pub on_invalid_input: Option<String>,
    pub entries: Vec<Entry>,
}

/// An action on digits; `param` is an application and its data.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Entry {
    pub digits: String,
    pub param: String,
}

pub(super) fn answer(form: &Form<'_>, answers: &Answers) -> Result<Answer, AnswerError> {
    let name = form.text(Field::MenuName);
    let Some((menu, tenant)) = names::parse_menu(&name) else { return Ok(Answer::NotFound) };
    let Some(tenant) = answers.replica.by_id(tenant) else { return Ok(Answer::NotFound) };
    let Some(row) = tenant.plan.ivr_menus.get(menu) else { return Ok(Answer::NotFound) };
    let key = answers.key()?;
    let direct = direct(&tenant, row);
    let lengths = row.options.iter().map(|option| option.digits.len());
    let digit_len = lengths.chain(direct.iter().map(|number| number.len())).max().unwrap_or(1);
    let on = |target: &Option<Target>| transfer(&tenant, key, target.as_ref()?);
    let file = row.greeting.as_ref().and_then(|file| answers.media.file(tenant.plan.tenant.id, file));
    let values = Menu {
        name: &name,
        greeting: file.unwrap_or_else(|| "silence_stream://500".to_owned()),
        timeout: i64::from(row.timeout_seconds) * 1000,
        max_failures: row.max_failures,
        digit_len,
        on_no_input: on(&row.no_input),
        on_invalid_input: on(&row.invalid_input),
        entries: entries(&tenant, row, &direct, key),
    };
    Ok(render::document(&answers.templates, "ivr/menu.xml", &values)?)
}

/// Most numbers in one expression: PCRE compiles expressions up to 64 kB.
const NUMBERS_IN_EXPRESSION: usize = 256;

/// What a menu runs: a transfer to our own dialplan, to a signed destination that only we can write.
fn transfer(tenant: &TenantView, key: &SigningKey, target: &Target) -> Option<String> {
    let destination = sign_step(key, tenant.plan.tenant.id, Step::To, target)?;
    let context = Word::new(tenant.context())?;
    let Action { application, data } = DialplanApp::Transfer { destination, context }.action();
    Some(format!("{application} {data}"))
}

/// The entries of a menu. FreeSWITCH runs every entry that matches (switch_ivr_menu.c,
/// `switch_ivr_menu_execute`), so what is an option is no number to dial. Numbers that do not exist are
/// wrong entries.
fn entries(tenant: &TenantView, row: &IvrMenuRow, direct: &[&str], key: &SigningKey) -> Vec<Entry> {
    let choice = |option: &IvrOptionRow| {
        let param = transfer(tenant, key, &option.target)?;
        Some(Entry { digits: option.digits.clone(), param })
    };
    let mut entries: Vec<Entry> = row.options.iter().filter_map(choice).collect();
    // `$1` is what the expression matched in the caller's keys: a number of the tenant.
    let context = tenant.context();
    entries.extend(direct.chunks(NUMBERS_IN_EXPRESSION).map(|numbers| Entry {
        digits: format!("/\\A({})\\z/", numbers.join("|")),
        param: format!("transfer $1 XML {context}"),
    }));
    entries
}

/// The internal numbers that callers of a menu may dial: all that are no option of it.
fn direct<'a>(tenant: &'a TenantView, row: &IvrMenuRow) -> Vec<&'a str> {
    if !row.direct_dial {
        return Vec::new();
    }
    let is_option = |number: &str| row.options.iter().any(|option| option.digits == number);
    let is_digits = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit());
    let mut numbers: Vec<&str> =
        tenant.numbers().filter(|number| is_digits(number) && !is_option(number)).collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use regex::Regex;
    use serde_json::json;

    use super::*;
    use crate::plan::TenantPlan;
    use crate::resources::common::DestinationKind;

    /// A tenant with these internal numbers, and a menu with these options.
    fn tenant(numbers: &BTreeSet<String>, options: &BTreeSet<String>) -> (TenantView, IvrMenuRow) {
        let row = json!({
            "id": "00000000-0000-4000-8000-000000000001", "namespace": "acme", "name": "acme", "ownerUid": "",
            "displayName": "Acme", "domains": ["acme.example.com"], "suspended": false, "timeZone": "UTC",
            "deletionPolicy": "Retain",
        });
        let mut plan = TenantPlan::empty(serde_json::from_value(row).unwrap());
        for number in numbers {
            let row = json!({"number": number, "displayName": number, "ringSeconds": 20});
            plan.extensions.insert(format!("e{number}"), serde_json::from_value(row).unwrap());
        }
        let option = |digits: &String| IvrOptionRow {
            digits: digits.clone(),
            target: Target { kind: DestinationKind::Conference, name: "room".into() },
        };
        let menu = IvrMenuRow {
            number: None,
            greeting: None,
            timeout_seconds: 8,
            max_failures: 3,
            direct_dial: true,
            options: options.iter().map(option).collect(),
            otherwise: None,
            no_input: None,
            invalid_input: None,
        };
        (TenantView::new(plan), menu)
    }

    /// What FreeSWITCH runs for what a caller pressed: every entry that matches.
    fn run(entries: &[Entry], pressed: &str) -> Vec<String> {
        let run = |entry: &Entry| match entry.digits.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'))
        {
            None => (entry.digits == pressed).then(|| entry.param.clone()),
            Some(expression) => {
                let found = Regex::new(expression).unwrap().captures(pressed)?.get(1)?.as_str().to_owned();
                Some(entry.param.replace("$1", &found))
            }
        };
        entries.iter().filter_map(run).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// Few digits, so that options are prefixes of numbers, equal to them, and longer.
        #[test]
        fn an_option_is_run_alone_and_else_only_a_number_is_dialled(
            numbers in prop::collection::btree_set("[12]{1,5}", 0..300),
            options in prop::collection::btree_set("[12*#]{1,4}", 0..20),
            pressed in prop::collection::vec("[12*#]{1,6}", 20),
        ) {
            let (view, menu) = tenant(&numbers, &options);
            let entries = entries(&view, &menu, &direct(&view, &menu), &SigningKey::dummy());
            for pressed in pressed.iter().chain(&numbers).chain(&options) {
                let ran = run(&entries, pressed);
                if options.contains(pressed) {
                    prop_assert_eq!(ran.len(), 1);
                    prop_assert!(ran[0].contains("-to-conference-room XML "), "{} {}", pressed, ran[0]);
                } else if numbers.contains(pressed) {
                    prop_assert_eq!(ran, [format!("transfer {pressed} XML {}", view.context())]);
                } else {
                    prop_assert!(ran.is_empty(), "{} {:?}", pressed, ran);
                }
            }
        }
    }
}
