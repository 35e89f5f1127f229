//! Malformed requests to the real program: refused and counted, while others are answered as usual.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::postgres::Database;
use crate::program::{Setting, recorded, url};

/// A recorded request with a text replaced.
fn changed(from: &str, to: &str) -> Vec<u8> {
    let request = String::from_utf8(recorded("acme-register-1001")).unwrap();
    assert!(request.contains(from), "{request}");
    request.replacen(from, to, 1).into_bytes()
}

#[tokio::test]
async fn malformed_requests_are_refused_and_delay_no_other_request() {
    let Some(database) = Database::alone("bad input: requests").await else { return };
    let setting = Setting::samples();
    let program = setting.start_ready(&["--database-url", &url(&database)]);
    let right = program.answer("acme-register-1001");
    let authorization = "Authorization: Basic ZnJlZXN3aXRjaDpkZW1vLW9ubHk=\r\n";
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        (
            "wrong password",
            changed(authorization, "Authorization: Basic ZnJlZXN3aXRjaDp3cm9uZw==\r\n"),
            401,
            "user name or password",
        ),
        ("no credentials", changed(authorization, ""), 401, "user name or password"),
        (
            "unknown section",
            changed("/freeswitch/directory", "/freeswitch/languages"),
            404,
            "nothing is served here",
        ),
        ("no section", changed("/freeswitch/directory", "/"), 404, "nothing is served here"),
        (
            "wrong type",
            changed("application/x-www-form-urlencoded", "application/json"),
            415,
            "application/x-www-form-urlencoded",
        ),
        ("wrong method", changed("POST ", "PUT "), 405, "posted"),
        (
            "10 MB",
            [changed("Content-Length: 1179", "Content-Length: 10485760"), vec![b'a'; 10_485_760 - 1179]]
                .concat(),
            413,
            "1 MiB",
        ),
        ("10 MB, announced only", changed("Content-Length: 1179", "Content-Length: -1"), 400, ""),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".to_vec(), 400, ""),
        ("a long head", changed("Accept: */*", &format!("Accept: {}", "a".repeat(1 << 20))), 431, ""),
    ];
    for (what, request, status, part) in &cases {
        let (answered, body) = program.send(request);
        assert_eq!(answered, *status, "{what}: {body}");
        assert!(body.contains(part) && !body.contains("a1-hash"), "{what}: {body}");
    }

    // Incomplete requests, left open: others are answered meanwhile, and the incomplete ones time out.
    let whole = recorded("acme-register-1001");
    let mut halves = Vec::new();
    for length in [4, 150, whole.len() - 1] {
        let mut stream = program.connect();
        stream.write_all(&whole[..length]).unwrap();
        halves.push(stream);
    }
    let start = Instant::now();
    assert_eq!(program.answer("acme-register-1001"), right);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for mut stream in halves {
        let mut rest = String::new();
        let _ = stream.read_to_string(&mut rest); // reset or closed: the connection ends
        assert!(!rest.contains("a1-hash"), "{rest}");
    }

    let metrics = program.get("/metrics").1;
    assert!(metrics.contains(r#"{section="directory",result="unauthorized"} 2"#), "{metrics}");
    assert_eq!(program.answer("acme-register-1001"), right);
    let (status, log) = program.end("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
