//! A way to Postgres that can be shut: connections are cut then, and new ones refused.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The way, open at first.
pub struct Gate {
    pub port: u16,
    shut: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    /// A way to a socket.
    pub fn open(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Self { port, shut: Arc::default(), connections: Arc::default() };
        let (shut, connections) = (gate.shut.clone(), gate.connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shut.load(Ordering::SeqCst) {
                    continue; // dropped at once
                }
                let Ok(there) = UnixStream::connect(&socket) else { continue };
                connections.lock().unwrap().push(stream.try_clone().unwrap());
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

    /// Shuts it, or opens it again.
    pub fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
        if shut {
            for connection in self.connections.lock().unwrap().drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
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
