//! The events of FreeSWITCH that are used here.

use freeswitch_esl_tokio::{
    EslEvent, EslEventType, EventFormat, EventSubscription, SofiaEventSubclass as Sofia,
};
use jiff::{SignedDuration, Timestamp};

use crate::freeswitch::registrations::{Registration, SipUser, shortened, transport};

/// Seconds that FreeSWITCH keeps a registration beyond what it grants (sofia.c, `sip_expires_late_margin`).
const LATE_MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// Longest time of a registration that is believed.
const MAX_EXPIRES: i64 = 86_400;
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
    /// A phone has registered, or refreshed its registration.
    Registered {
        /// Name of the profile.
        profile: String,
        /// User.
        user: SipUser,
        /// What FreeSWITCH knows of the phone.
        registration: Box<Registration>,
    },
    /// A registration has ended.
    Unregistered {
        /// Name of the profile.
        profile: String,
        /// User.
        user: SipUser,
        /// Its Call-ID if it expired or was flushed; `None` if the phone ended it.
        call_id: Option<String>,
    },
    /// Number of events that were lost because they arrived faster than they were processed.
    Lost(u64),
}

impl Event {
    /// The events to subscribe to. Subclasses of `CUSTOM` must be named.
    pub(super) fn subscription() -> EventSubscription {
        let named = EventSubscription::new(EventFormat::Json).event(EslEventType::Heartbeat);
        named.sofia_events([
            Sofia::GatewayState,
            Sofia::ProfileStart,
            Sofia::Register,
            Sofia::Unregister,
            Sofia::Expire,
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
            "sofia::register" => Some(Self::Registered {
                profile: text("profile-name")?.to_owned(),
                user: sip_user(text("from-user")?, text("from-host")?),
                registration: Box::new(registration(event)?),
            }),
            "sofia::unregister" => Some(Self::Unregistered {
                profile: text("profile-name")?.to_owned(),
                user: sip_user(text("from-user")?, text("from-host")?),
                call_id: None,
            }),
            "sofia::expire" => Some(Self::Unregistered {
                profile: text("profile-name")?.to_owned(),
                user: sip_user(text("user")?, text("host")?),
                call_id: Some(text("call-id")?.to_owned()),
            }),
            _ => None,
        }
    }
}

fn sip_user(user: &str, host: &str) -> SipUser {
    SipUser { user: user.to_owned(), host: host.to_owned() }
}

/// The registration of a `sofia::register` event (sofia_reg.c, `sofia_reg_handle_register_token`).
fn registration(event: &EslEvent) -> Option<Registration> {
    let text = |name| event.header_str(name).unwrap_or_default();
    let granted = text("expires").parse().ok().filter(|seconds| (0..=MAX_EXPIRES).contains(seconds))?;
    let registered_at = Timestamp::now();
    Some(Registration {
        call_id: Registration::call_id(text("call-id")),
        address: text("network-ip").parse().ok(),
        port: text("network-port").parse().ok(),
        user_agent: shortened(text("user-agent")),
        transport: transport(text("status")),
        registered_at,
        expires_at: registered_at + SignedDuration::from_secs(granted) + LATE_MARGIN,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(subclass: &str, headers: &[(&str, &str)]) -> Option<Event> {
        let mut event = EslEvent::with_type(EslEventType::Custom);
        event.set_header("Event-Name", "CUSTOM");
        event.set_header("Event-Subclass", subclass);
        for (name, value) in headers {
            event.set_header(*name, *value);
        }
        Event::parse(&event)
    }

    const REGISTER: [(&str, &str); 9] = [
        ("profile-name", "internal"),
        ("from-user", "1001-3f00c1a2"),
        ("from-host", "acme.example.com"),
        ("call-id", "c1"),
        ("expires", "300"),
        ("network-ip", "192.0.2.7"),
        ("network-port", "5060"),
        ("status", "Registered(TLS)"),
        ("user-agent", "Yealink\u{7} SIP-T46U"),
    ];

    #[test]
    fn a_registration_is_read_with_what_the_phone_says_of_itself() {
        let Some(Event::Registered { profile, user, registration }) = event("sofia::register", &REGISTER)
        else {
            panic!("not read")
        };
        assert_eq!((profile.as_str(), user.user.as_str()), ("internal", "1001-3f00c1a2"));
        assert_eq!(registration.user_agent, "Yealink SIP-T46U");
        assert_eq!((registration.transport.as_str(), registration.port), ("tls", Some(5060)));
        let kept = registration.expires_at.duration_since(registration.registered_at);
        assert_eq!(kept, SignedDuration::from_secs(360));
    }

    #[test]
    fn a_registration_with_absurd_values_is_left_out() {
        for (name, value) in
            [("expires", "99999999999"), ("expires", "-1"), ("expires", "x"), ("from-user", &"1".repeat(300))]
        {
            let headers = REGISTER.map(|(held, before)| (held, if held == name { value } else { before }));
            assert_eq!(event("sofia::register", &headers), None, "{name}={value}");
        }
    }

    #[test]
    fn an_end_names_the_registration() {
        let host = "acme.example.com";
        let user = SipUser { user: "1001".to_owned(), host: host.to_owned() };
        let headers = [("profile-name", "internal"), ("from-user", "1001"), ("from-host", host)];
        let expected =
            Event::Unregistered { profile: "internal".to_owned(), user: user.clone(), call_id: None };
        assert_eq!(event("sofia::unregister", &headers), Some(expected));
        let headers = [("profile-name", "internal"), ("user", "1001"), ("host", host), ("call-id", "c1")];
        let call_id = Some("c1".to_owned());
        let expected = Event::Unregistered { profile: "internal".to_owned(), user, call_id };
        assert_eq!(event("sofia::expire", &headers), Some(expected));
    }
}
