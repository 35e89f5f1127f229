//! A socket in the data directory by which `centrex switch drain` and `resume` talk to the sidecar of
//! the same pod: whoever may open the directory may do that, and nobody from elsewhere.
//!
//! One line each way: `drain`, `end`, `resume` or `status`; back come the findings in JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::SidecarError;
use crate::freeswitch::sync::Order;
use crate::plan::report::SwitchReport;

/// Longest line.
const LINE: u64 = 1 << 20;
/// How long a peer may take to say its line, and an order to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the socket of a data directory is.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// The side of the sidecar.
pub(super) struct Control {
    listener: UnixListener,
    orders: mpsc::Sender<Order>,
    findings: watch::Receiver<SwitchReport>,
}

impl Control {
    /// Listens, in place of a process that has ended: the data directory has one user at a time.
    pub fn bind(
        data_dir: &Path,
        orders: mpsc::Sender<Order>,
        findings: watch::Receiver<SwitchReport>,
    ) -> Result<Self, SidecarError> {
        let path = path(data_dir);
        let bound = match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => UnixListener::bind(&path),
        };
        let listener = bound.map_err(|source| SidecarError::Control { path, source })?;
        Ok(Self { listener, orders, findings })
    }

    /// Answers until cancelled.
    pub async fn serve(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                match self.listener.accept().await {
                    // One at a time: nobody else is waited for longer than its patience.
                    Ok((stream, _)) => {
                        let _ = tokio::time::timeout(PATIENCE, self.answer(stream)).await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection for drain or resume could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        })
        .await;
    }

    async fn answer(&self, stream: UnixStream) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        BufReader::new(read.take(64)).read_line(&mut line).await?;
        let order = match line.trim_end() {
            "drain" => Some(Order::Drain),
            "end" => Some(Order::End),
            "resume" => Some(Order::Resume),
            "status" => None,
            _ => return write.write_all(b"allowed are drain, end, resume and status\n").await,
        };
        if let Some(order) = order {
            // It is carried out as soon as there is a session; `draining` says when it was.
            let _ = self.orders.send(order).await;
        }
        let mut answer = serde_json::to_vec(&*self.findings.borrow())?;
        answer.push(b'\n');
        write.write_all(&answer).await
    }
}

/// Says one line to the sidecar of a data directory.
///
/// # Errors
/// Nobody is there, or what answers is no sidecar.
pub(super) async fn ask(data_dir: &Path, line: &str) -> std::io::Result<SwitchReport> {
    let asked = async {
        let mut stream = UnixStream::connect(path(data_dir)).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(stream.take(LINE)).read_line(&mut answer).await?;
        Ok(serde_json::from_str(&answer)?)
    };
    tokio::time::timeout(2 * PATIENCE, asked)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}
