//! A client of phones' files: HTTP/1.1 over any stream, with all that was answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Headers but the date, in order, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A request, to be sent in the name of a client behind a proxy.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub file: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn get(file: &str) -> Self {
        Self { method: "GET", file: file.to_owned(), headers: Vec::new() }
    }

    pub fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn basic(self, user: &str, password: &str) -> Self {
        self.with("authorization", &format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    /// As a proxy that ends TLS passes it on.
    pub fn from(self, address: &str) -> Self {
        self.with("x-forwarded-for", address).with("x-forwarded-proto", "https")
    }

    pub fn text(&self) -> String {
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = if self.method == "PUT" { "content-length: 5\r\n" } else { "" };
        let body = if self.method == "PUT" { "hello" } else { "" };
        format!(
            "{} /provision/{} HTTP/1.1\r\nhost: phones\r\n{headers}{length}\r\n{body}",
            self.method, self.file
        )
    }

    /// Sends it on a connection of its own.
    pub fn send(&self, to: SocketAddr) -> Answer {
        self.over(&mut connect(to))
    }

    /// Sends it over a stream, which stays usable.
    pub fn over(&self, stream: &mut (impl Read + Write)) -> Answer {
        stream.write_all(self.text().as_bytes()).unwrap();
        read(stream, self.method == "HEAD").expect("an answer")
    }
}

/// A connection that waits a minute at most.
pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Reads one answer; `None` if the connection ends before it.
pub fn read(stream: &mut impl Read, is_head: bool) -> Option<Answer> {
    let (mut bytes, mut part) = (Vec::new(), [0; 16384]);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut lines = head.lines();
            let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
            let header = |line: &str| {
                let (name, value) = line.split_once(": ").unwrap();
                (name.to_ascii_lowercase(), value.to_owned())
            };
            let headers: Vec<_> = lines.map(header).filter(|(name, _)| name != "date").collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length: usize = match length {
                Some((_, value)) if !is_head && status != 304 => value.parse().unwrap(),
                _ => 0,
            };
            while bytes.len() < end + 4 + length {
                let read = stream.read(&mut part).unwrap();
                assert!(read > 0, "the body is cut off");
                bytes.extend_from_slice(&part[..read]);
            }
            assert_eq!(bytes.len(), end + 4 + length, "more than one answer");
            return Some(Answer {
                status,
                headers,
                body: String::from_utf8(bytes[end + 4..].to_vec()).unwrap(),
            });
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
        }
    }
}

/// A connection over TLS that trusts one authority, and may show a certificate.
pub fn connect_tls(
    to: SocketAddr,
    authority: &CertificateDer<'static>,
    own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match own {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from("phones.example.com").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), connect(to))
}

/// The answer to a challenge for Digest of an algorithm, by a client that knows user and password.
pub fn digest(challenge: &Answer, algorithm: &str, request: Request, user: &str, password: &str) -> Request {
    use sha2::Digest as _;
    let offered = challenge.headers.iter().filter(|(name, _)| name == "www-authenticate");
    let of = format!("algorithm={algorithm},");
    let (_, value) =
        offered.into_iter().find(|(_, value)| value.contains(&of)).expect("the algorithm is offered");
    let nonce = value.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let hash = |text: String| match algorithm {
        "MD5" => hex::encode(<md5::Md5 as md5::Digest>::digest(text)),
        _ => hex::encode(sha2::Sha256::digest(text)),
    };
    let uri = format!("/provision/{}", request.file);
    let (a1, a2) = (hash(format!("{user}:centrex:{password}")), hash(format!("{}:{uri}", request.method)));
    let response = hash(format!("{a1}:{nonce}:00000001:0a4f113b:auth:{a2}"));
    request.with(
        "authorization",
        &format!(
            "Digest username=\"{user}\", realm=\"centrex\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm={algorithm}, \
             qop=auth, nc=00000001, cnonce=\"0a4f113b\", response=\"{response}\""
        ),
    )
}
