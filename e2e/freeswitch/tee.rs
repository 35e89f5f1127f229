//! A proxy between a switch and Centrex that records the names of the posted fields.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Names of fields, by the path that they were posted to.
type Posted = BTreeMap<String, BTreeSet<String>>;

/// A proxy to Centrex. It ends with the process, because its connections wait for data.
pub struct Tee {
    /// Address of the proxy, for the switch.
    pub url: String,
    posted: Arc<Mutex<Posted>>,
}

impl Tee {
    /// Opens a proxy to Centrex' address, such as `127.0.0.1:8080`.
    pub fn open(centrex: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let posted = Arc::new(Mutex::new(Posted::new()));
        let seen = posted.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, centrex) = (seen.clone(), centrex.clone());
                // Either side may close the connection; the switch logs that.
                std::thread::spawn(move || pass(stream, &centrex, &seen));
            }
        });
        Self { url, posted }
    }

    /// Names of the fields posted to a path so far.
    pub fn posted(&self, path: &str) -> BTreeSet<String> {
        self.posted.lock().expect("names").get(path).cloned().unwrap_or_default()
    }
}

/// Forwards one request, and its answer.
fn pass(stream: TcpStream, centrex: &str, seen: &Mutex<Posted>) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
        let line = head[start..].trim_end().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        } else if line.is_empty() {
            head.truncate(start);
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let names = body.split(|byte| *byte == b'&').filter_map(|pair| pair.split(|byte| *byte == b'=').next());
    let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
    if !path.ends_with("/cdr") {
        seen.lock().expect("names").entry(path).or_default().extend(names);
    }
    let mut onward = TcpStream::connect(centrex)?;
    onward.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    onward.write_all(&body)?;
    std::io::copy(&mut onward, reader.get_mut())?;
    Ok(())
}
