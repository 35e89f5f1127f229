//! Limits of the probe listener, which other hosts reach.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::Site;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::postgres::Database;
use crate::program::{Program, exchange};
use crate::wait::until;

/// Limits of this host: open connections, and requests that wait for calls to end.
const CONNECTIONS: usize = 512;
const WAITERS: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_listener_limits_its_connections() {
    let Some(database) = Database::start("switch: limits of the probe listener").await else { return };
    let site = Site::on(&database);
    let mut command = site.command("a");
    command.args(["--esl-address", "127.0.0.1:1", "--esl-password", "none"]);
    let program = site.start_command(&mut command, "a");
    let health = program.listens("answering probes").expect("the address of probes");
    waiters(health);
    connections(&program, health);
}

/// No FreeSWITCH answers this sidecar, so each request waits three seconds.
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

/// Opens fewer connections than the system queues for a listener: a connection beyond its queue takes a second or
/// more, and the first ones would be closed meanwhile, for lack of a request.
fn connections(program: &Program, health: SocketAddr) {
    let open_files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: open_files.maximum, ..open_files }).expect("open files");
    let held: Vec<TcpStream> =
        (0..CONNECTIONS + 200).map(|_| TcpStream::connect(health).expect("a connection")).collect();
    let is_open = |mut stream: &TcpStream| {
        stream.set_nonblocking(true).expect("a socket");
        matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    };
    let open = || held.iter().filter(|stream| is_open(stream)).count();
    let left = until(Duration::from_secs(20), || Some(open()).filter(|open| *open <= CONNECTIONS));
    assert_eq!(left, Some(CONNECTIONS));
    let is_logged = || program.log().contains("connections are refused: too many are open").then_some(());
    assert!(until(Duration::from_secs(20), is_logged).is_some(), "{}", program.log());
    // FreeSWITCH has a listener of its own, without a limit.
    assert_eq!(program.get("/healthz").0, 200);
    drop(held);
    std::thread::sleep(Duration::from_secs(1));
    let mut stream = TcpStream::connect(health).expect("a connection");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
}
