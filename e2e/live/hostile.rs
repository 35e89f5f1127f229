//! Servers in place of FreeSWITCH's event socket that misbehave: no session with them hangs, grows without
//! bound or is abandoned, and one that recovers is served.

use std::time::{Duration, Instant};

use centrex::freeswitch::esl::{Address, Api, EslError, Event, Password, Session, open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than any step here takes.
const PATIENCE: Duration = Duration::from_secs(20);

const GREETING: &str = "Content-Type: auth/request\n\n";
const ACCEPTED: &str = "Content-Type: command/reply\nReply-Text: +OK accepted\n\n";
const OK: &str = "Content-Type: command/reply\nReply-Text: +OK event listener enabled json\n\n";

async fn listener() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (listener, address)
}

fn password() -> Password {
    Password::new("secret").unwrap()
}

async fn says(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Reads one command, up to its empty line.
pub(super) async fn hears(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\n\n") {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(text).unwrap()
}

/// Accepts a login.
async fn logs_in(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    says(&mut stream, GREETING).await;
    assert_eq!(hears(&mut stream).await, "auth secret\n\n");
    says(&mut stream, ACCEPTED).await;
    stream
}

/// A session, and the server's ends of both connections: commands and events.
pub(super) async fn session() -> (Session, TcpStream, TcpStream) {
    let (listener, address) = listener().await;
    let peer = tokio::spawn(async move {
        let commands = logs_in(&listener).await;
        let mut events = logs_in(&listener).await;
        let subscription = hears(&mut events).await;
        assert!(subscription.starts_with("event json "), "{subscription}");
        assert!(subscription.contains("HEARTBEAT CUSTOM sofia::gateway_state"), "{subscription}");
        says(&mut events, OK).await;
        (commands, events)
    });
    let session = open(&address, &password()).await.unwrap();
    let (commands, events) = peer.await.unwrap();
    (session, commands, events)
}

pub(super) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("no result in time")
}

pub(super) fn event(body: &str) -> String {
    format!("Content-Length: {}\nContent-Type: text/event-json\n\n{body}", body.len())
}

