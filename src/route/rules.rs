//! The platform's rules, and what the edits of a match make of a number.

use super::digits::{self, Edit};
use super::explain::{Step, Tracer};
use crate::plan::{DialActionRow, DialRuleRow, NationalDialling, PlatformPlan};
use crate::resources::Kind;
use crate::resources::common::DigitMatch;
use crate::resources::dial_rule::Phase;
use crate::source::ObjectKey;

/// A rule of the platform that is about a number.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleMatch<'a> {
    /// Its name.
    pub name: &'a str,
    /// The rule.
    pub rule: &'a DialRuleRow,
    /// What its edits make of the number.
    pub edit: Edit,
}

/// Rules of a phase in the order they are looked at: of one priority those that block come first.
fn rules(platform: &PlatformPlan, phase: Phase) -> Vec<(&str, &DialRuleRow)> {
    let of_phase = platform.dial_rules.iter().filter(|(_, rule)| rule.phase == phase);
    let mut rules: Vec<_> = of_phase.map(|(name, rule)| (name.as_str(), rule)).collect();
    rules.sort_by_key(|(_, rule)| (rule.priority, rule.action != DialActionRow::Block));
    rules
}

/// The first rule of a phase that is about a number, as it is dialled.
pub fn first<'a>(
    platform: &'a PlatformPlan,
    phase: Phase,
    dialled: &str,
    listener: Tracer<'_>,
) -> Option<RuleMatch<'a>> {
    rules(platform, phase).into_iter().find_map(|(name, rule)| {
        let edit = edited(&rule.matches, dialled, listener, || key(name))?;
        Some(RuleMatch { name, rule, edit })
    })
}

/// The rule that blocks a number in another spelling: what is blocked as 0900… is blocked as +49900…
/// and as 0049900…, too.
pub fn blocking<'a>(
    platform: &'a PlatformPlan,
    number: &str,
    home: Option<&NationalDialling>,
    listener: Tracer<'_>,
) -> Option<&'a str> {
    digits::spellings(number, home).into_iter().find_map(|spelling| {
        let found = first(platform, Phase::Before, &spelling, Tracer::NOBODY)?;
        let blocks = found.rule.action == DialActionRow::Block;
        if blocks {
            let why = || format!("it blocks {spelling}, which {number} is");
            listener.hears(|| Step { resource: key(found.name), matched: true, why: why() });
        }
        blocks.then_some(found.name)
    })
}

/// What the first match that is about a number makes of it.
pub fn edited(
    matches: &[DigitMatch],
    dialled: &str,
    listener: Tracer<'_>,
    resource: impl Fn() -> ObjectKey,
) -> Option<Edit> {
    let edit = matches.iter().find_map(|matches| digits::edit(matches, dialled).ok());
    listener.hears(|| {
        let why = match &edit {
            Some(edit) if edit.number == dialled => format!("it is about {dialled}"),
            Some(edit) => format!("it is about {dialled}, and makes it {}", edit.number),
            None => {
                let reasons = matches.iter().filter_map(|m| digits::edit(m, dialled).err());
                let reasons: Vec<String> = reasons.map(|reason| reason.to_string()).collect();
                format!("{dialled} {}", reasons.join("; it "))
            }
        };
        Step { resource: resource(), matched: edit.is_some(), why }
    });
    edit
}

/// What names a rule.
pub fn key(name: &str) -> ObjectKey {
    ObjectKey { kind: Kind::DialRule, namespace: None, name: name.to_owned() }
}
