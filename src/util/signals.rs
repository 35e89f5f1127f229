//! The signals that end a process.

use tokio_util::sync::CancellationToken;
use tracing::info;

/// Cancels a token at the first SIGTERM or SIGINT.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn end_on_signals(stop: CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => info!("SIGTERM: ending"),
            _ = int.recv() => info!("SIGINT: ending"),
        }
        stop.cancel();
    });
    Ok(())
}
