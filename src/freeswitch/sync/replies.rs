//! Parsers of FreeSWITCH's replies: XML of mod_sofia, tables of mod_callcenter, JSON of mod_commands.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use quick_xml::escape::unescape;
use quick_xml::events::Event;
use serde::Deserialize;

use crate::freeswitch::registrations::{Registration, SipUser, shortened, transport};

/// Longest time of a registration that is believed, in seconds.
const MAX_EXPIRES: i64 = 86_400;

/// Values by name.
pub type Record = BTreeMap<String, String>;

/// The children's texts of each element with a name. Entities are left out: no value that is used has
/// one.
pub fn elements(text: &str, name: &str) -> Result<Vec<Record>, String> {
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_end_names = false;
    let (mut found, mut record, mut field) = (Vec::new(), None::<Record>, String::new());
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Eof => return Ok(found),
            Event::Start(element) => {
                let element = element.name().as_ref().to_owned();
                if record.is_none() && element == name {
                    record = Some(Record::new());
                }
                field = element;
            }
            Event::Text(part) => {
                if let Some(record) = record.as_mut() {
                    record.entry(field.clone()).or_default().push_str(part.trim());
                }
            }
            Event::End(element) => {
                field = String::new();
                if element.name().as_ref() == name {
                    found.extend(record.take());
                }
            }
            _ => {}
        }
    }
}

/// mod_sofia's list of a profile's registrations. The list is parsed by lines, because it is not XML if a phone's Call-ID
/// contains markup: mod_sofia writes Call-IDs unescaped (mod_sofia.c, show_reg_callback_xml). A Call-ID cannot contain a
/// line end, so it cannot forge a line.
pub fn registrations(text: &str, now: Timestamp) -> Vec<(SipUser, Registration)> {
    let mut found: Vec<(SipUser, Registration)> = Vec::new();
    let mut call_id = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some(text) = value(line, "call-id") {
            call_id = Registration::call_id(text);
        } else if let Some((user, host)) = value(line, "user").and_then(|of| of.split_once('@')) {
            let user = SipUser { user: user.to_owned(), host: host.to_owned() };
            let registration = Registration {
                call_id: call_id.take(),
                address: None,
                port: None,
                user_agent: String::new(),
                transport: String::new(),
                registered_at: now,
                expires_at: now,
            };
            found.push((user, registration));
        } else if let Some((_, registration)) = found.last_mut() {
            if let Some(agent) = value(line, "agent") {
                registration.user_agent = shortened(&unescape(agent).unwrap_or(Cow::Borrowed(agent)));
            } else if let Some(status) = value(line, "status") {
                let left = status.rsplit_once("expsecs(").and_then(|(_, rest)| rest.split_once(')'));
                let left: Option<i64> = left.and_then(|(seconds, _)| seconds.parse().ok());
                let left = left.filter(|seconds| (0..=MAX_EXPIRES).contains(seconds)).unwrap_or(0);
                registration.expires_at = now + SignedDuration::from_secs(left);
                registration.transport = transport(status);
            } else if let Some(address) = value(line, "network-ip") {
                registration.address = address.parse().ok();
            } else if let Some(port) = value(line, "network-port") {
                registration.port = port.parse().ok();
            }
        }
    }
    found
}

/// The text of an element that has a line of its own.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix('<')?.strip_prefix(name)?.strip_prefix('>')?;
    rest.strip_suffix('>')?.strip_suffix(name)?.strip_suffix("</")
}

/// The rows of a table with `|` between its columns; the first line names the columns (contract §5.5).
pub fn table(text: &str) -> Vec<Record> {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("+OK"));
    let Some(head) = lines.next() else { return Vec::new() };
    let head: Vec<&str> = head.split('|').collect();
    let row = |line: &str| {
        head.iter().zip(line.split('|')).map(|(name, value)| ((*name).to_owned(), not_null(value))).collect()
    };
    lines.map(row).collect()
}

/// A value, with an empty one for what C prints for a null string.
fn not_null(value: &str) -> String {
    if value == "(null)" { String::new() } else { value.to_owned() }
}

/// The rows of `show … as json`, which has no `rows` if there are none (contract §5.4).
pub fn rows<T: for<'a> Deserialize<'a>>(text: &str) -> Result<Vec<T>, String> {
    #[derive(Deserialize)]
    struct Shown<T> {
        #[serde(default = "Vec::new")]
        rows: Vec<T>,
    }
    let shown: Shown<T> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(shown.rows)
}

