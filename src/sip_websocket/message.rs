//! SIP messages as the relay reads them: as little as it needs, and nothing that FreeSWITCH might read otherwise. A
//! message of unusual form (folded lines, a header twice that comes once, a wrong length) is refused, not repaired.

use std::borrow::Cow;

/// Methods of requests (RFC 3261, 3262, 3265, 3311, 3428, 3515, 3903, 6086).
const METHODS: [&str; 14] = [
    "ACK",
    "BYE",
    "CANCEL",
    "INFO",
    "INVITE",
    "MESSAGE",
    "NOTIFY",
    "OPTIONS",
    "PRACK",
    "PUBLISH",
    "REFER",
    "REGISTER",
    "SUBSCRIBE",
    "UPDATE",
];

/// Most header lines of a message.
const MAX_HEADERS: usize = 128;

/// Headers with a short name (RFC 3261 §7.3.3), of those that are read here.
const SHORT_NAMES: [(&str, &str); 6] =
    [("f", "from"), ("t", "to"), ("i", "call-id"), ("v", "via"), ("m", "contact"), ("l", "content-length")];

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no SIP message: {0}")]
pub struct MessageError(&'static str);

/// A user at a domain, the domain in small letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// User.
    pub user: String,
    /// Domain, without port.
    pub domain: String,
}

/// The start line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// Method of a request.
    Request(&'a str),
    /// Status of a response.
    Response(u16),
}

/// What the relay reads of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Start line.
    pub start: Start<'a>,
    /// Address in From, if it is that of a user in its plain spelling.
    pub from: Option<Address>,
    /// The same of To.
    pub to: Option<Address>,
    /// Whether it is within a dialogue (RFC 3261 §12.2): To has a tag.
    pub in_dialogue: bool,
    /// Method in CSeq.
    pub cseq_method: &'a str,
    /// Branch of the topmost Via, which pairs a response with its request.
    pub branch: &'a str,
    /// Instance of the user agent in Contact (RFC 5626 §4.1).
    pub instance: Option<&'a str>,
    /// Whether it has credentials.
    pub authorization: bool,
}

impl<'a> Head<'a> {
    /// Reads a message, which must be complete.
    ///
    /// # Errors
    /// The text is not one SIP message of the usual form.
    pub fn parse(text: &'a str) -> Result<Self, MessageError> {
        let (head, body) = text.split_once("\r\n\r\n").ok_or(MessageError("its head has no end"))?;
        let mut lines = head.split("\r\n");
        let start = start(lines.next().unwrap_or_default())?;
        let mut headers = Vec::new();
        for line in lines {
            if headers.len() == MAX_HEADERS {
                return Err(MessageError("it has too many headers"));
            }
            headers.push(header(line)?);
        }
        let all = |name: &'static str| {
            headers.iter().filter(move |(found, _)| found == name).map(|(_, value)| *value)
        };
        let one = |name: &'static str| {
            let mut values = all(name);
            let value = values.next().ok_or(MessageError("a header is missing"))?;
            values.next().is_none().then_some(value).ok_or(MessageError("a header is there twice"))
        };
        one("call-id")?;
        let length = match all("content-length").count() {
            0 => 0,
            _ => one("content-length")?.parse().map_err(|_| MessageError("its length is no number"))?,
        };
        if length != body.len() {
            return Err(MessageError("its length is not that of its body"));
        }
        let cseq = one("cseq")?.split_ascii_whitespace().collect::<Vec<_>>();
        let [_, cseq_method] = cseq[..] else { return Err(MessageError("CSeq is malformed")) };
        if matches!(start, Start::Request(method) if method != cseq_method) {
            return Err(MessageError("CSeq has another method"));
        }
        let via = all("via").next().ok_or(MessageError("a header is missing"))?;
        let branch = via.split([';', ',']).find_map(|part| part.trim().strip_prefix("branch="));
        Ok(Self {
            start,
            from: address(one("from")?),
            to: address(one("to")?),
            in_dialogue: one("to")?.contains(";tag="),
            cseq_method,
            branch: branch.filter(|branch| !branch.is_empty()).ok_or(MessageError("Via has no branch"))?,
            instance: all("contact").next().and_then(instance),
            authorization: all("authorization").next().is_some(),
        })
    }
}

