//! `centrex trace`: shows how a call would be routed, rule by rule, by the code that answers switches.

mod options;
mod print;
mod query;
mod state;

use std::io::{self, Write};

use jiff::Timestamp;

pub use options::TraceArgs;
pub(super) use options::tenant;
pub use query::{Then, Trace};
pub(super) use state::{Source, State, names};

use crate::freeswitch::xml::templates::{TemplateError, Templates};
use crate::route::media::MediaRootError;
use crate::secrets::keyring::KeyringError;
use crate::source::folder::FolderError;
use crate::store::StoreError;
use crate::util::format::Format;

/// Why a call cannot be traced.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TraceError {
    #[error("--manifests or --database-url is needed")]
    NoState,
    #[error(transparent)]
    Read(#[from] FolderError),
    #[error(
        "files of the manifests cannot be read ({count}), and a call under the rest would mislead: {first}"
    )]
    Manifests { count: usize, first: String },
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("--tenant {tenant}: there is no such tenant; there are: {known}")]
    UnknownTenant { tenant: String, known: String },
    #[error("--tenant: it is refused as a whole: {0}")]
    TenantRefused(String),
    #[error("--from {from}: no extension has this number or name; there are: {known}")]
    UnknownCaller { from: String, known: String },
    #[error("--trunk {trunk}: there is no such trunk; there are: {known}")]
    UnknownTrunk { trunk: String, known: String },
    #[error("--media-dir: {0}")]
    Media(#[from] MediaRootError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("the trace cannot be written: {0}")]
    Write(#[from] io::Error),
    #[error("the trace cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl TraceError {
    /// The kind of error, stable, for logs.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Read(error) => error.category(),
            Self::Manifests { .. } | Self::TenantRefused(_) => "manifests",
            Self::Keys(_) => "keys",
            Self::Store(error) => error.category(),
            Self::Template(_) => "template",
            Self::NoState
            | Self::Media(_)
            | Self::UnknownTenant { .. }
            | Self::UnknownCaller { .. }
            | Self::UnknownTrunk { .. } => "option",
            Self::Write(_) | Self::Json(_) => "output",
        }
    }
}

/// Traces a call, writes the trace to `out`, and returns the exit code: 0 or 1 as documented, 2 for an error,
/// which is written to `errors`.
pub async fn run(args: &TraceArgs, out: &mut impl Write, errors: &mut impl Write) -> u8 {
    match trace(args, out, errors).await {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            // If this cannot be written either, the exit code still reports the error.
            let _ = writeln!(errors, "error: {error}");
            2
        }
    }
}

/// Writes the trace. Returns true if the call is placed; of two states, the proposed one counts.
async fn trace(args: &TraceArgs, out: &mut impl Write, errors: &mut impl Write) -> Result<bool, TraceError> {
    let templates = match &args.templates {
        Some(directory) => Templates::with_overrides(directory)?,
        None => Templates::built_in()?,
    };
    let now = Timestamp::now();
    let at = args.at.unwrap_or_else(|| Timestamp::from_second(now.as_second()).unwrap_or(now));
    let state::States { current, mut proposed, notes } = state::read(args).await?;
    for note in notes {
        writeln!(errors, "note: {note}")?;
    }
    if let (Ok(current), Some(Ok(proposed))) = (&current, &mut proposed) {
        proposed.copy_identities(current);
    }
    let trace = |state| query::trace(args, &state, at, &templates);
    let (current, proposed) = (current.and_then(trace), proposed.map(|state| state.and_then(trace)));
    let placed = |outcome: &print::Outcome| outcome.as_ref().is_ok_and(Trace::is_placed);
    let (current, proposed) = match (current, proposed) {
        // No trace at all: the reason is the error of the command.
        (Err(error), None | Some(Err(_))) => return Err(error),
        both => both,
    };
    match args.format {
        Format::Text => print::text(out, args, at, &current, proposed.as_ref())?,
        Format::Json => print::json(out, args, &current, proposed.as_ref())?,
    }
    Ok(placed(proposed.as_ref().unwrap_or(&current)))
}
