//! Prints traces as text or as JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::query::Trace;
use super::{TraceArgs, TraceError};

/// The trace under one configuration, or why there is none.
pub type Outcome = Result<Trace, TraceError>;

pub(super) fn text(
    out: &mut impl Write,
    args: &TraceArgs,
    at: jiff::Timestamp,
    current: &Outcome,
    proposed: Option<&Outcome>,
) -> io::Result<()> {
    let by = args.trunk.as_ref().map(|trunk| format!(" by Trunk {trunk}")).unwrap_or_default();
    writeln!(out, "{}: {} dials {}{by} at {at}", args.tenant, args.from, args.to)?;
    let with_xml = !args.no_xml;
    let before = lines(current, with_xml);
    let Some(proposed) = proposed else {
        return before.iter().try_for_each(|line| writeln!(out, "{line}"));
    };
    let after = lines(proposed, with_xml);
    for (title, lines) in [("current", &before), ("proposed", &after)] {
        writeln!(out, "\n{title}:")?;
        lines.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    writeln!(out, "\ndifference:")?;
    let only = |one: &[String], other: &[String], mark: &str| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).map(|line| format!("  {mark} {line}")).collect()
    };
    let mut differences = only(&before, &after, "-");
    differences.extend(only(&after, &before, "+"));
    if differences.is_empty() {
        // The same lines in another order differ too.
        let order = if before == after { "  none" } else { "  the order" };
        let only_xml = before == after && lines(current, true) != lines(proposed, true);
        differences.push(if only_xml { "  the XML, which --no-xml leaves out" } else { order }.to_owned());
    }
    differences.iter().try_for_each(|line| writeln!(out, "{line}"))
}

pub(super) fn json(
    out: &mut impl Write,
    args: &TraceArgs,
    current: &Outcome,
    proposed: Option<&Outcome>,
) -> Result<(), TraceError> {
    let value = |outcome: &Outcome| match outcome {
        Ok(trace) => serde_json::to_value(trace),
        Err(error) => Ok(json!({"error": error.to_string()})),
    };
    let current = value(current)?;
    let mut document = match proposed {
        Some(proposed) => {
            let proposed: Value = value(proposed)?;
            json!({"differs": current != proposed, "current": current, "proposed": proposed})
        }
        None => json!({"current": current}),
    };
    if args.no_xml {
        remove_xml(&mut document);
    }
    serde_json::to_writer_pretty(&mut *out, &document)?;
    Ok(writeln!(out)?)
}

/// Removes the XML of every trace in a document.
fn remove_xml(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("xml");
            map.values_mut().for_each(remove_xml);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_xml),
        _ => {}
    }
}

fn lines(outcome: &Outcome, with_xml: bool) -> Vec<String> {
    let mut lines = Vec::new();
    match outcome {
        Ok(trace) => trace_lines(trace, "", with_xml, &mut lines),
        Err(error) => lines.push(error.to_string()),
    }
    lines
}

fn trace_lines(trace: &Trace, indent: &str, with_xml: bool, lines: &mut Vec<String>) {
    for step in &trace.steps {
        let mark = if step.matched { "yes" } else { "no " };
        lines.push(format!("{indent}{mark} {}: {}", step.resource, step.why));
    }
    lines.push(match &trace.end {
        Some(end) => format!("{indent}ends: {end}"),
        None => format!("{indent}ends: no answer, which FreeSWITCH makes 404"),
    });
    if with_xml {
        xml_lines(&trace.xml, indent, lines);
    }
    for then in &trace.then {
        lines.push(format!("{indent}then, when {}:", then.when));
        trace_lines(&then.trace, &format!("{indent}  "), with_xml, lines);
    }
}

/// A line for each element: the documents have no text between elements, and no line breaks.
fn xml_lines(xml: &str, indent: &str, lines: &mut Vec<String>) {
    let mut depth = 1usize;
    for element in xml.trim_matches(['<', '>']).split("><") {
        if element.starts_with('/') {
            depth = depth.saturating_sub(1);
        }
        lines.push(format!("{indent}{}<{element}>", "  ".repeat(depth)));
        if !element.starts_with('/') && !element.ends_with('/') {
            depth += 1;
        }
    }
}
