//! A proxy to Postgres that can be closed: it then cuts all connections and refuses new ones.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// The proxy; open at first.
pub struct Gate {
    pub port: u16,
    /// Connections through the proxy; `None` while it is closed.
    through: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Gate {
    /// Opens a proxy to a socket, on loopback.
    pub fn open(socket: PathBuf) -> Self {
        Self::open_at(SocketAddr::from(([127, 0, 0, 1], 0)), socket)
    }

    /// Opens a proxy to a socket.
    pub fn open_at(address: SocketAddr, socket: PathBuf) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Self { port, through: Arc::new(Mutex::new(Some(Vec::new()))) };
        let through = gate.through.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut through = through.lock().unwrap();
                let Some(through) = through.as_mut() else { continue }; // dropped at once
                let Ok(there) = UnixStream::connect(&socket) else { continue };
                through.push(stream.try_clone().unwrap());
                let (mut from, mut to) = (stream.try_clone().unwrap(), there.try_clone().unwrap());
                std::thread::spawn(move || {
                    pump(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                let (mut from, mut to) = (there, stream);
                std::thread::spawn(move || {
                    pump(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        });
        gate
    }

    /// Closes the proxy, or opens it again.
    pub fn shut(&self, shut: bool) {
        let open = (!shut).then(Vec::new);
        for connection in std::mem::replace(&mut *self.through.lock().unwrap(), open).into_iter().flatten() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn pump(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0; 16384];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}
