//! One browser's socket: what it may send, and its pings.

use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use super::handshake::Profile;
use super::message::{Address, Head, Start};
use super::metrics::{Open, Refusal};
use super::session::{Browser, Event, Session, connect};
use super::sessions::User;
use super::{
    FIRST_MESSAGE_TIMEOUT, MAX_MESSAGES_PER_SECOND, MAX_MISSED_PONGS, MAX_WAITING, PING_INTERVAL, Relay,
    SEND_TIMEOUT,
};

/// Messages for a browser that wait for its socket: more than FreeSWITCH sends at once, and than wait for its return.
const OUTBOX: usize = 4 * MAX_WAITING;

/// Why a socket ends.
enum End {
    /// The browser closed it.
    Closed,
    /// It ended without a word: the browser may return.
    Lost,
    /// The session ended, or another socket has taken its place.
    Replaced,
    /// The relay ends it.
    Refused(Refusal),
}

/// A message of a browser that was read.
struct Sent {
    from: Option<Address>,
    method: Option<String>,
    in_dialogue: bool,
    branch: String,
    instance: Option<String>,
    text: String,
}

/// Serves a browser's socket until it ends.
pub(super) async fn serve(relay: Arc<Relay>, profile: Profile, mut socket: WebSocket) {
    let _open = Open::count(&relay.metrics.browsers);
    let end = carry(&relay, profile, &mut socket).await;
    let (code, reason) = match end {
        End::Lost => return,
        End::Closed => (close_code::NORMAL, ""),
        End::Replaced => (close_code::AWAY, "the connection to FreeSWITCH ended, or another took its place"),
        End::Refused(reason) => {
            relay.metrics.refuse(reason);
            close_frame(reason)
        }
    };
    let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    let _ = timeout(SEND_TIMEOUT, socket.send(close)).await;
}

fn close_frame(reason: Refusal) -> (u16, &'static str) {
    match reason {
        Refusal::Message => (close_code::POLICY, "every message is one SIP message of at most 32 KiB"),
        Refusal::Rate => (close_code::POLICY, "too many messages"),
        Refusal::From => (close_code::POLICY, "another user than before"),
        Refusal::User => (close_code::POLICY, "the user has too many browsers"),
        Refusal::Unregistered => (close_code::POLICY, "a browser registers first"),
        Refusal::Freeswitch => (close_code::AGAIN, "FreeSWITCH does not answer"),
        _ => (close_code::POLICY, ""),
    }
}

/// Carries messages; returns why it ends.
async fn carry(relay: &Relay, profile: Profile, socket: &mut WebSocket) -> End {
    let first = timeout(FIRST_MESSAGE_TIMEOUT, receive(socket));
    let first = tokio::select! {
        () = relay.stop.cancelled() => return End::Replaced,
        first = first => match first {
            Ok(Ok(Some(sent))) => sent,
            Ok(Ok(None)) | Err(_) => return End::Refused(Refusal::Unregistered),
            Ok(Err(end)) => return end,
        },
    };
    let Some(address) = first.from.clone().filter(|_| first.method.as_deref() == Some("REGISTER")) else {
        return End::Refused(Refusal::Unregistered);
    };
    let user = User { profile: profile.name.clone(), address };
    let id = relay.sessions.id();
    let (outbox, mut messages) = mpsc::channel(OUTBOX);
    let session = match relay.session(&profile, &user, first.instance.clone(), Browser { id, outbox }).await {
        Ok(session) => session,
        Err(reason) => return End::Refused(reason),
    };
    let end = exchange(relay, &user.address, (id, &session), first, &mut messages, socket).await;
    let may_return = matches!(end, End::Lost);
    let _ = session.send(Event::Disconnected { id, may_return }).await; // it may have ended
    end
}

