//! The client side: prepared requests over plain sockets, with as little work as possible.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use centrex::freeswitch::xml::field::Field;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// User name of the client.
pub const USERNAME: &str = "switch";
/// Password of the client.
pub const PASSWORD: &str = "xml-for-tests";

/// Concurrent lookups.
const CONNECTIONS: usize = 16;

/// A request as mod_xml_curl sends it.
pub fn request(section: &str, form: &str) -> Vec<u8> {
    let credentials = STANDARD.encode(format!("{USERNAME}:{PASSWORD}"));
    format!(
        "POST /freeswitch/{section} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Basic {credentials}\r\n\
         User-Agent: freeswitch-xml/1.0\r\nAccept: */*\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

/// Which fields of a form are posted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// The fields that `deploy/freeswitch` makes FreeSWITCH post.
    Asked,
    /// All fields.
    Whole,
}

impl Posted {
    fn of(self, form: &str) -> String {
        let asked = |pair: &&str| {
            let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
            self == Posted::Whole || name == "hostname" || Field::by_name(name.as_bytes()).is_some()
        };
        form.trim_end().split('&').filter(asked).collect::<Vec<_>>().join("&")
    }
}

/// A `sip_auth` lookup: a phone registers.
pub fn register(domain: &str, user: &str) -> Vec<u8> {
    let form = Posted::Asked.of(include_str!("register.form"));
    request("directory", &form.replace("{domain}", domain).replace("{user}", user))
}

/// A dialplan lookup: an extension calls another one of its tenant.
pub fn call(posted: Posted, context: &str, domain: &str, user: &str, callee: &str) -> Vec<u8> {
    let form = posted.of(include_str!("call.form")).replace("{context}", context);
    let form = form.replace("{domain}", domain).replace("{user}", user).replace("{callee}", callee);
    request("dialplan", &form)
}

/// How connections are used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// Each for many lookups.
    KeepAlive,
    /// Each for one lookup, as mod_xml_curl does.
    PerLookup,
}

/// Sends requests for a time, and returns answers per second. The client never sleeps: otherwise the server
/// would have to wake it, which costs a microsecond or more, and more often the slower an answer is.
pub fn rate(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: Connections,
    time: Duration,
) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let awake = tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let (next, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let asking: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (requests, next) = (requests.clone(), next.clone());
                tokio::spawn(async move {
                    let mut socket = None;
                    let mut done = 0usize;
                    while start.elapsed() < time {
                        let request = &requests[next.fetch_add(1, Ordering::Relaxed) % requests.len()];
                        let mut open = match socket.take() {
                            Some(open) => open,
                            None => Socket::open(address).await,
                        };
                        open.ask(request).await;
                        socket = (connections == Connections::KeepAlive).then_some(open);
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut done = 0;
        for task in asking {
            done += task.await.expect("an asking task");
        }
        awake.abort();
        done as f64 / start.elapsed().as_secs_f64()
    })
}

/// A connection and its read buffer.
pub struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Socket {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    /// The body of the answer to a request; panics unless the status is 200.
    pub async fn ask(&mut self, request: &[u8]) -> &[u8] {
        let (good, body) = self.answer(request).await;
        assert!(good, "{}", String::from_utf8_lossy(body));
        body
    }

    /// Sends a request and reads the complete answer: whether its status is 200, and its body.
    pub async fn answer(&mut self, request: &[u8]) -> (bool, &[u8]) {
        self.stream.write_all(request).await.expect("a sent request");
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("an answer");
            assert!(read > 0, "the answer broke off");
            let Some(head) = memmem::find(&self.buffer, b"\r\n\r\n") else { continue };
            if self.buffer.len() >= head + 4 + content_length(&self.buffer[..head]) {
                return (self.buffer.starts_with(b"HTTP/1.1 200"), &self.buffer[head + 4..]);
            }
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let name = b"content-length: ";
    let at = memmem::find(head, name).expect("a content-length") + name.len();
    head[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}

/// Sends each request once, and returns the bodies of the answers.
pub fn bodies(address: SocketAddr, requests: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut socket = Socket::open(address).await;
        let mut bodies = Vec::new();
        for request in requests {
            bodies.push(socket.ask(request).await.to_vec());
        }
        bodies
    })
}