fn start(line: &str) -> Result<Start<'_>, MessageError> {
    let malformed = MessageError("its first line is neither a request's nor a response's");
    let parts: Vec<&str> = line.splitn(3, ' ').collect();
    if let ["SIP/2.0", status, _] = parts[..] {
        let status = status.parse().ok().filter(|status| (100..700).contains(status) && line.is_ascii());
        return status.map(Start::Response).ok_or(malformed);
    }
    match parts[..] {
        [method, uri, "SIP/2.0"]
            if METHODS.contains(&method) && uri.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Start::Request(method))
        }
        _ => Err(malformed),
    }
}

/// The name of a header line, in small letters and in its long form, and its value.
fn header(line: &str) -> Result<(Cow<'_, str>, &str), MessageError> {
    let (name, value) = line.split_once(':').ok_or(MessageError("a header has no colon"))?;
    let name = name.trim_end_matches([' ', '\t']);
    // A line that begins with a blank goes on with the header before: no name begins so.
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(MessageError("a header has no name"));
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(MessageError("a header has a control character"));
    }
    let name = match name.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    };
    let long = SHORT_NAMES.into_iter().find(|(short, _)| *short == name).map(|(_, long)| Cow::Borrowed(long));
    Ok((long.unwrap_or(name), value.trim()))
}

/// The address of From or To: `"name" <sip:user@domain;…>;tag=…`, or without the brackets. `None` for any other text.
fn address(value: &str) -> Option<Address> {
    let rest = after_display_name(value)?;
    let uri = match rest.strip_prefix('<') {
        Some(inner) => inner.split_once('>')?.0,
        None => rest.split(';').next().unwrap_or_default(),
    };
    let (scheme, rest) = uri.split_once(':')?;
    let address = rest.split([';', '?']).next().unwrap_or_default();
    let (user, host) = address.rsplit_once('@')?;
    let user = user.split(':').next().unwrap_or_default();
    let domain = match host.split_once(']') {
        Some((host, _)) => host.trim_start_matches('['),
        None => host.split(':').next().unwrap_or_default(),
    };
    // An escape would be another spelling of one user.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/".contains(&b);
    let is_sip = scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips");
    let is_user = is_sip && !user.is_empty() && user.bytes().all(plain) && !domain.is_empty();
    is_user.then(|| Address { user: user.to_owned(), domain: domain.trim_end_matches('.').to_lowercase() })
}

/// What follows the display name of an address; `None` when its quotes are not closed.
fn after_display_name(value: &str) -> Option<&str> {
    let Some(quoted) = value.strip_prefix('"') else {
        return Some(value.find('<').map_or(value, |at| value.get(at..).unwrap_or_default()));
    };
    let mut escaped = false;
    let end = quoted.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })?;
    Some(quoted.get(end + 1..)?.trim_start()).filter(|rest| rest.starts_with('<'))
}

