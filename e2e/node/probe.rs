//! Whether a switch accepts calls: it answers an INVITE without credentials with 407.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::site::{OUTSIDE, PHONES};

/// Timeout of an answer.
const ANSWER: Duration = Duration::from_millis(400);
/// Interval of the requests.
const PAUSE: Duration = Duration::from_millis(100);

/// Status of the answer to a new call from an address; `None` without an answer.
pub fn invite(address: Ipv4Addr) -> Option<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let socket = UdpSocket::bind((OUTSIDE, 0)).expect("a port");
    socket.set_read_timeout(Some(ANSWER)).expect("its timeout");
    let port = socket.local_addr().expect("its address").port();
    let target = SocketAddr::from((address, PHONES));
    let request = |method: &str, to: &str| {
        format!(
            "{method} sip:1002@acme.example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP {OUTSIDE}:{port};branch=z9hG4bKprobe{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:1001@acme.example.com>;tag=probe{number}\r\n{to}\
             Call-ID: probe-{port}-{number}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:1001@{OUTSIDE}:{port}>\r\nContent-Length: 0\r\n\r\n"
        )
    };
    socket.send_to(request("INVITE", "To: <sip:1002@acme.example.com>\r\n").as_bytes(), target).ok()?;
    let mut buffer = [0; 4096];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).ok()?;
        let answer = String::from_utf8_lossy(&buffer[..length]);
        let status: u16 = answer.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
        if status >= 200 {
            let to = answer.lines().find(|line| line.starts_with("To: ")).unwrap_or_default();
            let _ = socket.send_to(request("ACK", &format!("{to}\r\n")).as_bytes(), target);
            return Some(status);
        }
    }
}

/// Whether the switch at an address accepts calls.
pub fn accepts_calls(address: Ipv4Addr) -> bool {
    invite(address) == Some(407)
}

/// Asks repeatedly, until stopped, whether any of some addresses accepts calls.
pub struct Watch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Watch {
    /// Starts; addresses may be added later.
    pub fn begin(addresses: Arc<Mutex<Vec<Ipv4Addr>>>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let until = ended.clone();
        let thread = std::thread::spawn(move || {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !until.load(Ordering::Relaxed) {
                let addresses = addresses.lock().expect("addresses").clone();
                // All at once: each removed address costs a timeout.
                let taken = std::thread::scope(|scope| {
                    let asked: Vec<_> =
                        addresses.iter().map(|address| scope.spawn(|| accepts_calls(*address))).collect();
                    asked.into_iter().any(|answer| answer.join().expect("an answer"))
                });
                longest = longest.max(last.elapsed());
                if taken {
                    last = Instant::now();
                }
                std::thread::sleep(PAUSE);
            }
            longest
        });
        Self { ended, thread }
    }

    /// Stops; returns the longest time in which no address accepted calls.
    pub fn end(self) -> Duration {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("a watch")
    }
}
