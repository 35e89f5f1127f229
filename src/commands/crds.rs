//! `centrex crds`: prints the CRDs, writes them to a directory, or compares them with one.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::resources::publish;
use crate::resources::publish::PublishError;
use crate::util::pipe::Pipe;

/// Options of `centrex crds`.
#[derive(Args, Clone, Debug)]
pub struct CrdsArgs {
    /// Write them here, one file a kind, instead of printing them
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    pub output: Option<PathBuf>,

    /// Fail unless the files here are the ones that would be written
    #[arg(long, value_name = "DIR")]
    pub check: Option<PathBuf>,
}

/// Why the CRDs could not be published.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CrdsError {
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("{0} is not what `centrex crds` writes; run: centrex crds --output {1}")]
    Stale(PathBuf, PathBuf),
}

/// Prints, writes or compares the CRDs.
///
/// # Errors
/// When a file cannot be written, or differs from what would be written.
pub fn run(args: &CrdsArgs) -> Result<(), CrdsError> {
    match (&args.output, &args.check) {
        (Some(directory), _) => {
            publish::write_files(directory)?;
            Ok(())
        }
        (None, Some(directory)) => check(directory),
        (None, None) => Ok(publish::write_stream(&mut Pipe(std::io::stdout().lock()))?),
    }
}

fn check(directory: &Path) -> Result<(), CrdsError> {
    for (name, yaml) in publish::documents()? {
        let path = directory.join(name);
        if std::fs::read_to_string(&path).ok().as_deref() != Some(yaml.as_str()) {
            return Err(CrdsError::Stale(path, directory.to_owned()));
        }
    }
    Ok(())
}
