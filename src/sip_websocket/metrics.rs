//! Metrics of the relay. Labels are few and fixed.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why a browser was refused, or its socket closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `Origin` is not one of the list.
    Origin,
    /// No upgrade to a WebSocket, or its subprotocol is not `sip`.
    Handshake,
    /// No profile of that name has a WebSocket, or the path does not say which.
    Profile,
    /// Too many sockets of one address.
    Address,
    /// Too many sockets of one user.
    User,
    /// Not text, or not one SIP message of the usual form, or longer than the limit.
    Message,
    /// More messages a second than allowed.
    Rate,
    /// Another user in From than before.
    From,
    /// Nothing came, or no REGISTER was accepted in time.
    Unregistered,
    /// Pings were not answered, or the socket takes nothing.
    Dead,
    /// FreeSWITCH did not take the connection, or ended it.
    Freeswitch,
}

impl Refusal {
    fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Handshake => "handshake",
            Self::Profile => "profile",
            Self::Address => "address",
            Self::User => "user",
            Self::Message => "message",
            Self::Rate => "rate",
            Self::From => "from",
            Self::Unregistered => "unregistered",
            Self::Dead => "dead",
            Self::Freeswitch => "freeswitch",
        }
    }
}

/// The counts of the relay. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Sockets of browsers that are open.
    pub(super) browsers: Gauge<i64, AtomicI64>,
    /// Sockets to FreeSWITCH that are open; also of browsers that may come back.
    pub(super) sessions: Gauge<i64, AtomicI64>,
    /// Browsers that came back to their socket.
    pub(super) returned: Counter,
    refused: Family<Vec<(&'static str, &'static str)>, Counter>,
}

impl Metrics {
    /// Adds them to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let (browsers, sessions) = (self.browsers.clone(), self.sessions.clone());
        registry.register("sip_websocket_browsers", "WebSockets of browsers that are open", browsers);
        registry.register(
            "sip_websocket_sessions",
            "WebSockets to FreeSWITCH that are open, those of browsers that may come back included",
            sessions,
        );
        registry.register(
            "sip_websocket_returned",
            "Browsers that came back to their WebSocket to FreeSWITCH",
            self.returned.clone(),
        );
        registry.register(
            "sip_websocket_refused",
            "WebSockets of browsers that were refused or closed, by reason",
            self.refused.clone(),
        );
    }

    /// Counts a refusal.
    pub(super) fn refuse(&self, reason: Refusal) {
        self.refused.get_or_create(&vec![("reason", reason.name())]).inc();
    }
}

/// Counts something that is open until this is dropped.
pub(super) struct Open(Gauge<i64, AtomicI64>);

impl Open {
    /// Counts one more.
    pub(super) fn count(gauge: &Gauge<i64, AtomicI64>) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
