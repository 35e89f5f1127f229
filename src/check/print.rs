//! Findings, written for people and for programs.

use std::io::{self, Write};

use serde_json::json;

use super::{CheckError, Finding, Severity};

pub(super) fn human(
    out: &mut impl Write,
    findings: &[Finding],
    objects: usize,
    errors: usize,
    notes: usize,
) -> io::Result<()> {
    for finding in findings {
        writeln!(out, "{}", line(finding))?;
    }
    writeln!(out, "{objects} objects checked: {errors} errors, {notes} notes")
}

/// `file:line: error: Kind namespace/name: field: message (Reason)`, without what is not known.
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

pub(super) fn json(
    out: &mut impl Write,
    findings: &[Finding],
    objects: usize,
    errors: usize,
    notes: usize,
) -> Result<(), CheckError> {
    let document = json!({"findings": findings, "objects": objects, "errors": errors, "notes": notes});
    serde_json::to_writer_pretty(&mut *out, &document)?;
    Ok(writeln!(out)?)
}