/// The number of `show … count`: `\n3 total.\n`.
pub fn count(text: &str) -> Result<u32, String> {
    let number = text.split_whitespace().next().unwrap_or_default();
    number.parse().map_err(|_| format!("no number in {:?}", text.chars().take(40).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_with_their_text() {
        let text = "<?xml version=\"1.0\"?>\n<gateways>\n <gateway>\n <name>gw-1</name>\n <contact>&lt;sip:x;transport=tls&gt;</contact>\n</gateway>\n (retry: 3s)\n<gateway><name>gw-2</name></gateway></gateways>";
        let found = elements(text, "gateway").unwrap();
        assert_eq!(found.iter().map(|row| row["name"].as_str()).collect::<Vec<_>>(), ["gw-1", "gw-2"]);
        assert!(found[0]["contact"].contains("transport=tls"));
        assert_eq!(elements("Invalid Profile!\n", "profile-info").unwrap(), Vec::<Record>::new());
    }

    // A phone chooses its Call-ID, which mod_sofia does not escape.
    #[test]
    fn a_call_id_hides_no_registration_and_forges_none() {
        let row = |id: &str, user: &str| {
            format!(
                "    <registration>\n        <call-id>{id}</call-id>\n        <user>{user}</user>\n    </registration>\n"
            )
        };
        let text = format!(
            "<?xml version=\"1.0\"?>\n<profile>\n  <registrations>\n{}{}{}  </registrations>\n</profile>\n",
            row("abc<!--x@192.0.2.1", "1001@a.test"),
            row("a</call-id><user>4242@b.test</user>x@h", "1002@a.test"),
            row("plain", "1003@a.test"),
        );
        let found = registrations(&text, Timestamp::UNIX_EPOCH);
        let users: Vec<_> = found.iter().map(|(user, _)| (user.user.as_str(), user.host.as_str())).collect();
        assert_eq!(users, ["1001", "1002", "1003"].map(|user| (user, "a.test")));
        assert_eq!(found[1].1.call_id.as_deref(), Some("a</call-id><user>4242@b.test</user>x@h"));
    }

    #[test]
    fn a_registration_is_read_with_address_and_time_left() {
        let text = "  <registration>
        <call-id>c1@192.0.2.7</call-id>
        <user>1001-3f00c1a2@a.test</user>
        <contact>&quot;&quot; &lt;sip:1001@192.0.2.7:5060&gt;</contact>
        <agent>Phone &lt;b&gt; &amp; more</agent>
        <status>Registered(TCP-NAT)(unknown) exp(2026-11-30 12:00:00) expsecs(331)</status>
        <network-ip>192.0.2.7</network-ip>
        <network-port>49152</network-port>
  </registration>";
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let found = registrations(text, now);
        let registration = Registration {
            call_id: Some("c1@192.0.2.7".to_owned()),
            address: "192.0.2.7".parse().ok(),
            port: Some(49152),
            user_agent: "Phone <b> & more".to_owned(),
            transport: "tcp".to_owned(),
            registered_at: now,
            expires_at: now + SignedDuration::from_secs(331),
        };
        let user = SipUser { user: "1001-3f00c1a2".to_owned(), host: "a.test".to_owned() };
        assert_eq!(found, [(user, registration)]);
    }

    #[test]
    fn tables_are_read_by_the_names_of_their_columns() {
        let rows = table("name|moh_sound|max_wait_time\nq@t|(null)|600\n+OK\n");
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0]["name"].as_str(), rows[0]["moh_sound"].as_str()), ("q@t", ""));
        assert_eq!(table("+OK\n"), Vec::<Record>::new());
    }

    proptest::proptest! {
        #[test]
        fn any_reply_is_parsed_or_refused(text in "(?s)[<>/=&;|{}\\[\\]\"a-z0-9 \n]{0,200}|.{0,100}") {
            let _ = (elements(&text, "a"), rows::<Record>(&text), count(&text));
            let _ = registrations(&text, Timestamp::UNIX_EPOCH);
            proptest::prop_assert!(table(&text).len() <= text.lines().count());
        }
    }

    #[test]
    fn zero_counts_and_missing_rows_are_parsed() {
        assert_eq!(count("\n12 total.\n"), Ok(12));
        assert!(count("").is_err());
        assert_eq!(rows::<Record>(r#"{"row_count": 0}"#).unwrap(), Vec::<Record>::new());
        assert!(rows::<Record>("-ERR").is_err());
    }
}
