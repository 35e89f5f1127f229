//! One socket to FreeSWITCH, and the browser that uses it: at first, after it came back, or none for a while.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::message::{Head, Start};
use super::metrics::{Metrics, Open, Refusal};
use super::sessions::Registered;
use super::{HANDSHAKE_TIMEOUT, MAX_SWITCH_MESSAGE, MAX_WAITING, REGISTER_TIMEOUT, RETURN_TIMEOUT};

/// Most REGISTER requests of a browser before one is accepted.
const MAX_REGISTERS: usize = 10;

/// What a browser does at a session.
pub(super) enum Event {
    /// It connects.
    Connected(Browser),
    /// It sends a message.
    Sent {
        /// Number of the browser.
        id: u64,
        /// The message.
        text: String,
        /// Branch of a REGISTER request.
        register: Option<String>,
    },
    /// It is gone.
    Disconnected {
        /// Number of the browser.
        id: u64,
        /// Whether it may return: its socket ended without a word.
        may_return: bool,
    },
}

/// A browser's socket.
pub(super) struct Browser {
    /// Its number.
    pub id: u64,
    /// Where messages for it go. When the session drops this, the socket is closed.
    pub outbox: mpsc::Sender<String>,
}

/// A browser whose REGISTER was not accepted yet.
struct Candidate {
    browser: Browser,
    /// Branches of its REGISTER requests.
    registers: Vec<String>,
    /// What it sent besides, until then.
    waiting: Vec<String>,
    deadline: Instant,
}

/// One socket to FreeSWITCH.
pub(super) struct Session {
    switch: WebSocketStream<TcpStream>,
    entry: Registered,
    inbox: mpsc::Receiver<Event>,
    metrics: Metrics,
    /// The browser that is registered.
    browser: Option<Browser>,
    candidate: Option<Candidate>,
    /// What FreeSWITCH sent while there was no browser.
    waiting: VecDeque<String>,
    /// Until when the browser may return; `None` before it has registered.
    return_deadline: Option<Instant>,
}

/// Whether a session goes on.
type GoesOn = bool;

/// Opens a WebSocket to FreeSWITCH.
///
/// # Errors
/// It does not listen, or does not answer in time.
pub(super) async fn connect(port: u16) -> Result<WebSocketStream<TcpStream>, Error> {
    let handshake = async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://127.0.0.1:{port}/").into_client_request()?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("sip"));
        let size = Some(MAX_SWITCH_MESSAGE);
        let config = WebSocketConfig::default().max_message_size(size).max_frame_size(size);
        Ok(tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?.0)
    };
    let timed_out = |_| Err(Error::Io(std::io::ErrorKind::TimedOut.into()));
    timeout(HANDSHAKE_TIMEOUT, handshake).await.unwrap_or_else(timed_out)
}

impl Session {
    /// A session without a browser.
    pub fn new(
        switch: WebSocketStream<TcpStream>,
        entry: Registered,
        inbox: mpsc::Receiver<Event>,
        metrics: Metrics,
    ) -> Self {
        let (browser, candidate, return_deadline) = (None, None, None);
        let waiting = VecDeque::new();
        Self { switch, entry, inbox, metrics, browser, candidate, waiting, return_deadline }
    }

    /// Carries messages until the browser is gone for good, FreeSWITCH ends the socket, or it is stopped.
    pub async fn run(mut self) {
        let _open = Open::count(&self.metrics.sessions);
        let stop = self.entry.stop.clone();
        loop {
            let deadline =
                self.candidate.as_ref().map(|candidate| candidate.deadline).or(self.return_deadline);
            let expiry = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let goes_on = tokio::select! {
                () = stop.cancelled() => false,
                event = self.inbox.recv() => match event {
                    Some(event) => self.on_event(event).await,
                    None => false,
                },
                message = self.switch.next() => match message {
                    Some(Ok(Message::Text(text))) => self.on_message(text.as_str().to_owned()).await,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => true,
                    _ => {
                        self.metrics.refuse(Refusal::Freeswitch);
                        false
                    }
                },
                () = expiry => self.on_expiry(),
            };
            if !goes_on {
                break;
            }
        }
        // The user may have another browser at once.
        drop((self.entry, self.browser, self.candidate));
        // FreeSWITCH ends the registration with the socket.
        let _ = timeout(HANDSHAKE_TIMEOUT, self.switch.close(None)).await;
    }

