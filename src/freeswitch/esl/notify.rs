//! A NOTIFY request outside of any subscription, to one registered phone.

use std::fmt::{Display, Formatter, Result};

use freeswitch_esl_tokio::{EslEvent, EslEventType};

use crate::route::legal::Word;

/// Content type of the request, which has no body. FreeSWITCH sends nothing without one.
const CONTENT_TYPE: &str = "application/simple-message-summary";

/// A NOTIFY to one registration, `sendevent NOTIFY` of the event socket. FreeSWITCH ignores it silently unless profile,
/// content type, event, user and host are there; without a Call-ID it would send it to every registration of the user
/// (mod_sofia.c, `general_event_handler`). So all six are mandatory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The profile that the phone is registered at.
    pub profile: Word,
    /// Its SIP user.
    pub user: Word,
    /// Its domain, as it spells it.
    pub host: Word,
    /// Call-ID of its registration.
    pub call_id: CallId,
    /// Value of the header Event. It is written as it is, so that only text of this program may be here.
    pub event: &'static str,
}

/// A phone's Call-ID that can be named on the event socket: printable ASCII without spaces (RFC 3261 allows no more).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallId(String);

impl CallId {
    /// The text, if it has only such characters.
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }
}

impl Notify {
    /// The event that makes mod_sofia send the request.
    pub(super) fn event(&self) -> EslEvent {
        let mut event = EslEvent::with_type(EslEventType::Notify);
        let headers = [
            ("profile", self.profile.as_str()),
            ("content-type", CONTENT_TYPE),
            ("event-string", self.event),
            ("user", self.user.as_str()),
            ("host", self.host.as_str()),
            ("call-id", self.call_id.0.as_str()),
        ];
        for (name, value) in headers {
            event.set_header(name, value);
        }
        event
    }
}

impl Display for Notify {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { profile, user, host, event, .. } = self;
        write!(f, "sendevent NOTIFY {event} to {user}@{host} at {profile}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_that_would_end_its_line_is_none() {
        for hostile in ["", "a b", "a\nb", "a\r\nevent-string: x", "a\0", "ä"] {
            assert_eq!(CallId::new(hostile), None, "{hostile:?}");
        }
        assert!(CallId::new("3c26700857a8-qd1ur2kcgd6p@snom'%;").is_some());
    }

    #[test]
    fn the_event_names_one_registration() {
        let word = |text| Word::new(text).unwrap();
        let notify = Notify {
            profile: word("internal"),
            user: word("1001-3f00c1a2"),
            host: word("acme.example.com"),
            call_id: CallId::new("c1@192.0.2.7").unwrap(),
            event: "check-sync",
        };
        let event = notify.event();
        for (name, value) in [
            ("profile", "internal"),
            ("content-type", CONTENT_TYPE),
            ("event-string", "check-sync"),
            ("user", "1001-3f00c1a2"),
            ("host", "acme.example.com"),
            ("call-id", "c1@192.0.2.7"),
        ] {
            assert_eq!(event.header_str(name), Some(value), "{name}");
        }
    }
}
