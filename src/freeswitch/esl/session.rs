//! A session: two connections to one FreeSWITCH, one for commands and one for events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use freeswitch_esl_tokio::{AuthMethod, EslClient, EslConnectOptions, EslError as Wire, EslEventStream};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Address, Client, EslError, Event, Password};

/// How long the greeting and each step of the login may take. FreeSWITCH accepts more than five connections
/// at the same time but never greets them (contract §5.2).
const LOGIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Silence after which the connection counts as dead. A live switch sends a heartbeat every 10 seconds with
/// our configuration, and every 20 with FreeSWITCH's own.
const LIVENESS_TIMEOUT: Duration = Duration::from_secs(45);
/// Most events that wait to be processed; further ones are counted and dropped. Thousands of phones register at once
/// after an outage, while a comparison may take seconds.
const MAX_WAITING: usize = 8192;
/// Most events that wait to be read from the connection.
const MAX_UNREAD: usize = 10_000;

/// A session that has logged in and listens.
#[derive(Debug)]
pub struct Session {
    /// Sends commands.
    pub client: Client,
    /// Receives events.
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
    /// The next event; `None` when the session has ended.
    pub async fn next(&mut self) -> Option<Event> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            return Some(Event::Lost(lost));
        }
        self.ended.run_until_cancelled(self.waiting.recv()).await.flatten()
    }
}

/// Opens both connections and subscribes to events.
///
/// # Errors
/// The address does not answer, or refuses the login.
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
    listening.set_liveness_timeout(LIVENESS_TIMEOUT);
    let client = Client::start(commands, ended.clone().drop_guard(), stop.clone());
    let (sender, waiting) = mpsc::channel(MAX_WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    tokio::spawn({
        let (lost, ended, stop) = (lost.clone(), ended.clone(), stop.clone());
        async move {
            stop.run_until_cancelled(listen(&listening, stream, sender, &lost)).await;
            hang_up(&listening).await;
            ended.cancel();
        }
    });
    Ok(Session { client, events: Events { waiting, lost, ended, _stop: stop.drop_guard() } })
}

async fn connect(address: &Address, password: &Password) -> Result<(EslClient, EslEventStream), EslError> {
    let options =
        EslConnectOptions::new().with_connect_timeout(LOGIN_TIMEOUT).with_event_queue_size(MAX_UNREAD);
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

/// Receives events as fast as they arrive and forwards those that are used, until the connection ends.
async fn listen(wire: &EslClient, mut stream: EslEventStream, sender: mpsc::Sender<Event>, lost: &AtomicU64) {
    let mut dropped_before = 0;
    while let Some(read) = stream.recv().await {
        // The connection counts the events that it dropped itself.
        let dropped = wire.dropped_event_count();
        lost.fetch_add(dropped.saturating_sub(dropped_before), Ordering::Relaxed);
        dropped_before = dropped;
        let Some(event) = read.ok().as_ref().and_then(Event::parse) else { continue };
        match sender.try_send(event) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                lost.fetch_add(1, Ordering::Relaxed);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

/// Closes a connection. If the peer does not close its side, the short liveness timeout ends the task that
/// reads.
pub(super) async fn hang_up(wire: &EslClient) {
    wire.set_liveness_timeout(Duration::from_millis(1));
    let _ = wire.disconnect().await; // it may be closed already
}