    async fn on_event(&mut self, event: Event) -> GoesOn {
        match event {
            Event::Connected(browser) => {
                // One at a time: a second one's socket is closed.
                if self.candidate.is_none() {
                    let deadline = Instant::now() + REGISTER_TIMEOUT;
                    let (registers, waiting) = (Vec::new(), Vec::new());
                    self.candidate = Some(Candidate { browser, registers, waiting, deadline });
                }
                true
            }
            Event::Sent { id, text, register } => {
                if self.browser.as_ref().is_some_and(|browser| browser.id == id) {
                    return self.send(text).await;
                }
                let Some(candidate) = self.candidate.as_mut().filter(|candidate| candidate.browser.id == id)
                else {
                    return true;
                };
                match register {
                    Some(branch) if candidate.registers.len() < MAX_REGISTERS => {
                        candidate.registers.push(branch);
                        self.send(text).await
                    }
                    None if candidate.waiting.len() < MAX_WAITING => {
                        candidate.waiting.push(text);
                        true
                    }
                    _ => self.refuse_candidate(Refusal::Unregistered),
                }
            }
            Event::Disconnected { id, may_return } => {
                if self.candidate.take_if(|candidate| candidate.browser.id == id).is_some() {
                    return self.may_go_on();
                }
                if self.browser.take_if(|browser| browser.id == id).is_some() {
                    self.wait_for_return();
                    return may_return || self.candidate.is_some();
                }
                true
            }
        }
    }

    async fn on_message(&mut self, text: String) -> GoesOn {
        if let Some(candidate) = &self.candidate
            && let Ok(head) = Head::parse(&text)
            && let Start::Response(status) = head.start
            && head.cseq_method == "REGISTER"
            && candidate.registers.iter().any(|branch| *branch == head.branch)
        {
            // FreeSWITCH copies From and To as it has read them: its reading counts, not ours.
            let user = &self.entry.user().address;
            let accepted = (200..300).contains(&status)
                && [head.from, head.to] == [Some(user.clone()), Some(user.clone())];
            let _ = candidate.browser.outbox.try_send(text); // full or closed: it disconnects
            return !accepted || self.register().await;
        }
        match &self.browser {
            Some(browser) => match browser.outbox.try_send(text) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(text) | mpsc::error::TrySendError::Closed(text)) => {
                    self.browser = None;
                    self.wait_for_return();
                    self.hold(text)
                }
            },
            None => self.hold(text),
        }
    }

    /// Ends what is over its time.
    fn on_expiry(&mut self) -> GoesOn {
        let now = Instant::now();
        if self.candidate.as_ref().is_some_and(|candidate| candidate.deadline <= now) {
            return self.refuse_candidate(Refusal::Unregistered);
        }
        self.may_go_on()
    }

    /// The candidate's REGISTER was accepted: from now on it is the browser.
    async fn register(&mut self) -> GoesOn {
        let is_return = self.browser.is_some() || self.return_deadline.is_some();
        if !self.entry.register() {
            return self.refuse_candidate(Refusal::User);
        }
        let Some(candidate) = self.candidate.take() else { return true };
        for text in self.waiting.drain(..) {
            let _ = candidate.browser.outbox.try_send(text); // its outbox is longer than what waits
        }
        self.browser = Some(candidate.browser);
        self.return_deadline = None;
        if is_return {
            self.metrics.returned.inc();
        }
        for text in candidate.waiting {
            if !self.send(text).await {
                return false;
            }
        }
        true
    }

    fn refuse_candidate(&mut self, reason: Refusal) -> GoesOn {
        self.metrics.refuse(reason);
        self.candidate = None;
        self.may_go_on()
    }

    /// Whether there is a browser, or one that may return.
    fn may_go_on(&self) -> GoesOn {
        self.browser.is_some() || self.return_deadline.is_some_and(|deadline| deadline > Instant::now())
    }

    fn wait_for_return(&mut self) {
        self.return_deadline = Some(Instant::now() + RETURN_TIMEOUT);
        self.entry.wait();
    }

    fn hold(&mut self, text: String) -> GoesOn {
        self.waiting.push_back(text);
        self.waiting.len() <= MAX_WAITING
    }

    async fn send(&mut self, text: String) -> GoesOn {
        let sent = timeout(HANDSHAKE_TIMEOUT, self.switch.send(Message::text(text))).await;
        matches!(sent, Ok(Ok(())))
    }
}
