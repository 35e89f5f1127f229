//! A session: two connections to one FreeSWITCH, one for commands, one for events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use freeswitch_esl_tokio::{AuthMethod, EslClient, EslConnectOptions, EslError as Wire, EslEventStream};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Address, Client, EslError, Event, Password};

/// How long the greeting and each step of the login may take. More than five connections at one
/// moment are accepted and never greeted (contract §5.2).
const GREETING: Duration = Duration::from_secs(2);
/// How long a switch may be silent. It is told apart from a busy one by its heartbeat, which comes
/// every 10 seconds with our configuration, and every 20 with FreeSWITCH's own.
const SILENT: Duration = Duration::from_secs(45);
/// Events that wait to be taken; those beyond are counted and lost.
const WAITING: usize = 1024;
/// Events that wait to be read from the wire; they are read at once.
const UNREAD: usize = 10_000;

/// A session that has logged in and listens.
#[derive(Debug)]
pub struct Session {
    /// Gives commands.
    pub client: Client,
    /// What FreeSWITCH tells.
    pub events: Events,
}

/// The events of a session.
#[derive(Debug)]
pub struct Events {
    waiting: mpsc::Receiver<Event>,
    lost: Arc<AtomicU64>,
    ended: CancellationToken,
    /// Ends both connections with the session.
    _stop: DropGuard,
}

impl Events {
    /// The next event; none when the session has ended.
    pub async fn next(&mut self) -> Option<Event> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            return Some(Event::Lost(lost));
        }
        self.ended.run_until_cancelled(self.waiting.recv()).await.flatten()
    }
}

/// Logs in twice, and subscribes.
///
/// # Errors
/// Nobody is there, or refuses the login.
pub async fn open(address: &Address, password: &Password) -> Result<Session, EslError> {
    let (commands, _) = connect(address, password).await?;
    let (listening, stream) = match connect(address, password).await {
        Ok(connected) => connected,
        Err(error) => {
            hang_up(&commands).await;
            return Err(error);
        }
    };
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    if let Err(error) = listening.apply_subscription(&Event::subscription()).await {
        hang_up(&commands).await;
        hang_up(&listening).await;
        return Err(unreachable(address, &error));
    }
    listening.set_liveness_timeout(SILENT);
    let client = Client::start(commands, ended.clone().drop_guard(), stop.clone());
    let (tell, waiting) = mpsc::channel(WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    tokio::spawn({
        let (lost, ended, stop) = (lost.clone(), ended.clone(), stop.clone());
        async move {
            stop.run_until_cancelled(listen(&listening, stream, tell, &lost)).await;
            hang_up(&listening).await;
            ended.cancel();
        }
    });
    Ok(Session { client, events: Events { waiting, lost, ended, _stop: stop.drop_guard() } })
}

async fn connect(address: &Address, password: &Password) -> Result<(EslClient, EslEventStream), EslError> {
    let options = EslConnectOptions::new().with_connect_timeout(GREETING).with_event_queue_size(UNREAD);
    let method = AuthMethod::password(password.0.as_str());
    let connected = EslClient::connect_with_auth(&address.host, address.port, method, options).await;
    connected.map_err(|error| match error {
        Wire::AuthenticationFailed { reason } | Wire::AccessDenied { reason } => {
            EslError::Refused { address: address.clone(), reason: reason.chars().take(200).collect() }
        }
        error => unreachable(address, &error),
    })
}

fn unreachable(address: &Address, error: &Wire) -> EslError {
    EslError::Unreachable { address: address.clone(), reason: error.to_string().chars().take(200).collect() }
}

/// Takes events as fast as they come, and keeps what is of use. Returns when the connection ends.
async fn listen(wire: &EslClient, mut stream: EslEventStream, tell: mpsc::Sender<Event>, lost: &AtomicU64) {
    let mut unread = 0;
    while let Some(read) = stream.recv().await {
        // What the connection itself dropped, it counts.
        let dropped = wire.dropped_event_count();
        lost.fetch_add(dropped.saturating_sub(unread), Ordering::Relaxed);
        unread = dropped;
        let Some(event) = read.ok().as_ref().and_then(Event::read) else { continue };
        match tell.try_send(event) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                lost.fetch_add(1, Ordering::Relaxed);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

/// Closes a connection. A peer that does not close its side must not keep the task that reads: it
/// ends by its liveness timer then.
pub(super) async fn hang_up(wire: &EslClient) {
    wire.set_liveness_timeout(Duration::from_millis(1));
    let _ = wire.disconnect().await; // it may be closed already
}
