//! The relay against hostile clients. After each, FreeSWITCH answers as before: nothing of it got through.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use md5::{Digest, Md5};

use super::lab::Lab;
use crate::freeswitch::switch::installed;
use crate::postgres::Database;
use crate::skip::skip;
use crate::wait::{DEADLINE, until};

/// A step: what is expected, and its test.
type Step = (&'static str, fn(&Lab, &str));

const STEPS: &[Step] = &[
    ("a page of another origin is refused", origins),
    ("a client without the subprotocol, and one that asks for another path, is refused", handshakes),
    ("a message over the limit ends the socket", long_message),
    ("a frame of an absurd length ends the socket", absurd_length),
    ("half a frame ends the socket after a while", half_frame),
    ("what is no SIP message ends the socket", no_sip),
    ("a call before the registration does not reach FreeSWITCH", unregistered),
    ("another user in From ends the socket", another_user),
    ("a flood of messages ends the socket", flood),
    ("a user has two browsers, and an address twenty sockets", limits),
    ("a socket that answers no ping is closed, and its registration goes half a minute later", dead),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_keeps_hostile_clients_from_freeswitch() {
    let test = "browser::relay::the_relay_keeps_hostile_clients_from_freeswitch";
    let binary = match installed() {
        Ok(binary) => binary,
        Err(missing) => return skip(test, &missing),
    };
    let Some(database) = Database::start(test).await else { return };
    let lab = Lab::start(&binary, &database);
    let [password, _] = lab.passwords(&database).await("bob", Timestamp::now());
    tokio::task::spawn_blocking(move || {
        let started = lab.switch.api("uptime ms").trim().parse::<u64>().expect("a number");
        let begin = Instant::now();
        for (what, step) in STEPS {
            let start = Instant::now();
            step(&lab, &password);
            lab.switch_answers();
            eprintln!("ok: {what} ({} ms)", start.elapsed().as_millis());
        }
        let now = lab.switch.api("uptime ms").trim().parse::<u64>().expect("a number");
        let passed = u64::try_from(begin.elapsed().as_millis()).expect("a number");
        assert!(now + 1000 >= started + passed, "FreeSWITCH has restarted: up for {now} ms");
    })
    .await
    .unwrap();
}

/// A WebSocket that sends whatever it is told to (RFC 6455).
struct Client {
    stream: TcpStream,
}

impl Client {
    /// Opens one, with further headers; the status of the answer if it is refused.
    fn open(lab: &Lab, path: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let stream = TcpStream::connect(("127.0.0.1", lab.relay_port)).expect("the relay");
        stream.set_read_timeout(Some(Duration::from_secs(100))).expect("a timeout");
        let mut client = Self { stream };
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: relay\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        client.stream.write_all((request + "\r\n").as_bytes()).expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        if status == 101 { Ok(client) } else { Err(status) }
    }

    /// The headers of a browser, with one replaced.
    fn headers<'a>(origin: &'a str, other: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
        let usual = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
            ("Sec-WebSocket-Protocol", "sip"),
            ("Origin", origin),
        ];
        let others = usual.into_iter().filter(|(name, _)| *name != other.0);
        others.chain([other]).filter(|(_, value)| !value.is_empty()).collect()
    }

    /// A usual one.
    fn usual(lab: &Lab) -> Self {
        Self::from(lab, "198.51.100.1").expect("it is accepted")
    }

    /// One of an address, which a proxy tells.
    fn from(lab: &Lab, address: &str) -> Result<Self, u16> {
        Self::open(lab, "/sip", &Self::headers(&origin(lab), ("X-Forwarded-For", address)))
    }

    /// Sends a frame with a length that may be another than that of its payload. The mask is zero.
    fn frame(&mut self, opcode: u8, length: u64, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(0x80 | u8::try_from(length).expect("small")),
            126..65536 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).expect("small").to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        let _ = self.stream.write_all(&frame); // it may be closed already
    }

    fn text(&mut self, text: &str) {
        self.frame(1, text.len() as u64, text.as_bytes());
    }

    /// The next frame: opcode and payload; `None` at the end.
    fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("the socket is open after 100 s"),
            Err(_) => return None,
        }
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).ok()?;
                usize::from(u16::from_be_bytes(length))
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        Some((head[0] & 15, payload))
    }

    /// The next text.
    fn receive_text(&mut self) -> Option<String> {
        loop {
            match self.receive()? {
                (1, text) => return Some(String::from_utf8(text).expect("text")),
                (8, _) => return None,
                _ => {}
            }
        }
    }

    /// Waits for the end, and returns the close code; 0 without one.
    fn closed(&mut self) -> u16 {
        let mut code = 0;
        while let Some((opcode, payload)) = self.receive() {
            if opcode == 8 {
                code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
            }
        }
        code
    }

    /// Registers, and returns the status.
    fn register(&mut self, password: &str, instance: &str) -> u16 {
        self.text(&request("REGISTER", "1002", &contact(instance)));
        let challenge = self.receive_text().expect("a challenge");
        assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
        let nonce =
            challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
        let md5 = |text: String| hex::encode(Md5::digest(text));
        let (a1, a2) =
            (md5(format!("1002:centrex:{password}")), md5("REGISTER:sip:acme.example.com".to_owned()));
        let response = md5(format!("{a1}:{nonce}:{a2}"));
        let authorization = format!(
            "Authorization: Digest username=\"1002\", realm=\"centrex\", nonce=\"{nonce}\", \
             uri=\"sip:acme.example.com\", response=\"{response}\", algorithm=MD5\r\n{}",
            contact(instance)
        );
        self.text(&request("REGISTER", "1002", &authorization));
        let answer = self.receive_text().expect("an answer");
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }
}

