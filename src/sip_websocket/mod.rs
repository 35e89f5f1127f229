//! The relay between browsers and FreeSWITCH's SIP over WebSocket (RFC 7118).
//!
//! FreeSWITCH's own WebSocket must never face a network: it listens on 127.0.0.1, and its parser of frames trusts the
//! sender. The relay reads whole messages, checks them, and sends new frames. Before a REGISTER of a browser was
//! accepted, nothing but REGISTER requests reaches FreeSWITCH.
//!
//! A call outlives its browser's socket, but FreeSWITCH sends to the socket on which the call began. So the relay holds
//! its own socket to FreeSWITCH for [`RETURN_TIMEOUT`], and a browser that returns continues on it. What proves that it
//! is the same one is a REGISTER with the same user and the same instance (RFC 5626 §4.1) that FreeSWITCH accepts,
//! with its digest: no secret of the relay is in a URL, in a log or in the page. Until then a returning browser sends
//! only REGISTER, and gets only the answers to it.

mod browser;
mod handshake;
mod message;
mod metrics;
mod session;
mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::connection_limit::ConnectionLimit;
use crate::http::listener::{ListenError, Listener};
use crate::replica::tenants::Replica;
pub use handshake::Origin;
pub use metrics::Metrics;
use sessions::Sessions;

/// Longest message of a browser, in bytes. A JsSIP INVITE has 3 kB.
const MAX_MESSAGE: usize = 32 << 10;
/// Longest message of FreeSWITCH, in bytes.
const MAX_SWITCH_MESSAGE: usize = 1 << 20;
/// Most messages of a browser within a second.
const MAX_MESSAGES_PER_SECOND: u32 = 50;
/// Most registered browsers of a user at one time.
const MAX_PER_USER: usize = 2;
/// Most sockets of one address at one time, and of all.
const MAX_PER_ADDRESS: usize = 20;
const MAX_SOCKETS: usize = 4096;
/// How long a handshake may take, the browser's and that with FreeSWITCH.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first message may take.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take until a REGISTER is accepted.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two pings; the socket is closed when two were not answered.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const MAX_MISSED_PONGS: u32 = 2;
/// How long a browser may take one message.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the socket to FreeSWITCH is held for a browser that is gone, and how many messages for it.
const RETURN_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_WAITING: usize = 64;

/// Who may connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// Origins of the pages that may connect.
    pub origins: Vec<Origin>,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// The relay.
pub struct Relay {
    replica: Arc<Replica>,
    options: Options,
    metrics: Metrics,
    /// Sockets of each address.
    addresses: ConnectionLimit,
    sessions: Sessions,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Relay {
    /// Binds the address of `--sip-websocket-listen`.
    ///
    /// # Errors
    /// The address is taken, or not one of this host.
    pub async fn bind(address: SocketAddr) -> Result<Listener, ListenError> {
        // Behind a proxy all connections have one address.
        let limit = ConnectionLimit::new(MAX_SOCKETS, MAX_SOCKETS);
        let listener = Listener::bind_public("--sip-websocket-listen", address, limit).await?;
        Ok(listener.with_head_timeout(HANDSHAKE_TIMEOUT))
    }

    /// Serves browsers until stopped; FreeSWITCH's ports are those of the profiles in the replica.
    pub async fn serve(
        listener: Listener,
        replica: Arc<Replica>,
        options: Options,
        metrics: Metrics,
        stop: CancellationToken,
    ) {
        let relay = Arc::new(Self {
            replica,
            options,
            metrics,
            addresses: ConnectionLimit::new(MAX_SOCKETS, MAX_PER_ADDRESS),
            sessions: Sessions::default(),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
        });
        let router = Router::new()
            .route("/sip", get(handshake::only_profile))
            .route("/sip/{profile}", get(handshake::named_profile))
            .with_state(relay.clone());
        listener.serve_with_upgrades(router, stop).await;
        relay.tasks.close();
        relay.tasks.wait().await;
    }
}
