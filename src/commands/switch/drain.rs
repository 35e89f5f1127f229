//! `centrex switch drain` and `resume`: no new calls, and new calls again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::control;
use crate::plan::report::{GONE, SwitchReport};

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

    /// For the preStop hook of a pod: calls that are left at the limit, or a FreeSWITCH that has ended, are
    /// no error, and a sidecar that starts anew takes calls again
    #[arg(long)]
    pub ending: bool,
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
    let ended = wait(&args).await;
    if let (Err(DrainError::CallsLeft { calls, limit }), true) = (&ended, args.ending) {
        println!("{calls} call legs are still up after {limit} seconds; they end with the pod");
        return Ok(());
    }
    ended
}

async fn wait(args: &DrainArgs) -> Result<(), DrainError> {
    ask(&args.data_dir, if args.ending { "end" } else { "drain" }).await?;
    let start = Instant::now();
    let (mut told, mut reached) = (None, start);
    loop {
        let findings = ask(&args.data_dir, "status").await?;
        if findings.connected == Some(true) {
            reached = Instant::now();
            if findings.draining {
                if told != Some(findings.calls) {
                    println!("no new calls; {} call legs are up", findings.calls);
                    told = Some(findings.calls);
                }
                if findings.calls == 0 {
                    return Ok(());
                }
            }
        } else if (told.is_some() || args.ending) && reached.elapsed() >= GONE {
            println!("FreeSWITCH has ended: no call is waited for");
            return Ok(());
        }
        match told {
            None if start.elapsed() >= TOLD => return Err(DrainError::NotTold),
            None => sleep(LOOK / 10).await,
            Some(calls) if start.elapsed() >= Duration::from_secs(args.limit.into()) => {
                return Err(DrainError::CallsLeft { calls, limit: args.limit });
            }
            Some(_) => sleep(LOOK).await,
        }
    }
}

/// Takes calls again.
///
/// # Errors
/// There is nobody to tell.
pub async fn resume(args: ResumeArgs) -> Result<(), DrainError> {
    ask(&args.data_dir, "resume").await?;
    let start = Instant::now();
    loop {
        let findings = ask(&args.data_dir, "status").await?;
        if !findings.draining && findings.connected == Some(true) {
            println!("new calls are taken");
            return Ok(());
        }
        if start.elapsed() >= TOLD {
            return Err(DrainError::NotTold);
        }
        sleep(LOOK / 10).await;
    }
}

async fn ask(data_dir: &Path, line: &str) -> Result<SwitchReport, DrainError> {
    let asked = control::ask(data_dir, line).await;
    asked.map_err(|source| DrainError::NoSidecar { path: data_dir.to_owned(), source })
}