async fn exchange(
    relay: &Relay,
    user: &Address,
    (id, session): (u64, &mpsc::Sender<Event>),
    first: Sent,
    messages: &mut mpsc::Receiver<String>,
    socket: &mut WebSocket,
) -> End {
    let mut pings = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    let (mut missed, mut rate, mut next) = (0, Rate::new(), Some(first));
    loop {
        if let Some(sent) = next.take() {
            if !is_own(&sent, user) {
                return End::Refused(Refusal::From);
            }
            let register = sent.method.filter(|method| method == "REGISTER").map(|_| sent.branch);
            if session.send(Event::Sent { id, text: sent.text, register }).await.is_err() {
                return End::Replaced;
            }
        }
        tokio::select! {
            () = relay.stop.cancelled() => return End::Replaced,
            message = messages.recv() => {
                let Some(text) = message else { return End::Replaced };
                if !send(socket, Message::text(text)).await {
                    return End::Lost;
                }
            }
            received = receive(socket) => {
                if !rate.allows() {
                    return End::Refused(Refusal::Rate);
                }
                match received {
                    Ok(sent) => next = sent,
                    Err(end) => return end,
                }
                // Whatever it sends, it is there.
                missed = 0;
            }
            _ = pings.tick() => {
                if missed >= MAX_MISSED_PONGS {
                    relay.metrics.refuse(Refusal::Dead);
                    return End::Lost;
                }
                missed += 1;
                if !send(socket, Message::Ping(Default::default())).await {
                    return End::Lost;
                }
            }
        }
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(SEND_TIMEOUT, socket.send(message)).await, Ok(Ok(())))
}

/// The next message; `None` for a ping or its answer. Nothing is lost when this is cancelled.
async fn receive(socket: &mut WebSocket) -> Result<Option<Sent>, End> {
    match socket.recv().await {
        Some(Ok(Message::Text(text))) => read(text.as_str()).map(Some),
        Some(Ok(Message::Binary(_))) => Err(End::Refused(Refusal::Message)),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) => Err(End::Closed),
        None => Err(End::Lost),
        Some(Err(error)) => Err(match error.into_inner().downcast_ref::<tungstenite::Error>() {
            Some(tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => End::Lost,
            Some(
                tungstenite::Error::Capacity(_)
                | tungstenite::Error::Protocol(_)
                | tungstenite::Error::Utf8(_),
            ) => End::Refused(Refusal::Message),
            _ => End::Lost,
        }),
    }
}

fn read(text: &str) -> Result<Sent, End> {
    let head = Head::parse(text).map_err(|_| End::Refused(Refusal::Message))?;
    Ok(Sent {
        method: match head.start {
            Start::Request(method) => Some(method.to_owned()),
            Start::Response(_) => None,
        },
        in_dialogue: head.in_dialogue,
        branch: head.branch.to_owned(),
        instance: head.instance.map(str::to_owned),
        from: head.from,
        text: text.to_owned(),
    })
}

/// Whether a message is the user's. Within a dialogue that FreeSWITCH began, From is the contact of the browser.
fn is_own(sent: &Sent, user: &Address) -> bool {
    match sent.method.as_deref() {
        Some("REGISTER") => sent.from.as_ref() == Some(user),
        Some("INVITE") if !sent.in_dialogue => sent.from.as_ref() == Some(user),
        _ => true,
    }
}

impl Relay {
    /// The session of a user's instance that a browser comes back to, or a new one.
    async fn session(
        &self,
        profile: &Profile,
        user: &User,
        instance: Option<String>,
        mut browser: Browser,
    ) -> Result<mpsc::Sender<Event>, Refusal> {
        if let Some(session) = instance.as_deref().and_then(|name| self.sessions.of_instance(user, name)) {
            match session.send(Event::Connected(browser)).await {
                Ok(()) => return Ok(session),
                // It has just ended.
                Err(mpsc::error::SendError(Event::Connected(unsent))) => browser = unsent,
                Err(_) => return Err(Refusal::Freeswitch),
            }
        }
        if self.sessions.is_full(user) {
            return Err(Refusal::User);
        }
        let switch = connect(profile.port).await.map_err(|error| {
            tracing::warn!(profile = profile.name, %error, "FreeSWITCH's WebSocket does not answer");
            Refusal::Freeswitch
        })?;
        let (session, inbox) = mpsc::channel(OUTBOX);
        let entry = self.sessions.insert(user.clone(), instance, session.clone(), self.stop.child_token());
        self.tasks.spawn(Session::new(switch, entry, inbox, self.metrics.clone()).run());
        let _ = session.send(Event::Connected(browser)).await; // it has just begun
        Ok(session)
    }
}

/// Messages within a second.
struct Rate {
    since: Instant,
    count: u32,
}

impl Rate {
    fn new() -> Self {
        Self { since: Instant::now(), count: 0 }
    }

    /// Counts a message; false when there are too many.
    fn allows(&mut self) -> bool {
        if self.since.elapsed().as_secs() >= 1 {
            *self = Self::new();
        }
        self.count += 1;
        self.count <= MAX_MESSAGES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_has_fifty_messages() {
        let mut rate = Rate::new();
        assert!((0..MAX_MESSAGES_PER_SECOND).all(|_| rate.allows()));
        assert!(!rate.allows());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(rate.allows());
    }
}
