//! A minimal client of the event socket (contract §5).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A connection that gives commands.
pub struct Esl {
    reader: BufReader<TcpStream>,
}

impl Esl {
    /// Connects and logs in; `None` if the switch does not answer or refuses.
    pub fn connect(port: u16, password: &str) -> Option<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let mut esl = Self { reader: BufReader::new(stream) };
        esl.message()?;
        let reply = esl.command(&format!("auth {password}"))?;
        reply.0.contains("+OK accepted").then_some(esl)
    }

    /// The answer to an API command.
    pub fn api(&mut self, command: &str) -> Option<String> {
        Some(self.command(&format!("api {command}"))?.1)
    }

    fn command(&mut self, line: &str) -> Option<(String, String)> {
        self.reader.get_mut().write_all(format!("{line}\n\n").as_bytes()).ok()?;
        self.message()
    }

    /// Headers and body of the next message.
    fn message(&mut self) -> Option<(String, String)> {
        let mut headers = String::new();
        loop {
            let start = headers.len();
            if self.reader.read_line(&mut headers).ok()? == 0 {
                return None;
            }
            if headers[start..].trim().is_empty() {
                break;
            }
        }
        let length = headers.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(Some(0), |length| length.trim().parse().ok())?];
        self.reader.read_exact(&mut body).ok()?;
        Some((headers, String::from_utf8_lossy(&body).into_owned()))
    }
}
