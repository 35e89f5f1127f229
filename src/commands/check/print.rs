//! Prints findings as text or as JSON.

use std::io::{self, Write};

use serde_json::json;

use super::{CheckError, Counts, Finding, Severity};

pub(super) fn text(out: &mut impl Write, findings: &[Finding], counts: &Counts) -> io::Result<()> {
    for finding in findings {
        writeln!(out, "{}", line(finding))?;
    }
    let Counts { objects, errors, notes, left_out } = counts;
    if *left_out > 0 {
        writeln!(
            out,
            "{left_out} more are not shown: they may follow from what cannot be read; correct that first"
        )?;
    }
    let counted = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let (objects, errors, notes) =
        (counted(*objects, "object"), counted(*errors, "error"), counted(*notes, "note"));
    writeln!(out, "{objects} checked: {errors}, {notes}")
}

/// `file:line: error: Kind namespace/name: field: message (Reason)`, without the parts that are unknown.
fn line(finding: &Finding) -> String {
    let mut parts = Vec::new();
    match (&finding.file, finding.line) {
        (Some(file), Some(line)) => parts.push(format!("{}:{line}", file.display())),
        (Some(file), None) => parts.push(file.display().to_string()),
        _ => {}
    }
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Note => "note",
    };
    parts.push(severity.to_owned());
    parts.extend(finding.resource.as_ref().map(ToString::to_string));
    if !finding.field.is_empty() {
        parts.push(finding.field.clone());
    }
    parts.push(format!("{} ({})", finding.message, finding.reason));
    parts.join(": ")
}

pub(super) fn json(out: &mut impl Write, findings: &[Finding], counts: &Counts) -> Result<(), CheckError> {
    let Counts { objects, errors, notes, left_out } = counts;
    let document = json!({
        "findings": findings, "objects": objects, "errors": errors, "notes": notes, "leftOut": left_out
    });
    serde_json::to_writer_pretty(&mut *out, &document)?;
    Ok(writeln!(out)?)
}
