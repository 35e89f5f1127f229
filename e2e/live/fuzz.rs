//! Bytes of an event socket, split anywhere and damaged anywhere: complete messages are parsed alike, and
//! every session ends without a panic.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use centrex::freeswitch::esl::{Api, Event};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::hostile::{answer, event, hears, heartbeat, in_time, session};

/// The last event of a stream: when it arrives, no event is missing.
const LAST: u32 = 424_242;

/// A message of a switch.
#[derive(Clone, Debug)]
enum Reported {
    Heartbeat(u16),
    Gateway(String, bool),
    Profile(String),
    /// An unsolicited event.
    Other(String),
    /// A complete frame whose body is no event.
    Broken(String),
}

impl Reported {
    fn bytes(&self) -> String {
        let custom = |subclass: &str, fields: serde_json::Value| {
            let mut body = json!({"Event-Name": "CUSTOM", "Event-Subclass": subclass});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            event(&body.to_string())
        };
        match self {
            Self::Heartbeat(sessions) => heartbeat((*sessions).into()),
            Self::Gateway(name, up) => custom(
                "sofia::gateway_state",
                json!({"Gateway": name, "State": "REGED", "Ping-Status": if *up { "UP" } else { "DOWN" }}),
            ),
            Self::Profile(name) => custom("sofia::profile_start", json!({"profile_name": name})),
            Self::Other(text) => custom("sofia::expire", json!({"user": text, "_body": text})),
            Self::Broken(text) => event(&format!("{{{text}")),
        }
    }

    fn event(&self) -> Option<Event> {
        match self {
            Self::Heartbeat(sessions) => Some(Event::Heartbeat { sessions: (*sessions).into() }),
            Self::Gateway(gateway, up) => {
                Some(Event::GatewayState { gateway: gateway.clone(), state: "REGED".to_owned(), up: *up })
            }
            Self::Profile(profile) => Some(Event::ProfileStarted { profile: profile.clone() }),
            Self::Other(_) | Self::Broken(_) => None,
        }
    }
}

/// The texts include some that look like framing.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{1,12}",
        "\\PC{1,40}",
        Just("a\n\nContent-Length: 9\nContent-Type: text/event-json\n\n{}".to_owned()),
        Just("Content-Type: text/disconnect-notice\n\n".to_owned()),
    ]
}

fn told() -> impl Strategy<Value = Vec<Reported>> {
    let one = prop_oneof![
        any::<u16>().prop_map(Reported::Heartbeat),
        (text(), any::<bool>()).prop_map(|(name, up)| Reported::Gateway(name, up)),
        text().prop_map(Reported::Profile),
        text().prop_map(Reported::Other),
        text().prop_map(Reported::Broken),
    ];
    prop::collection::vec(one, 0..12)
}

/// Writes bytes in parts that end at these offsets.
async fn write(stream: &mut TcpStream, bytes: &[u8], cuts: &[prop::sample::Index]) {
    let _ = stream.set_nodelay(true);
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut from = 0;
    for end in ends {
        // The client may have closed the connection.
        if stream.write_all(&bytes[from..end]).await.is_err() {
            return;
        }
        from = end;
        tokio::time::sleep(std::time::Duration::from_micros(200)).await;
    }
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..20)
}

/// Runs a property, and panics if one of its tasks does.
fn holds<S: Strategy>(strategy: S, case: impl AsyncFn(S::Value))
where
    S::Value: Clone + std::fmt::Debug,
{
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.location().is_some_and(|at| at.file().contains("esl")) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            before(info);
        }));
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    let ran = TestRunner::new(config).run(&strategy, |drawn| {
        runtime.block_on(in_time(case(drawn)));
        prop_assert_eq!(PANICS.load(Ordering::Relaxed), 0);
        Ok(())
    });
    ran.unwrap();
}

#[test]
fn messages_are_parsed_alike_however_the_stream_is_split() {
    holds((told(), text(), cuts(), cuts()), async |(told, body, cut, other)| {
        let (mut session, mut commands, mut events) = session().await;
        let mut stream: String = told.iter().map(Reported::bytes).collect();
        stream.push_str(&heartbeat(LAST as usize));
        let body = format!("+OK {body}\n");
        let asking = async {
            let mut read = Vec::new();
            loop {
                match session.events.next().await.expect("an open stream") {
                    Event::Heartbeat { sessions: LAST } => return read,
                    event => read.push(event),
                }
            }
        };
        let client = session.client.clone();
        let peer = async {
            hears(&mut commands).await;
            write(&mut commands, answer(&body).as_bytes(), &other).await;
        };
        let (read, answered, (), ()) =
            tokio::join!(asking, client.api(Api::Version), peer, write(&mut events, stream.as_bytes(), &cut));
        let expected: Vec<Event> = told.iter().filter_map(Reported::event).collect();
        assert_eq!(read, expected);
        assert_eq!(answered.unwrap(), body);
    });
}

#[test]
fn damaged_input_ends_the_session_after_the_complete_messages_before_it() {
    let damage = prop::collection::vec(any::<u8>(), 0..200);
    holds((told(), damage, any::<prop::sample::Index>(), cuts()), async |(told, damage, at, cut)| {
        let (mut session, mut commands, mut events) = session().await;
        let mut stream: Vec<u8> = told.iter().map(Reported::bytes).collect::<String>().into_bytes();
        let whole = at.index(stream.len() + 1);
        stream.truncate(whole);
        stream.extend(&damage);
        let answer: Vec<u8> = answer("+OK\n").bytes().take(at.index(40)).chain(damage).collect();
        let client = session.client.clone();
        let peer = async {
            write(&mut events, &stream, &cut).await;
            drop(events);
            hears(&mut commands).await;
            write(&mut commands, &answer, &cut).await;
            drop(commands);
        };
        let read = async {
            let mut read = Vec::new();
            while let Some(event) = session.events.next().await {
                read.push(event);
            }
            read
        };
        // Any result is right, as long as there is one.
        let (read, _, ()) = tokio::join!(read, client.api(Api::Version), peer);
        let mut expected = Vec::new();
        let mut length = 0;
        for told in &told {
            length += told.bytes().len();
            if length > whole {
                break;
            }
            expected.extend(told.event());
        }
        assert!(
            read.len() >= expected.len() && read[..expected.len()] == expected[..],
            "{read:?} {expected:?}"
        );
    });
}
