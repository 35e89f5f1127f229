//! Events that the client of the event socket reads per second, compared with copying and splitting the same
//! bytes.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use centrex::freeswitch::esl::{Address, Event, Password, open};
use memchr::memmem;

use crate::Options;
use crate::report::Row;
use crate::turns::by_turns;

/// Events of a round.
const EVENTS: usize = 1_000;
const ROUNDS: usize = 51;
const SECRET: &str = "esl-for-the-bench";
const GATEWAY: &str = "gw-0123456789abcdef0123456789abcdef";

/// Measures both sides.
pub fn rows(options: &Options) -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let count = options.size(EVENTS);
    let frames = Arc::new(frames(count));
    let peer = peer(frames.clone());
    let ours = || {
        let start = Instant::now();
        runtime.block_on(read_by_us(peer, count));
        count as f64 / start.elapsed().as_secs_f64()
    };
    let parted = || {
        let start = Instant::now();
        assert_eq!(part(&frames), count);
        count as f64 / start.elapsed().as_secs_f64()
    };
    let bytes = frames.len() / count;
    let limit = by_turns(ROUNDS, ours, parted);
    vec![
        Row::new(
            "Events read from a socket, against copying and parting",
            format!("{:.0}/s, {bytes} bytes", limit.first),
        )
        .against(format!("{:.0}/s in memory", limit.second), limit.ratio),
    ]
}

/// Logs in, subscribes, and reads a number of events.
async fn read_by_us(peer: SocketAddr, count: usize) {
    let address = Address { host: peer.ip().to_string(), port: peer.port() };
    let mut session = open(&address, &Password::new(SECRET).expect("a password")).await.expect("a session");
    let mut read = 0;
    while read < count {
        let next = tokio::time::timeout(Duration::from_secs(10), session.events.next()).await;
        match next.expect("an event").expect("an open session") {
            Event::Lost(lost) => read += lost as usize,
            event => {
                assert!(matches!(event, Event::GatewayState { gateway, .. } if gateway == GATEWAY));
                read += 1;
            }
        }
    }
}

/// Copies every body, and returns the number of bodies.
fn part(mut frames: &[u8]) -> usize {
    let mut count = 0;
    while let Some(head) = memmem::find(frames, b"\n\n") {
        let length = frames["Content-Length: ".len()..head].iter().take_while(|byte| byte.is_ascii_digit());
        let length = length.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        let (body, rest) = frames[head + 2..].split_at(length);
        std::hint::black_box(body.to_vec());
        (frames, count) = (rest, count + 1);
    }
    count
}

/// Events in the format of FreeSWITCH (switch_event.c, mod_sofia's sofia_reg.c).
fn frames(count: usize) -> Vec<u8> {
    (0..count).fold(Vec::new(), |mut frames, index| {
        let body = serde_json::json!({
            "Event-Name": "CUSTOM", "Core-UUID": "41deaa85-1f02-4739-9c84-fdd9e6a7d569",
            "FreeSWITCH-Hostname": "switch-1", "FreeSWITCH-Switchname": "switch-1",
            "FreeSWITCH-IPv4": "192.0.2.2", "FreeSWITCH-IPv6": "fd00::2",
            "Event-Date-Local": "2026-11-21 00:27:54", "Event-Date-GMT": "Sat, 21 Nov 2026 00:27:54 GMT",
            "Event-Date-Timestamp": "1795220874660840", "Event-Calling-File": "sofia_reg.c",
            "Event-Calling-Function": "sofia_reg_fire_custom_gateway_state_event",
            "Event-Calling-Line-Number": "148", "Event-Sequence": index.to_string(),
            "Event-Subclass": "sofia::gateway_state", "Gateway": GATEWAY, "State": "REGED",
            "Ping-Status": "UP", "Phrase": "OK", "Status": "200",
        })
        .to_string();
        let head = format!("Content-Length: {}\nContent-Type: text/event-json\n\n", body.len());
        frames.extend_from_slice(head.as_bytes());
        frames.extend_from_slice(body.as_bytes());
        frames
    })
}

/// A switch that accepts every login and every command, and sends all its events to each client.
fn peer(frames: Arc<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, frames) = (stream.expect("a connection"), frames.clone());
            // A client that has read all its events closes the connection.
            std::thread::spawn(move || drop(speak(stream, &frames)));
        }
    });
    address
}

fn speak(mut stream: TcpStream, frames: &[u8]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    stream.write_all(b"Content-Type: auth/request\n\n")?;
    loop {
        let mut command = String::new();
        // An empty line ends a command, with a carriage return or without.
        while !command.ends_with("\n\n") && !command.ends_with("\n\r\n") {
            if reader.read_line(&mut command)? == 0 {
                return Ok(());
            }
        }
        stream.write_all(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")?;
        if command.starts_with("event json") {
            stream.write_all(frames)?;
        }
    }
}
