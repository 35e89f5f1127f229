//! Matching of the platform's DialRules, and digit edits.

use super::digits::{self, Edit};
use super::explain::{Step, Tracer};
use crate::numbers::DialledNumber;
use crate::plan::{DialActionRow, DialRuleRow, PlatformPlan};
use crate::resources::Kind;
use crate::resources::common::DigitMatch;
use crate::resources::dial_rule::Phase;
use crate::source::ObjectKey;

/// A rule of the platform that matches a number.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleMatch<'a> {
    /// Name of the DialRule.
    pub name: &'a str,
    /// Row of the DialRule.
    pub rule: &'a DialRuleRow,
    /// The number after the rule's edits.
    pub edit: Edit,
}

/// Rules of a phase in order of evaluation: by priority, blocking rules first.
fn rules(platform: &PlatformPlan, phase: Phase) -> Vec<(&str, &DialRuleRow)> {
    let of_phase = platform.dial_rules.iter().filter(|(_, rule)| rule.phase == phase);
    let mut rules: Vec<_> = of_phase.map(|(name, rule)| (name.as_str(), rule)).collect();
    rules.sort_by_key(|(_, rule)| (rule.priority, rule.action != DialActionRow::Block));
    rules
}

/// The first rule of a phase that matches a number as dialled.
pub fn first_match<'a>(
    platform: &'a PlatformPlan,
    phase: Phase,
    dialled: &DialledNumber,
    tracer: Tracer<'_>,
) -> Option<RuleMatch<'a>> {
    rules(platform, phase).into_iter().find_map(|(name, rule)| {
        let edit = edited(&rule.matches, dialled, tracer, || key(name))?;
        Some(RuleMatch { name, rule, edit })
    })
}

/// The rule that blocks any spelling of a number: a block of 0900… also blocks +49900… and 0049900…, and what a
/// carrier may take for one of them. Of the rules, those before `until` count, or all.
pub fn blocking<'a>(
    platform: &'a PlatformPlan,
    number: &DialledNumber,
    until: Option<&str>,
    tracer: Tracer<'_>,
) -> Option<&'a str> {
    let rules = rules(platform, Phase::Before);
    let count = rules.iter().position(|(name, _)| Some(*name) == until).unwrap_or(rules.len());
    let rules = rules.get(..count).unwrap_or_default();
    blocking_spelling(rules, number, tracer)
        .or_else(|| number.shortened().iter().find_map(|number| blocking_spelling(rules, number, tracer)))
}

/// The rule of these that blocks any spelling of a number.
fn blocking_spelling<'a>(
    rules: &[(&'a str, &'a DialRuleRow)],
    number: &DialledNumber,
    tracer: Tracer<'_>,
) -> Option<&'a str> {
    number.spellings().into_iter().find_map(|spelling| {
        let matches_spelling = |matches: &DigitMatch| {
            digits::edit_spelling(matches, &spelling, digits::readings_for(matches, number)).is_ok()
        };
        let (name, rule) = rules.iter().find(|(_, rule)| rule.matches.iter().any(matches_spelling))?;
        let blocks = rule.action == DialActionRow::Block;
        if blocks {
            let why = || format!("it blocks {spelling}, which {} is", number.as_str());
            tracer.record(|| Step { resource: key(name), matched: true, why: why() });
        }
        blocks.then_some(*name)
    })
}

/// The edit of the first match that applies to a number.
pub fn edited(
    matches: &[DigitMatch],
    dialled: &DialledNumber,
    tracer: Tracer<'_>,
    resource: impl Fn() -> ObjectKey,
) -> Option<Edit> {
    let edit = matches.iter().find_map(|matches| digits::edit(matches, dialled).ok());
    tracer.record(|| {
        let dialled_text = dialled.as_str();
        let why = match &edit {
            Some(edit) if edit.number == dialled_text => format!("it is about {dialled_text}"),
            Some(edit) => format!("it is about {dialled_text}, and makes it {}", edit.number),
            None => {
                let reasons = matches.iter().filter_map(|m| digits::edit(m, dialled).err());
                let reasons: Vec<String> = reasons.map(|reason| reason.to_string()).collect();
                format!("{dialled_text} {}", reasons.join("; it "))
            }
        };
        Step { resource: resource(), matched: edit.is_some(), why }
    });
    edit
}

/// The key of a rule.
pub fn key(name: &str) -> ObjectKey {
    ObjectKey { kind: Kind::DialRule, namespace: None, name: name.to_owned() }
}