fn instance(contact: &str) -> Option<&str> {
    let (_, value) = contact.split_once("+sip.instance=\"")?;
    let (instance, _) = value.split_once('"')?;
    Some(instance).filter(|instance| (1..=128).contains(&instance.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTER: &str = "REGISTER sip:acme.example.com SIP/2.0\r\n\
        Via: SIP/2.0/WS x4v2.invalid;branch=z9hG4bK74;rport\r\n\
        To: <sip:1002@Acme.Example.com>\r\n\
        From: \"Bo \\\"<sip:1@x>\\\"\" <sip:1002@acme.example.com>;tag=1\r\n\
        CALL-ID: abc\r\n\
        CSeq: 1 REGISTER\r\n\
        Contact: <sip:9@x4v2.invalid;transport=ws>;+sip.instance=\"<urn:uuid:11>\";expires=120\r\n\
        Content-Length: 0\r\n\r\n";

    fn of_1002() -> Address {
        Address { user: "1002".to_owned(), domain: "acme.example.com".to_owned() }
    }

    #[test]
    fn a_register_is_read() {
        let head = Head::parse(REGISTER).unwrap();
        let read = Head {
            start: Start::Request("REGISTER"),
            from: Some(of_1002()),
            to: Some(of_1002()),
            in_dialogue: false,
            cseq_method: "REGISTER",
            branch: "z9hG4bK74",
            instance: Some("<urn:uuid:11>"),
            authorization: false,
        };
        assert_eq!(head, read);
        let response = REGISTER.replace("REGISTER sip:acme.example.com SIP/2.0", "SIP/2.0 200 OK");
        assert_eq!(Head::parse(&response).unwrap().start, Start::Response(200));
        let short = REGISTER.replace("From:", "f :").replace("Via:", "v:").replace("CALL-ID", "i");
        assert_eq!(Head::parse(&short).unwrap(), head);
    }

    #[test]
    fn what_another_reader_might_read_otherwise_is_refused() {
        let from = "From: \"Bo \\\"<sip:1@x>\\\"\" <sip:1002@acme.example.com>;tag=1\r\n";
        for (text, other) in [
            ("REGISTER sip:acme.example.com SIP/2.0", "REGISTER sip:acme.example.com SIP/3.0"),
            ("REGISTER sip:acme.example.com SIP/2.0", "GET sip:acme.example.com SIP/2.0"),
            ("REGISTER sip:acme.example.com SIP/2.0", "\r\nREGISTER sip:acme.example.com SIP/2.0"),
            ("REGISTER sip:acme.example.com SIP/2.0", "SIP/2.0 99 Low"),
            (from, ""),
            (from, "From: <sip:1002@acme.example.com>\r\nf: <sip:1001@acme.example.com>\r\n"),
            (from, "From:\r\n <sip:1002@acme.example.com>\r\n"),
            (from, "From: <sip:1002@acme.example.com>\nTo: <sip:1001@acme.example.com>\r\n"),
            ("CSeq: 1 REGISTER", "CSeq: 1 INVITE"),
            ("Content-Length: 0", "Content-Length: 9"),
            ("Content-Length: 0", "l: 0\r\nContent-Length: 0"),
            ("Content-Length: 0\r\n\r\n", "\r\n\r\nbody"),
            (";branch=z9hG4bK74", ""),
            ("CALL-ID: abc\r\n", "CALL-ID abc\r\n"),
            ("CALL-ID: abc\r\n", "CALL-ID: a\0bc\r\n"),
            ("\r\n\r\n", ""),
        ] {
            let text = REGISTER.replacen(text, other, 1);
            assert_ne!(text, REGISTER);
            assert!(Head::parse(&text).is_err(), "{text}");
        }
        for other in [
            "\"x\" y <sip:1002@acme.example.com>",
            "\"x <sip:1002@acme.example.com>",
            "<sip:10%302@acme.example.com>",
            "<tel:1002>",
            "<sip:@acme.example.com>",
            "<sip:acme.example.com>",
        ] {
            let text = REGISTER.replacen(from, &format!("From: {other}\r\n"), 1);
            assert_eq!(Head::parse(&text).unwrap().from, None, "{text}");
        }
        let many = REGISTER.replacen("CSeq:", &format!("{}CSeq:", "X: 1\r\n".repeat(MAX_HEADERS)), 1);
        assert!(Head::parse(&many).is_err());
        for text in ["", "\r\n\r\n", "hello", "SIP/2.0"] {
            assert!(Head::parse(text).is_err(), "{text:?}");
        }
    }
}