fn origin(lab: &Lab) -> String {
    format!("http://127.0.0.1:{}", lab.page_port)
}

fn contact(instance: &str) -> String {
    format!(
        "Contact: <sip:x@x.invalid;transport=ws>;+sip.instance=\"<urn:uuid:{instance}>\"\r\nExpires: 120\r\n"
    )
}

/// A request of a user of Acme to itself, with further headers.
fn request(method: &str, user: &str, headers: &str) -> String {
    let branch = hex::encode(rand::random::<[u8; 8]>());
    format!(
        "{method} sip:acme.example.com SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@acme.example.com>;tag=1\r\nTo: <sip:{user}@acme.example.com>\r\n\
         Call-ID: {branch}\r\nCSeq: 1 {method}\r\n{headers}Content-Length: 0\r\n\r\n"
    )
}

fn refusals(lab: &Lab, reason: &str) -> f64 {
    let name = format!("centrex_sip_websocket_refused_total{{reason=\"{reason}\"}}");
    crate::program::sample(&lab.metrics(), &name).unwrap_or_default()
}

const POLICY: u16 = 1008;

fn origins(lab: &Lab, _: &str) {
    let own = origin(lab);
    for other in ["https://evil.example", "null", &own.replace("127.0.0.1", "localhost"), &format!("{own}/")]
    {
        let headers = Client::headers(other, ("X-Forwarded-For", "198.51.100.1"));
        assert_eq!(Client::open(lab, "/sip", &headers).err(), Some(403), "{other}");
    }
    assert_eq!(Client::open(lab, "/sip", &Client::headers("", ("Origin", ""))).err(), Some(403));
    let mut twice = Client::headers(&own, ("X", "1"));
    twice.push(("Origin", "https://evil.example"));
    assert_eq!(Client::open(lab, "/sip", &twice).err(), Some(403));
    assert_eq!(refusals(lab, "origin"), 6.0);
}

fn handshakes(lab: &Lab, _: &str) {
    let own = origin(lab);
    let status = |path, other| Client::open(lab, path, &Client::headers(&own, other)).err();
    assert_eq!(status("/sip", ("Sec-WebSocket-Protocol", "")), Some(400));
    assert_eq!(status("/sip", ("Sec-WebSocket-Protocol", "chat")), Some(400));
    assert_eq!(status("/sip", ("Upgrade", "")), Some(400));
    assert_eq!(status("/sip/internal", ("X", "1")), Some(404));
    assert_eq!(status("/", ("X", "1")), Some(404));
    assert_eq!(status("/sip/browsers", ("X", "1")), None);
    assert_eq!(STANDARD.decode("AAAAAAAAAAAAAAAAAAAAAA==").map(|key| key.len()), Ok(16));
}

fn long_message(lab: &Lab, _: &str) {
    let mut client = Client::usual(lab);
    let long = request("REGISTER", "1002", &format!("X: {}\r\n", "x".repeat(33 << 10)));
    client.text(&long);
    assert_eq!(client.closed(), POLICY);
    // The same in parts that are short enough.
    let mut client = Client::usual(lab);
    let parts: Vec<&[u8]> = long.as_bytes().chunks(1 << 10).collect();
    for (index, part) in parts.iter().enumerate() {
        let mut head = vec![u8::from(index == 0), 0x80 | 126];
        head.extend(u16::try_from(part.len()).expect("small").to_be_bytes());
        head.extend([0; 4]);
        head.extend(*part);
        let _ = client.stream.write_all(&head);
    }
    // What the relay has not read is reset with the socket, and the close frame with it.
    assert!([POLICY, 0].contains(&client.closed()));
    // One within the limit is answered.
    let mut client = Client::usual(lab);
    client.text(&request("REGISTER", "1002", &contact("1")));
    assert!(client.receive_text().expect("an answer").starts_with("SIP/2.0 401 "));
}

fn absurd_length(lab: &Lab, _: &str) {
    for length in [1 << 20, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
        for opcode in [1, 2, 0] {
            let mut client = Client::usual(lab);
            client.frame(opcode, length, b"REGISTER");
            assert!([POLICY, 0].contains(&client.closed()), "{length}");
        }
    }
}

