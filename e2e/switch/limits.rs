//! Strangers at the listener of probes, which other hosts reach: so many are served, and the kubelet is
//! served beside them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::Site;
use crate::postgres::Database;
use crate::program::{Program, exchange};
use crate::wait::until;

/// Most connections of one host that are open at a time, and most of these that wait for calls to end.
const CONNECTIONS: usize = 512;
const WAITERS: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_fill_the_listener_of_probes() {
    let Some(database) = Database::start("switch: strangers at the probes").await else { return };
    let site = Site::on(&database);
    let mut command = site.command("a");
    command.args(["--esl-address", "127.0.0.1:1", "--esl-password", "none"]);
    let program = site.start_command(&mut command, "a");
    let health = program.listens("answering probes").expect("the address of probes");
    waiters(health);
    connections(&program, health);
}

/// Nobody commands that switch, so that each who waits does for three seconds.
fn waiters(health: SocketAddr) {
    let start = Instant::now();
    let asked: Vec<_> = (0..60)
        .map(|_| {
            let request = b"GET /drained?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n";
            std::thread::spawn(move || (exchange(health, request), start.elapsed()))
        })
        .collect();
    let answers: Vec<_> = asked.into_iter().map(|one| one.join().expect("an answer")).collect();
    let refused =
        answers.iter().filter(|((status, body), _)| *status == 503 && body.contains("too many wait")).count();
    let waited = answers.iter().filter(|((status, _), after)| *status == 200 && after.as_secs() >= 3).count();
    assert_eq!((waited, refused), (WAITERS, 60 - WAITERS), "{answers:?}");
}

/// Fewer are opened than the system queues for a listener: what it does not queue comes a second later or
/// more, and the first connections would be closed for their silence meanwhile.
fn connections(program: &Program, health: SocketAddr) {
    let held: Vec<TcpStream> =
        (0..CONNECTIONS + 200).map(|_| TcpStream::connect(health).expect("a connection")).collect();
    let is_open = |mut stream: &TcpStream| {
        stream.set_nonblocking(true).expect("a socket");
        matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    };
    let open = || held.iter().filter(|stream| is_open(stream)).count();
    let left = until(Duration::from_secs(20), || Some(open()).filter(|open| *open <= CONNECTIONS));
    assert_eq!(left, Some(CONNECTIONS));
    assert!(program.log().contains("connections to the listener of probes are refused"), "{}", program.log());
    // FreeSWITCH has a listener of its own, and goes on.
    assert_eq!(program.get("/healthz").0, 200);
    drop(held);
    std::thread::sleep(Duration::from_secs(1));
    let mut stream = TcpStream::connect(health).expect("a connection");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
}
