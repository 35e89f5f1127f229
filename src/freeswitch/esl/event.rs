//! The events of FreeSWITCH that are used here.

use freeswitch_esl_tokio::{EslEvent, EslEventType, EventFormat, EventSubscription};

/// Longest header that is accepted; those that are used are shorter.
const MAX_HEADER_BYTES: usize = 256;

/// An event of a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A periodic sign of life.
    Heartbeat {
        /// Number of legs that are up.
        sessions: u32,
    },
    /// The state of a gateway, not necessarily a new one.
    GatewayState {
        /// Name of the gateway.
        gateway: String,
        /// FreeSWITCH's word, such as `REGED` (sofia_reg.c, `sofia_state_names`).
        state: String,
        /// Whether it answers pings; true if it is not pinged.
        up: bool,
    },
    /// A profile has started.
    ProfileStarted {
        /// Name of the profile.
        profile: String,
    },
    /// Number of events that were lost because they arrived faster than they were processed.
    Lost(u64),
}

impl Event {
    /// The events to subscribe to. Subclasses of `CUSTOM` must be named.
    pub(super) fn subscription() -> EventSubscription {
        let named = EventSubscription::new(EventFormat::Json).event(EslEventType::Heartbeat);
        named.sofia_events([
            freeswitch_esl_tokio::SofiaEventSubclass::GatewayState,
            freeswitch_esl_tokio::SofiaEventSubclass::ProfileStart,
        ])
    }

    /// Parses an event; `None` if the event is unused or lacks a header.
    pub(super) fn parse(event: &EslEvent) -> Option<Self> {
        let text = |name| event.header_str(name).filter(|text| text.len() <= MAX_HEADER_BYTES);
        if text("Event-Name")? == "HEARTBEAT" {
            return Some(Self::Heartbeat { sessions: text("Session-Count")?.parse().ok()? });
        }
        match text("Event-Subclass")? {
            "sofia::gateway_state" => Some(Self::GatewayState {
                gateway: text("Gateway")?.to_owned(),
                state: text("State")?.to_owned(),
                up: text("Ping-Status")? != "DOWN",
            }),
            "sofia::profile_start" => {
                Some(Self::ProfileStarted { profile: text("profile_name")?.to_owned() })
            }
            _ => None,
        }
    }
}