fn half_frame(lab: &Lab, _: &str) {
    let mut client = Client::usual(lab);
    client.frame(1, 300, b"REGISTER sip:acme");
    lab.switch_answers();
    assert_eq!(client.closed(), POLICY);
}

fn no_sip(lab: &Lab, _: &str) {
    let register = request("REGISTER", "1002", &contact("1"));
    for text in [
        "hello",
        "\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        &register.replace("Content-Length: 0", "Content-Length: 1000000"),
        &register.replace("From:", "From: <sip:1001@acme.example.com>;tag=1\r\nf:"),
        &format!("{register}{register}"),
    ] {
        let mut client = Client::usual(lab);
        client.text(text);
        assert_eq!(client.closed(), POLICY, "{text}");
    }
    let mut client = Client::usual(lab);
    client.frame(2, register.len() as u64, register.as_bytes());
    assert_eq!(client.closed(), POLICY);
}

fn unregistered(lab: &Lab, _: &str) {
    for method in ["INVITE", "OPTIONS", "SUBSCRIBE", "MESSAGE"] {
        let mut client = Client::usual(lab);
        client.text(&request(method, "1002", &contact("1")));
        assert_eq!(client.closed(), POLICY, "{method}");
        // Nor behind a REGISTER.
        let mut client = Client::usual(lab);
        client.text(&request("REGISTER", "1002", &contact("1")));
        client.text(&request(method, "1002", &contact("1")));
        assert!(client.receive_text().expect("an answer").contains("CSeq: 1 REGISTER"));
        client.stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let more = client.stream.read(&mut [0; 1]).expect_err("an answer to an unregistered call");
        assert_eq!(more.kind(), ErrorKind::WouldBlock, "{method}");
    }
}

fn another_user(lab: &Lab, password: &str) {
    let mut client = Client::usual(lab);
    assert_eq!(client.register("wrong", "1"), 403);
    assert_eq!(client.register(password, "1"), 200);
    client.text(&request("INVITE", "1001", &contact("1")));
    assert_eq!(client.closed(), POLICY);
    assert_eq!(refusals(lab, "from"), 1.0);
}

fn flood(lab: &Lab, password: &str) {
    let mut client = Client::usual(lab);
    assert_eq!(client.register(password, "1"), 200);
    for _ in 0..200 {
        client.text(&request("OPTIONS", "1002", &contact("1")));
    }
    let end = std::iter::from_fn(|| client.receive()).last();
    assert!(end.is_none_or(|(opcode, _)| opcode == 8 || opcode == 1));
    assert_eq!(refusals(lab, "rate"), 1.0);
    // Pings are counted, too.
    let mut client = Client::usual(lab);
    client.text(&request("REGISTER", "1002", &contact("1")));
    for _ in 0..200 {
        client.frame(9, 4, b"ping");
    }
    while client.receive().is_some() {}
    assert_eq!(refusals(lab, "rate"), 2.0);
}

fn limits(lab: &Lab, password: &str) {
    let mut clients: Vec<Client> = ["a", "b"]
        .into_iter()
        .map(|instance| {
            let mut client = Client::usual(lab);
            assert_eq!(client.register(password, instance), 200);
            client
        })
        .collect();
    let mut third = Client::usual(lab);
    third.text(&request("REGISTER", "1002", &contact("c")));
    assert_eq!(third.closed(), POLICY);
    assert_eq!(refusals(lab, "user"), 1.0);
    // Of another address, nothing is taken away.
    let others: Vec<_> = (0..21).map(|_| Client::from(lab, "203.0.113.9")).collect();
    assert_eq!(others.iter().filter(|client| client.is_ok()).count(), 20);
    assert_eq!(others.last().and_then(|client| client.as_ref().err()), Some(&429));
    assert!(Client::from(lab, "203.0.113.10").is_ok());
    // Closed ones make room, for the user at once.
    for client in &mut clients {
        client.frame(8, 2, &1000_u16.to_be_bytes());
        client.closed();
    }
    let mut next = Client::usual(lab);
    assert_eq!(next.register(password, "d"), 200);
}

fn dead(lab: &Lab, password: &str) {
    let registered =
        || !lab.switch.api("sofia status profile browsers reg").contains("Total items returned: 0");
    assert!(until(DEADLINE, || (!registered()).then_some(())).is_some(), "registrations of before");
    let mut client = Client::usual(lab);
    assert_eq!(client.register(password, "1"), 200);
    let start = Instant::now();
    assert_eq!(client.closed(), 0, "without a word, so that a browser returns");
    let seconds = start.elapsed().as_secs();
    assert!((55..70).contains(&seconds), "{seconds} s");
    assert!(registered(), "a browser that returns is still registered");
    assert!(until(DEADLINE, || (!registered()).then_some(())).is_some());
    let seconds = start.elapsed().as_secs();
    assert!((80..100).contains(&seconds), "{seconds} s");
    assert!(refusals(lab, "dead") >= 1.0);
}
