//! `centrex switch drain` and `resume`: refuse new calls, and accept them again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::control;
use crate::plan::report::{FREESWITCH_GONE_AFTER, SwitchReport};

/// How often the sidecar is asked whether calls are left.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long FreeSWITCH may take to carry an order out.
const ORDER_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// no error, and a restarted sidecar takes calls again
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
    /// No sidecar with an event socket uses the data directory.
    #[error("no sidecar that has --esl-address answers in --data-dir {path}: {source}")]
    NoSidecar {
        /// The data directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// FreeSWITCH did not take the order in time.
    #[error("FreeSWITCH did not take the order within {} seconds: its event socket does not answer", ORDER_TIMEOUT.as_secs())]
    NoAnswer,
    /// Calls were up at the limit.
    #[error("{calls} call legs are still up after {limit} seconds; no new ones come")]
    CallsLeft {
        /// Call legs that are up.
        calls: u32,
        /// The limit, in seconds.
        limit: u32,
    },
}

/// Refuses new calls, and waits until none are up.
///
/// # Errors
/// No sidecar or no FreeSWITCH answers, or calls are up at the limit.
pub async fn drain(args: DrainArgs) -> Result<(), DrainError> {
    let ended = wait(&args).await;
    if let (Err(DrainError::CallsLeft { calls, limit }), true) = (&ended, args.ending) {
        println!("{calls} call legs are still up after {limit} seconds; they end with the pod");
        return Ok(());
    }
    ended
}

async fn wait(args: &DrainArgs) -> Result<(), DrainError> {
    request(&args.data_dir, if args.ending { "end" } else { "drain" }).await?;
    let start = Instant::now();
    let (mut printed_calls, mut last_connected) = (None, start);
    loop {
        let report = request(&args.data_dir, "status").await?;
        if report.connected == Some(true) {
            last_connected = Instant::now();
            if report.draining {
                if printed_calls != Some(report.calls) {
                    println!("no new calls; {} call legs are up", report.calls);
                    printed_calls = Some(report.calls);
                }
                if report.calls == 0 {
                    return Ok(());
                }
            }
        } else if (printed_calls.is_some() || args.ending)
            && last_connected.elapsed() >= FREESWITCH_GONE_AFTER
        {
            println!("FreeSWITCH has ended: no call is waited for");
            return Ok(());
        }
        match printed_calls {
            None if start.elapsed() >= ORDER_TIMEOUT => return Err(DrainError::NoAnswer),
            None => sleep(POLL_INTERVAL / 10).await,
            Some(calls) if start.elapsed() >= Duration::from_secs(args.limit.into()) => {
                return Err(DrainError::CallsLeft { calls, limit: args.limit });
            }
            Some(_) => sleep(POLL_INTERVAL).await,
        }
    }
}

/// Accepts new calls again.
///
/// # Errors
/// No sidecar or no FreeSWITCH answers.
pub async fn resume(args: ResumeArgs) -> Result<(), DrainError> {
    request(&args.data_dir, "resume").await?;
    let start = Instant::now();
    loop {
        let report = request(&args.data_dir, "status").await?;
        if !report.draining && report.connected == Some(true) {
            println!("new calls are taken");
            return Ok(());
        }
        if start.elapsed() >= ORDER_TIMEOUT {
            return Err(DrainError::NoAnswer);
        }
        sleep(POLL_INTERVAL / 10).await;
    }
}

async fn request(data_dir: &Path, line: &str) -> Result<SwitchReport, DrainError> {
    let report = control::request(data_dir, line).await;
    report.map_err(|source| DrainError::NoSidecar { path: data_dir.to_owned(), source })
}
