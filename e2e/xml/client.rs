//! A listener with the tenants of the recorded requests, and a client that sends any bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use centrex::freeswitch::listener::{self, Probe, Routes};
use centrex::freeswitch::xml::Answers;
use centrex::http::credentials::Credentials;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::tree::Node;

/// `fs:secret`, as in the recorded requests.
pub const AUTHORIZATION: &str = "Authorization: Basic ZnM6c2VjcmV0\r\n";

/// A running listener, stopped with the test.
pub struct Listener {
    pub address: SocketAddr,
    cancel: CancellationToken,
}

/// A process that lacks the given things; ready without any.
pub struct Lacks(pub &'static [&'static str]);

impl Probe for Lacks {
    fn missing(&self) -> Vec<String> {
        self.0.iter().map(|text| (*text).to_owned()).collect()
    }

    fn replica_age(&self) -> Option<Duration> {
        Some(Duration::from_secs(3))
    }
}

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    /// The XML document of a response, which must be 200.
    pub fn document(&self) -> Node {
        assert_eq!(self.status, 200, "{self:?}");
        Node::parse(&self.body)
    }
}

impl Listener {
    pub async fn start(answers: Arc<Answers>) -> Self {
        Self::start_with(answers, Lacks(&[])).await
    }

    pub async fn start_with(answers: Arc<Answers>, probe: Lacks) -> Self {
        let credentials = Credentials::new("fs", "secret").unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listener::bind(listen, Some(&credentials)).await.unwrap();
        let (routes, _) = Routes::new(answers, Arc::new(probe), Some(credentials)).into_routers(|_| ());
        let (address, cancel) = (listener.address(), CancellationToken::new());
        tokio::spawn(listener.serve(routes, cancel.clone()));
        Self { address, cancel }
    }

    /// Posts a form as FreeSWITCH does.
    pub async fn lookup(&self, section: &str, form: &str) -> Reply {
        self.send(&post(section, form)).await
    }

    /// Sends bytes on a new connection, and reads one response.
    pub async fn send(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        read(&mut stream).await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// The bytes of a lookup.
pub fn post(section: &str, form: &str) -> Vec<u8> {
    format!(
        "POST /freeswitch/{section} HTTP/1.1\r\nHost: localhost\r\n{AUTHORIZATION}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

/// Reads one response.
pub async fn read(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed without an answer");
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let end = head_end + length.parse::<usize>().unwrap();
    while bytes.len() < end {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed within an answer");
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, body: String::from_utf8(bytes[head_end..end].to_vec()).unwrap(), head }
}
