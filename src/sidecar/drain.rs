//! `centrex switch drain` and `resume`: no new calls, and new calls again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::control;
use crate::switch::findings::Findings;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// How long a switch may take to be told.
const TOLD: Duration = Duration::from_secs(30);

/// Options of `centrex switch drain`.
#[derive(Args, Clone, Debug)]
pub struct DrainArgs {
    /// The data directory of the sidecar
    #[arg(long, env = "CENTREX_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Longest wait for calls to end, in seconds; 0 waits for none
    #[arg(long, env = "CENTREX_DRAIN_LIMIT", value_name = "SECONDS", default_value_t = 3600)]
    pub limit: u32,
}

/// Options of `centrex switch resume`.
#[derive(Args, Clone, Debug)]
pub struct ResumeArgs {
    /// The data directory of the sidecar
    #[arg(long, env = "CENTREX_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// Why a switch was not drained, or not resumed.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// No sidecar with an event socket runs there.
    #[error("no sidecar that has --esl-address answers in --data-dir {path}: {source}")]
    NoSidecar {
        /// The data directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// FreeSWITCH cannot be told.
    #[error("FreeSWITCH was not told in {} seconds: its event socket does not answer", TOLD.as_secs())]
    NotTold,
    /// Calls are left.
    #[error("{calls} call legs are still up after {limit} seconds; no new ones come")]
    CallsLeft {
        /// How many.
        calls: u32,
        /// The limit.
        limit: u32,
    },
}

/// Takes no new calls, and waits until none are up.
///
/// # Errors
/// There is nobody to tell, or calls are up at the limit.
pub async fn drain(args: DrainArgs) -> Result<(), DrainError> {
    tell(&args.data_dir, "drain", true).await?;
    let deadline = Instant::now() + Duration::from_secs(args.limit.into());
    let mut told = None;
    loop {
        let calls = ask(&args.data_dir, "status").await?.calls;
        if told != Some(calls) {
            println!("no new calls; {calls} call legs are up");
            told = Some(calls);
        }
        if calls == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(DrainError::CallsLeft { calls, limit: args.limit });
        }
        sleep(LOOK).await;
    }
}

/// Takes calls again.
///
/// # Errors
/// There is nobody to tell.
pub async fn resume(args: ResumeArgs) -> Result<(), DrainError> {
    tell(&args.data_dir, "resume", false).await?;
    println!("new calls are taken");
    Ok(())
}

/// Gives an order, and waits until it was carried out.
async fn tell(data_dir: &Path, order: &str, draining: bool) -> Result<(), DrainError> {
    ask(data_dir, order).await?;
    let deadline = Instant::now() + TOLD;
    loop {
        let findings = ask(data_dir, "status").await?;
        if findings.draining == draining && findings.connected == Some(true) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(DrainError::NotTold);
        }
        sleep(LOOK / 10).await;
    }
}

async fn ask(data_dir: &Path, line: &str) -> Result<Findings, DrainError> {
    let asked = control::ask(data_dir, line).await;
    asked.map_err(|source| DrainError::NoSidecar { path: data_dir.to_owned(), source })
}
