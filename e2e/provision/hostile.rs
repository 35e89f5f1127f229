//! Requests that no phone sends.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::client::{Request, connect, read};
use super::scene::{PASSWORD, Scene, device};

const FILE: &str = "805ec0000001.cfg";

#[tokio::test]
async fn absurd_requests_end_and_phones_are_served_on() {
    let test = "provision::hostile::absurd_requests_end_and_phones_are_served_on";
    let devices = device("acme", "desk", "80:5e:c0:00:00:01", "");
    let Some(scene) = Scene::start(test, &devices, &["--provision-requests-per-minute", "1000"]).await else {
        return;
    };
    let user = scene.user("desk").await;
    let right = Request::get(FILE).basic(&user, PASSWORD).from("192.0.2.1");
    let served = || assert_eq!(right.send(scene.address).status, 200);
    served();
    // Slow clients wait for as long as they like, and nobody waits for them.
    let mut slow: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = connect(scene.address);
            stream.write_all(b"GET /provision/805ec").unwrap();
            stream
        })
        .collect();
    let long = "A".repeat(60_000);
    let heads = [
        format!("GET /provision/{long}.cfg HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /provision/{FILE} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {long}\r\n\r\n"),
        format!(
            "GET /provision/{FILE} HTTP/1.1\r\nhost: x\r\nauthorization: Digest {}\r\n\r\n",
            "a=\"".repeat(9000)
        ),
        format!(
            "GET /provision/{FILE} HTTP/1.1\r\nhost: x\r\nuser-agent: {}\r\n\r\n",
            "\u{ff}00:15:65".repeat(900)
        ),
        format!(
            "GET /provision/{FILE} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {}\r\n\r\n",
            "1.2.3.4,".repeat(5000)
        ),
        format!("GET /provision/{FILE} HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(5000)),
        format!("GET /provision/{FILE} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n"),
        "GET /provision/%00%ff%2e%2e%2f HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "GET http://evil.example/provision/x.cfg HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0".to_owned(),
        "BREW /provision/x.cfg HTCPCP/1.0\r\n\r\n".to_owned(),
    ];
    for head in heads {
        let mut stream = connect(scene.address);
        let _ = stream.write_all(head.as_bytes());
        let answer = read(&mut stream, false);
        let start = &head[..head.len().min(60)];
        assert!(
            answer
                .is_none_or(|answer| (400..500).contains(&answer.status) && !answer.body.contains(PASSWORD)),
            "{start}"
        );
    }
    // HTTP/1.0, and a connection that is used again.
    let mut stream = connect(scene.address);
    stream.write_all(right.text().replace("HTTP/1.1", "HTTP/1.0").as_bytes()).unwrap();
    let answer = read(&mut stream, false).unwrap();
    assert!(
        answer.status == 200
            && answer.header("content-length").is_some()
            && answer.header("transfer-encoding").is_none()
    );
    let mut stream = connect(scene.address);
    assert_eq!([0; 3].map(|_| right.over(&mut stream).status), [200; 3]);
    // An upload of a gigabyte: refused, and not read to its end.
    let mut stream = connect(scene.address);
    stream
        .write_all(
            b"PUT /provision/805ec0000001-app.log HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n",
        )
        .unwrap();
    let started = Instant::now();
    let chunk = vec![b'x'; 1 << 20];
    while started.elapsed() < Duration::from_secs(30) && stream.write_all(&chunk).is_ok() {}
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    served();
    // What a phone calls itself is text, and at most 200 characters of it.
    let agent = format!("Yealink'); DROP TABLE public.phones; -- {}", "x".repeat(3000));
    assert_eq!(right.clone().with("user-agent", &agent).send(scene.address).status, 200);
    let mut admin = scene.database.admin().await;
    crate::wait::until(crate::wait::DEADLINE, || {
        std::thread::sleep(Duration::from_millis(100));
        (scene.counted("yealink", "served") >= 6.0).then_some(())
    });
    scene.history("desk", 6).await;
    let longest: i32 = sqlx::query_scalar("SELECT max(length(user_agent)) FROM public.phone_fetches")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(longest, 200);
    let mut rest = Vec::new();
    let ended = slow.iter_mut().all(|stream| stream.read_to_end(&mut rest).is_ok());
    assert!(ended && started.elapsed() < Duration::from_secs(60), "slow clients are closed");
}
