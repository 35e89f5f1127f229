//! The control socket: `centrex switch drain` and `resume` talk to the sidecar over a Unix socket in its data
//! directory. Processes that may open the directory may use it, and no other host can.
//!
//! One line each way: the request is `drain`, `end`, `resume` or `status`, the answer a [`SwitchReport`] as JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::SidecarError;
use crate::freeswitch::sync::Order;
use crate::plan::report::SwitchReport;

/// Longest answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
/// How long one exchange may take on the side of the sidecar.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Path of the socket of a data directory.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// The sidecar's end of the socket.
pub(super) struct Control {
    listener: UnixListener,
    orders: mpsc::Sender<Order>,
    report: watch::Receiver<SwitchReport>,
}

impl Control {
    /// Binds the socket, in place of that of an ended process: a data directory has one user at a time.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn bind(
        data_dir: &Path,
        orders: mpsc::Sender<Order>,
        report: watch::Receiver<SwitchReport>,
    ) -> Result<Self, SidecarError> {
        let path = path(data_dir);
        let bound = match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => UnixListener::bind(&path),
        };
        let listener = bound.map_err(|source| SidecarError::Control { path, source })?;
        Ok(Self { listener, orders, report })
    }

    /// Serves until stopped.
    pub async fn serve(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                match self.listener.accept().await {
                    // One connection at a time, each with a timeout.
                    Ok((stream, _)) => {
                        let _ = tokio::time::timeout(EXCHANGE_TIMEOUT, self.answer(stream)).await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the control socket could not accept a connection");
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
            // The order waits for a session with FreeSWITCH; `draining` says when it was carried out.
            let _ = self.orders.send(order).await;
        }
        let mut answer = serde_json::to_vec(&*self.report.borrow())?;
        answer.push(b'\n');
        write.write_all(&answer).await
    }
}

/// Sends one line to the sidecar of a data directory, and returns its report.
///
/// # Errors
/// No sidecar listens there, or the answer is not a report.
pub(super) async fn request(data_dir: &Path, line: &str) -> std::io::Result<SwitchReport> {
    let exchange = async {
        let mut stream = UnixStream::connect(path(data_dir)).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(stream.take(MAX_ANSWER_BYTES)).read_line(&mut answer).await?;
        Ok(serde_json::from_str(&answer)?)
    };
    tokio::time::timeout(2 * EXCHANGE_TIMEOUT, exchange)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}
