//! Options of the relay for browsers.

use std::net::SocketAddr;

use clap::Args;
use ipnet::IpNet;

use crate::sip_websocket::{Options, Origin};

/// Options of the relay for browsers, the same in every mode.
#[derive(Args, Clone, Debug)]
pub struct SipWebsocketArgs {
    /// Address where browsers speak SIP over WebSocket, at /sip and /sip/PROFILE, for SipProfiles with wsPort; behind
    /// a proxy that ends TLS. Not used when left out
    #[arg(
        long,
        env = "CENTREX_SIP_WEBSOCKET_LISTEN",
        value_name = "ADDR",
        requires = "sip_websocket_origin"
    )]
    pub sip_websocket_listen: Option<SocketAddr>,

    /// Origin of the pages that may connect there, such as https://portal.example.com; may be given several times
    #[arg(long, env = "CENTREX_SIP_WEBSOCKET_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub sip_websocket_origin: Vec<Origin>,

    /// Network of proxies whose X-Forwarded-For is believed; may be given several times
    #[arg(long, env = "CENTREX_SIP_WEBSOCKET_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',')]
    pub sip_websocket_trusted_proxy: Vec<IpNet>,
}

impl SipWebsocketArgs {
    /// The address to listen at, and who may connect; `None` without an address.
    pub(super) fn options(&self) -> Option<(SocketAddr, Options)> {
        let options = Options {
            origins: self.sip_websocket_origin.clone(),
            trusted_proxies: self.sip_websocket_trusted_proxy.clone(),
        };
        self.sip_websocket_listen.map(|listen| (listen, options))
    }
}
