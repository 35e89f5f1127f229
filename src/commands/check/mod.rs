//! `centrex check`: compiles manifests without a cluster, a database or a switch, for CI.

mod cascade;
mod hints;
mod print;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::commands::phone::defects;
use crate::compile;
use crate::compile::{CompiledPlans, Effect};
use crate::plan::TenantPlan;
use crate::provision::Templates;
use crate::resources::Kind;
use crate::route::TenantView;
use crate::source::folder::{FileLocation, FileProblem, Folder, FolderError, Reading};
use crate::source::{Change, ObjectKey, ResourceIndex};
use crate::util::format::Format;

/// Options of `centrex check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Exit codes:
  0  no problems; what only waits for something, or should only be known, is a note
  1  problems were found
  2  wrong usage, or a FILE that cannot be read or holds no manifests")]
pub struct CheckArgs {
    /// Manifest files, and folders of them
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How findings are written: text has a line for each,
    /// `file:line: error: Kind namespace/name: field: message (Reason)`; json one document,
    /// `{"findings": […], "errors": 1, "notes": 0, "objects": 7, "leftOut": 0}`
    #[arg(long, value_enum, default_value_t = Format::Text, env = "CENTREX_FORMAT")]
    pub format: Format,
}

/// Whether a finding is a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// A mistake: the exit code is 1.
    Error,
    /// No mistake: the resource waits for something that may come later, or a person should know something.
    Note,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The file of the resource; `None` when the resource is in no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The line of the field, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Whether it is a mistake.
    pub severity: Severity,
    /// The resource, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ObjectKey>,
    /// Path of the field; empty for the whole resource.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
    /// The reason in PascalCase: a compile problem's, or `Invalid`.
    pub reason: String,
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] FolderError),
    /// A folder without manifests: probably a wrong path.
    #[error("{} holds no manifests: files that end with .yaml, .yml or .json", .0.display())]
    Empty(PathBuf),
    /// The findings cannot be written.
    #[error("findings cannot be written: {0}")]
    Write(#[from] io::Error),
    /// The findings cannot be written as JSON.
    #[error("findings cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl CheckError {
    /// The kind of error, stable, for logs.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Read(error) => error.category(),
            Self::Empty(_) => "manifests",
            Self::Write(_) | Self::Json(_) => "output",
        }
    }
}

/// Checks, writes the findings to `out`, and returns the exit code: 0 or 1 as documented, 2 for an error,
/// which is written to `errors`.
pub fn run(args: &CheckArgs, out: &mut impl Write, errors: &mut impl Write) -> u8 {
    match check(args, out) {
        Ok(0) => 0,
        Ok(_) => 1,
        Err(error) => {
            // If this cannot be written either, the exit code still reports the error.
            let _ = writeln!(errors, "error: {error}");
            2
        }
    }
}

/// Checks, writes the findings, and returns the number of errors among them.
fn check(args: &CheckArgs, out: &mut impl Write) -> Result<usize, CheckError> {
    let reading = Folder::read_once(&args.files)?;
    // A wrong path must not pass as manifests without a mistake.
    if let Some(path) = reading.without_manifests() {
        return Err(CheckError::Empty(path.to_owned()));
    }
    let (findings, left_out) = findings(&reading);
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let counts = Counts {
        objects: objects(&reading).len(),
        errors: count(Severity::Error),
        notes: count(Severity::Note),
        left_out,
    };
    match args.format {
        Format::Text => print::text(out, &findings, &counts)?,
        Format::Json => print::json(out, &findings, &counts)?,
    }
    Ok(counts.errors)
}

/// The numbers of the summary.
struct Counts {
    /// Objects in the files, including refused ones.
    objects: usize,
    errors: usize,
    notes: usize,
    /// Problems that are not shown, because they may follow from a file that cannot be read.
    left_out: usize,
}

/// The objects in the files, accepted or refused.
fn objects(reading: &Reading) -> BTreeSet<ObjectKey> {
    let taken = reading.changes.iter().filter_map(|change| match change {
        Change::Upsert(object) => Some(object.key()),
        Change::Remove(_) | Change::Unreadable(_) => None,
    });
    taken.chain(reading.refused()).collect()
}

/// The findings in order of file and line, without those that only follow from another; and the number of
/// problems that are not shown, because they may follow from a file that cannot be read.
fn findings(reading: &Reading) -> (Vec<Finding>, usize) {
    let mut index = ResourceIndex::default();
    for change in &reading.changes {
        index.apply(change.clone());
    }
    let compiled = compile::all(&index);
    let unmade = unmade_files(&compiled);
    let (problems, refused) = (compiled.problems, reading.refused());
    // The objects of a file that cannot be read, or of a document without a kind, are unknown.
    let unknown = reading.problems.iter().any(|problem| problem.resource.is_none());
    let mut problems = cascade::without_cascades(problems, &refused, false);
    let all = problems.len();
    if unknown {
        problems = cascade::without_cascades(problems, &refused, true);
    }
    let left_out = all - problems.len();
    let keys = objects(reading);
    let hints = hints::Hints::new(&reading.changes, &keys);
    let problems: Vec<_> = problems.into_iter().map(|problem| hints.add(problem)).chain(unmade).collect();
    let mut findings: Vec<Finding> = reading.problems.iter().map(of_file).collect();
    let fields: Vec<_> = problems.iter().map(|problem| (&problem.resource, problem.field.as_str())).collect();
    let locations = reading.locate(&fields);
    findings
        .extend(problems.into_iter().zip(locations).map(|(problem, location)| of_compile(problem, location)));
    findings.sort();
    (findings, left_out)
}

/// The Devices whose files cannot be made: each is rendered as its phone would get it.
fn unmade_files(compiled: &CompiledPlans) -> Vec<compile::Problem> {
    if compiled.tenants.iter().all(|(_, plan)| plan.devices.is_empty()) {
        return Vec::new();
    }
    // The built-in templates compile: a test holds that.
    let Ok(templates) = Templates::built_in() else { return Vec::new() };
    let now = Timestamp::now();
    let of_tenant = |(_, plan): &(_, TenantPlan)| {
        let view = TenantView::new(plan.clone());
        let defects = defects(&templates, &compiled.platform, &view, now);
        let problem = |(name, message): (String, String)| {
            compile::Problem::degraded(
                view.key(Kind::Device, &name),
                "",
                compile::Reason::InvalidValue,
                message,
            )
        };
        defects.into_iter().map(problem).collect::<Vec<_>>()
    };
    compiled.tenants.iter().flat_map(of_tenant).collect()
}

fn of_file(problem: &FileProblem) -> Finding {
    let FileProblem { file, line, resource, field, message } = problem.clone();
    let reason = "Invalid".to_owned();
    Finding { file: Some(file), line, severity: Severity::Error, resource, field, message, reason }
}

fn of_compile(problem: compile::Problem, location: Option<FileLocation>) -> Finding {
    let severity = match problem.effect {
        Effect::Waiting | Effect::Noted => Severity::Note,
        Effect::Refused | Effect::Degraded => Severity::Error,
    };
    // The holder of a contested claim may be in another tenant: who has all files may read its name.
    let holder = problem.unnamed_holder().map(|holder| format!(": {holder}")).unwrap_or_default();
    let (file, line) = location.map_or((None, None), |found| (Some(found.file), Some(found.line)));
    Finding {
        file,
        line,
        severity,
        resource: Some(problem.resource),
        field: problem.field,
        message: problem.message + &holder,
        reason: problem.reason.to_string(),
    }
}
