//! A carrier that speaks SIP over UDP: registers a client that knows the password, and takes or refuses calls.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use md5::{Digest, Md5};

use crate::wait::{DEADLINE, until};

/// What a carrier does with a call.
#[derive(Clone, Copy, PartialEq)]
pub enum Script {
    /// Announces something, rings, answers: 183, 180, 200.
    Answer,
    /// Sends the call to another address: 302.
    Moved,
    /// Wants other codecs: 488.
    NotAcceptable,
}

/// User name and password that a carrier asks for.
#[derive(Clone, Copy)]
pub struct Login {
    pub username: &'static str,
    pub password: &'static str,
}

/// A carrier at an address of its own.
pub struct Carrier {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    seen: Mutex<Vec<String>>,
    script: Mutex<Script>,
    login: Option<Login>,
}

/// The realm of every challenge: no domain of any trunk.
const REALM: &str = "carrier-core";
const NONCE: &str = "a-nonce-of-the-test";
const BETWEEN_ANSWERS: Duration = Duration::from_millis(200);

impl Carrier {
    /// Starts one at a port.
    pub fn start(host: u8, port: u16, login: Option<Login>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::new(10, 98, 0, host), port)).expect("the carrier's port");
        let address = socket.local_addr().expect("its address");
        let shared = Arc::new(Shared { seen: Mutex::default(), script: Mutex::new(Script::Answer), login });
        let own = shared.clone();
        std::thread::spawn(move || {
            let mut packet = [0; 65536];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                let request = String::from_utf8_lossy(&packet[..length]).into_owned();
                let answers = own.answers(&request, address);
                own.seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                for (index, answer) in answers.iter().enumerate() {
                    if index > 0 {
                        // FreeSWITCH passes no provisional answer on when the final one is there already.
                        std::thread::sleep(BETWEEN_ANSWERS);
                    }
                    let _ = socket.send_to(answer.as_bytes(), from);
                }
            }
        });
        Self { address, shared }
    }

    /// What it does with calls from now on.
    pub fn play(&self, script: Script) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// Requests of a method since the last time, in order.
    pub fn seen(&self, method: &str) -> Vec<String> {
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (wanted, others) = seen.drain(..).partition(|request: &String| request.starts_with(method));
        *seen = others;
        wanted
    }

    /// The last INVITE of a call that has been made, as soon as it is there.
    pub fn invite(&self) -> String {
        let last = until(DEADLINE, || self.seen("INVITE").pop());
        last.unwrap_or_else(|| panic!("no INVITE at {}", self.address))
    }
}

impl Shared {
    fn answers(&self, request: &str, me: SocketAddr) -> Vec<String> {
        let method = request.split(' ').next().unwrap_or_default();
        let (header, scheme) = match method {
            "REGISTER" => ("Authorization", "WWW-Authenticate"),
            _ => ("Proxy-Authorization", "Proxy-Authenticate"),
        };
        let contact = format!("Contact: <sip:{me}>\r\n");
        match method {
            "REGISTER" | "INVITE" if !self.knows(method, field(request, header)) => {
                let status = if method == "REGISTER" {
                    "401 Unauthorized"
                } else {
                    "407 Proxy Authentication Required"
                };
                let challenge =
                    format!("{scheme}: Digest realm=\"{REALM}\", nonce=\"{NONCE}\", algorithm=MD5\r\n");
                vec![answer(request, status, &challenge, "")]
            }
            "REGISTER" => {
                let bound = field(request, "Contact").unwrap_or_default();
                vec![answer(request, "200 OK", &format!("Contact: {bound};expires=600\r\n"), "")]
            }
            "INVITE" => match *self.script.lock().unwrap_or_else(PoisonError::into_inner) {
                Script::Moved => {
                    let elsewhere = "Contact: <sip:+4990099999@10.98.0.66>\r\n";
                    vec![answer(request, "302 Moved Temporarily", elsewhere, "")]
                }
                Script::NotAcceptable => vec![answer(request, "488 Not Acceptable Here", "", "")],
                Script::Answer => {
                    let with_sdp = format!("{contact}Content-Type: application/sdp\r\n");
                    vec![
                        answer(request, "183 Session Progress", &with_sdp, &sdp(me)),
                        answer(request, "180 Ringing", &contact, ""),
                        answer(request, "200 OK", &with_sdp, &sdp(me)),
                    ]
                }
            },
            "ACK" => Vec::new(),
            _ => vec![answer(request, "200 OK", "", "")],
        }
    }

    /// Whether a request has the right credentials, if any are asked for.
    fn knows(&self, method: &str, credentials: Option<&str>) -> bool {
        let Some(login) = self.login else { return true };
        let Some(credentials) = credentials else { return false };
        let part = |name: &str| {
            let (_, rest) = credentials.split_once(&format!("{name}=\""))?;
            rest.split('"').next()
        };
        let md5 = |text: String| hex::encode(Md5::digest(text));
        let secret = md5(format!("{}:{REALM}:{}", login.username, login.password));
        let what = md5(format!("{method}:{}", part("uri").unwrap_or_default()));
        part("username") == Some(login.username)
            && part("response") == Some(md5(format!("{secret}:{NONCE}:{what}")).as_str())
    }
}

/// The value of the first header with a name.
pub fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn answer(request: &str, status: &str, headers: &str, body: &str) -> String {
    let lines = |name: &str| -> String {
        let lines = request.lines().filter(|line| line.starts_with(&format!("{name}: ")));
        lines.map(|line| format!("{line}\r\n")).collect()
    };
    let to = lines("To");
    let to = if to.contains(";tag=") { to } else { to.replace("\r\n", ";tag=carrier\r\n") };
    format!(
        "SIP/2.0 {status}\r\n{}{}{}{to}{}{}{headers}Content-Length: {}\r\n\r\n{body}",
        lines("Via"),
        lines("Record-Route"),
        lines("From"),
        lines("Call-ID"),
        lines("CSeq"),
        body.len()
    )
}

fn sdp(me: SocketAddr) -> String {
    let ip = me.ip();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
    )
}
