//! ivr.conf: the one menu that a caller enters.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::plan::{IvrMenuRow, Target};
use crate::resources::common::DestinationKind;
use crate::route::TenantView;
use crate::switch::form::Form;
use crate::switch::names;
use crate::switch::xml::{Answer, AnswerError, Answers, render};

/// Values of `ivr/menu.xml`.
#[derive(Serialize)]
pub(in crate::switch::xml) struct Menu<'a> {
    pub name: &'a str,
    pub greeting: String,
    /// Milliseconds to wait for a digit.
    pub timeout: i64,
    pub max_failures: i32,
    /// Most digits of an entry.
    pub digit_len: usize,
    pub entries: Vec<Entry>,
}

/// What digits do: `param` is an application and its data.
#[derive(Serialize)]
pub(in crate::switch::xml) struct Entry {
    pub digits: String,
    pub param: String,
}

pub(super) fn answer(form: &Form<'_>, answers: &Answers) -> Result<Answer, AnswerError> {
    let name = form.text("Menu-Name");
    let Some((menu, tenant)) = names::parse_menu(&name) else { return Ok(Answer::NotFound) };
    let Some(tenant) = answers.replica.by_id(tenant) else { return Ok(Answer::NotFound) };
    let Some(row) = tenant.plan.ivr_menus.get(menu) else { return Ok(Answer::NotFound) };
    let entries = entries(&tenant, row);
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

fn entries(tenant: &TenantView, row: &IvrMenuRow) -> Vec<Entry> {
    let mut entries: Vec<Entry> = row
        .options
        .iter()
        .filter_map(|option| {
            Some(Entry { digits: option.digits.clone(), param: param(tenant, &option.target)? })
        })
        .collect();
    if row.direct_dial {
        // Keys a caller pressed, so digits only; `$1` is what FreeSWITCH matched of them.
        let context = tenant.plan.tenant.context();
        entries.extend(number_lengths(tenant).into_iter().map(|length| Entry {
            digits: format!("/\\A([0-9]{{{length}}})\\z/"),
            param: format!("transfer $1 XML {context}"),
        }));
    }
    entries
}

/// The application that leads to a destination.
fn param(tenant: &TenantView, target: &Target) -> Option<String> {
    let plan = &tenant.plan;
    let number = match target.kind {
        DestinationKind::Extension => Some(plan.extensions.get(&target.name)?.number.as_str()),
        DestinationKind::RingGroup => plan.ring_groups.get(&target.name)?.number.as_deref(),
        DestinationKind::Queue => plan.queues.get(&target.name)?.number.as_deref(),
        DestinationKind::IvrMenu => plan.ivr_menus.get(&target.name)?.number.as_deref(),
        DestinationKind::Conference => plan.conferences.get(&target.name)?.number.as_deref(),
        DestinationKind::Schedule | DestinationKind::Voicemail | DestinationKind::ExternalNumber => None,
    }?;
    Some(format!("transfer {number} XML {}", plan.tenant.context()))
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
