//! What FreeSWITCH tells without being asked, as far as it is of use here.

use freeswitch_esl_tokio::{EslEvent, EslEventType, EventFormat, EventSubscription};

/// Longest text of an event that is kept: none of ours is longer.
const LONGEST: usize = 256;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A sign of life, with the number of legs that are up.
    Heartbeat {
        /// Legs.
        sessions: u32,
    },
    /// The state of a gateway, which may be the one it had.
    GatewayState {
        /// Its name.
        gateway: String,
        /// FreeSWITCH's word, such as `REGED` (sofia_reg.c, `sofia_state_names`).
        state: String,
        /// Whether it answers pings, where it is pinged: `UP` or `DOWN`.
        up: bool,
    },
    /// A profile runs.
    ProfileStarted {
        /// Its name.
        profile: String,
    },
    /// So many events were lost, because they came faster than they were taken.
    Lost(u64),
}

impl Event {
    /// Everything that is listened to. `CUSTOM` subclasses have to be named.
    pub(super) fn subscription() -> EventSubscription {
        let named = EventSubscription::new(EventFormat::Json).event(EslEventType::Heartbeat);
        named.sofia_events([
            freeswitch_esl_tokio::SofiaEventSubclass::GatewayState,
            freeswitch_esl_tokio::SofiaEventSubclass::ProfileStart,
        ])
    }

    /// The event, if it is one of ours and says what it must.
    pub(super) fn read(event: &EslEvent) -> Option<Self> {
        let text = |name| event.header_str(name).filter(|text| text.len() <= LONGEST);
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