pub(super) fn heartbeat(sessions: usize) -> String {
    event(&format!(r#"{{"Event-Name":"HEARTBEAT","Session-Count":"{sessions}"}}"#))
}

pub(super) fn answer(body: &str) -> String {
    format!("Content-Type: api/response\nContent-Length: {}\n\n{body}", body.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_event_socket_is_refused_at_once() {
    let greetings: [&[u8]; 6] = [
        b"",
        b"\xff\xfe\x00garbage without an end",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"Content-Type: auth/requ",
        b"Content-Type: auth/request\nContent-Length: 2147483647\n\nx",
        b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n",
    ];
    for greeting in greetings {
        let (listener, address) = listener().await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(greeting).await;
                // The server keeps the connection open, and sends nothing more.
                tokio::spawn(async move { while stream.read_u8().await.is_ok() {} });
            }
        });
        let start = Instant::now();
        let error = in_time(open(&address, &password())).await.unwrap_err();
        let category = error.category();
        assert!(matches!(category, "unreachable" | "refused"), "{greeting:?}: {error}");
        assert!(start.elapsed() < Duration::from_secs(10), "{greeting:?}: {:?}", start.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_has_its_own_error_and_is_never_logged() {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        says(&mut stream, GREETING).await;
        hears(&mut stream).await;
        says(&mut stream, "Content-Type: command/reply\nReply-Text: -ERR invalid\n\n").await;
    });
    let error = in_time(open(&address, &password())).await.unwrap_err();
    assert!(matches!(error, EslError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_frame_is_awaited_and_a_disconnection_ends_the_session() {
    let (mut session, mut commands, mut events) = session().await;
    let peer = tokio::spawn(async move {
        assert_eq!(hears(&mut commands).await, "api version short\n\n");
        for part in answer("1.11.2-release\n").as_bytes().chunks(3) {
            commands.write_all(part).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        hears(&mut commands).await;
        says(&mut commands, "Content-Type: api/response\nContent-Length: 100\n\nhalf").await;
        drop(commands);
        for part in heartbeat(3).as_bytes().chunks(5) {
            events.write_all(part).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        events
    });
    let version = in_time(session.client.api(Api::Version)).await.unwrap();
    assert_eq!(version.trim(), "1.11.2-release");
    let error = in_time(session.client.api(Api::Gateways)).await.unwrap_err();
    assert!(matches!(error, EslError::Closed), "{error}");
    // The session ends with its command connection, though events may still arrive.
    let _events = peer.await.unwrap();
    in_time(async { while session.events.next().await.is_some() {} }).await;
    let error = in_time(session.client.api(Api::Version)).await.unwrap_err();
    assert!(matches!(error, EslError::Closed), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_reply_ends_the_session() {
    let (session, mut commands, _events) = session().await;
    tokio::spawn(async move {
        hears(&mut commands).await;
        says(&mut commands, "Content-Type: api/response\nContent-Length: 4000000000\n\n").await;
        let part = vec![b'x'; 1 << 16];
        while commands.write_all(&part).await.is_ok() {}
    });
    let error = in_time(session.client.api(Api::Channels)).await.unwrap_err();
    assert!(error.ends_session(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_command_does_not_shift_later_replies() {
    let (session, mut commands, _events) = session().await;
    let first = tokio::time::timeout(Duration::from_millis(50), session.client.api(Api::Queues));
    assert!(first.await.is_err());
    let peer = tokio::spawn(async move {
        hears(&mut commands).await;
        says(&mut commands, &answer("of the first")).await;
        hears(&mut commands).await;
        says(&mut commands, &answer("of the second")).await;
        commands
    });
    assert_eq!(in_time(session.client.api(Api::Agents)).await.unwrap(), "of the second");
    peer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_events_is_queued_up_to_a_bound_and_the_rest_counted() {
    const EVENTS: usize = 1_000_000;
    let (mut session, _commands, mut events) = session().await;
    let peer = tokio::spawn(async move {
        let many = heartbeat(1).repeat(1000);
        for _ in 0..EVENTS / 1000 {
            events.write_all(many.as_bytes()).await.unwrap();
        }
        says(&mut events, &heartbeat(7)).await;
        events
    });
    // No task receives events meanwhile.
    let mut events =
        tokio::time::timeout(Duration::from_secs(120), peer).await.expect("no result in time").unwrap();
    let (mut taken, mut lost) = (0, 0);
    let count = async {
        while taken + lost < EVENTS {
            match session.events.next().await {
                Some(Event::Lost(events)) => lost += usize::try_from(events).unwrap(),
                Some(_) => taken += 1,
                None => panic!("the session ended after {taken} and {lost} lost"),
            }
            if taken + lost >= EVENTS - 20_000 {
                // A heartbeat wakes the waiting task.
                says(&mut events, &heartbeat(7)).await;
            }
        }
    };
    in_time(count).await;
    assert!(lost > EVENTS / 2, "{taken} taken, {lost} lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_events_are_skipped() {
    let (mut session, _commands, mut events) = session().await;
    for hostile in [
        "{}",
        "not json",
        r#"{"Event-Name":"HEARTBEAT"}"#,
        r#"{"Event-Name":"HEARTBEAT","Session-Count":"-1"}"#,
        r#"{"Event-Name":"CUSTOM","Event-Subclass":"sofia::gateway_state","Gateway":"x"}"#,
    ] {
        says(&mut events, &event(hostile)).await;
    }
    let long = "g".repeat(100_000);
    let state = |name: &str| {
        event(&format!(
            r#"{{"Event-Name":"CUSTOM","Event-Subclass":"sofia::gateway_state","Gateway":"{name}","State":"REGED","Ping-Status":"UP"}}"#
        ))
    };
    says(&mut events, &state(&long)).await;
    says(&mut events, &state("gw-1")).await;
    let expected = Event::GatewayState { gateway: "gw-1".into(), state: "REGED".into(), up: true };
    assert_eq!(in_time(session.events.next()).await, Some(expected));
}
