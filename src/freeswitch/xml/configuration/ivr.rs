//! ivr.conf: the menu that a caller enters.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::freeswitch::xml::field::Field;
use crate::freeswitch::xml::form::Form;
use crate::freeswitch::xml::{Answer, AnswerError, Answers, render};
use crate::plan::{IvrMenuRow, IvrOptionRow};
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
    let entries = entries(&tenant, row, answers.key()?);
    let file = row.greeting.as_ref().and_then(|file| answers.media.file(tenant.plan.tenant.id, file));
    let values = Menu {
        name: &name,
        greeting: file.unwrap_or_else(|| "silence_stream://500".to_owned()),
        timeout: i64::from(row.timeout_seconds) * 1000,
        max_failures: row.max_failures,
        digit_len: digit_len(&tenant, row),
        entries,
    };
    Ok(render::document(&answers.templates, "ivr/menu.xml", &values)?)
}

/// The entries of a menu. Each transfers the call to our own dialplan, with a signed destination that only we
/// can write.
fn entries(tenant: &TenantView, row: &IvrMenuRow, key: &SigningKey) -> Vec<Entry> {
    let plan = &tenant.plan;
    let choice = |option: &IvrOptionRow| {
        let destination = sign_step(key, plan.tenant.id, Step::To, &option.target)?;
        let context = Word::new(tenant.context())?;
        let Action { application, data } = DialplanApp::Transfer { destination, context }.action();
        Some(Entry { digits: option.digits.clone(), param: format!("{application} {data}") })
    };
    let mut entries: Vec<Entry> = row.options.iter().filter_map(choice).collect();
    if row.direct_dial {
        // `$1` is what the pattern matched in the caller's keys: digits only.
        let context = tenant.context();
        entries.extend(number_lengths(tenant).into_iter().map(|length| Entry {
            digits: format!("/\\A([0-9]{{{length}}})\\z/"),
            param: format!("transfer $1 XML {context}"),
        }));
    }
    entries
}

fn digit_len(tenant: &TenantView, row: &IvrMenuRow) -> usize {
    let direct = if row.direct_dial { number_lengths(tenant).last().copied() } else { None };
    row.options.iter().map(|option| option.digits.len()).chain(direct).max().unwrap_or(1)
}

/// The lengths of the tenant's internal numbers.
fn number_lengths(tenant: &TenantView) -> BTreeSet<usize> {
    let plan = &tenant.plan;
    let extensions = plan.extensions.values().map(|row| row.number.len());
    let groups = plan.ring_groups.values().filter_map(|row| Some(row.number.as_ref()?.len()));
    let queues = plan.queues.values().filter_map(|row| Some(row.number.as_ref()?.len()));
    let menus = plan.ivr_menus.values().filter_map(|row| Some(row.number.as_ref()?.len()));
    let conferences = plan.conferences.values().filter_map(|row| Some(row.number.as_ref()?.len()));
    extensions.chain(groups).chain(queues).chain(menus).chain(conferences).collect()
}
