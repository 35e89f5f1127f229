//! Requests that are no posts, and hostile documents: refused or quarantined, counted, and without effect on
//! other requests.

use std::io::Write;
use std::time::{Duration, Instant};

use centrex::store::tenant_schema;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{Scene, encoded, metric, post, request, request_of};

const LEG: Uuid = Uuid::from_u128(0xa);

fn changed(request: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(request.to_vec()).unwrap();
    assert!(text.contains(from), "{text}");
    text.replacen(from, to, 1).into_bytes()
}

#[tokio::test]
async fn requests_other_than_posts_are_refused() {
    let Some(mut scene) = Scene::start("cdr: bad posts").await else { return };
    let switch = scene.switch("one", &[]);
    let good = request(scene.document("bridged-a-leg.xml", scene.a, LEG).as_bytes());
    let right = "Authorization: Basic ZnJlZXN3aXRjaDpkZW1vLW9ubHk=\r\n";
    let length = format!("Content-Length: {}", good.len() - super::find(&good, b"\r\n\r\n").unwrap() - 4);
    let gzip = "Content-Encoding: gzip\r\nAuthorization";
    let huge = [changed(&good, &length, "Content-Length: 104857600"), vec![b'x'; 1 << 20]].concat();
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        (
            "wrong password",
            changed(&good, right, "Authorization: Basic ZnJlZXN3aXRjaDp4\r\n"),
            401,
            "user name or password",
        ),
        ("no credentials", changed(&good, right, ""), 401, "user name or password"),
        ("wrong method", changed(&good, "POST", "PUT"), 405, "posted"),
        ("no type", changed(&good, "Content-Type: text/xml\r\n", ""), 415, "Content-Type must be text/xml"),
        ("JSON", changed(&good, "text/xml", "application/json"), 415, "Content-Type must be text/xml"),
        ("gzip", changed(&good, "Authorization", gzip), 415, "Content-Encoding is not supported"),
        ("nothing", request(b""), 400, "empty"),
        ("2 MB", request(&vec![b'x'; 2 << 20]), 413, "1 MiB"),
        ("another place", changed(&good, "/freeswitch/cdr", "/freeswitch/cdrs"), 404, ""),
    ];
    for (what, request, status, part) in &cases {
        let (answered, body) = switch.send(request);
        assert_eq!(answered, *status, "{what}: {body}");
        assert!(body.contains(part), "{what}: {body}");
    }
    // 100 MB of which only a part arrives: the connection ends, and the server buffers nothing.
    let mut stream = switch.connect();
    let _ = stream.write_all(&huge);
    drop(stream);
    // An aborted post was never acknowledged.
    let mut stream = switch.connect();
    stream.write_all(&good[..good.len() - 100]).unwrap();
    drop(stream);
    assert!(metric(&switch, "centrex_cdrs_total{result=\"refused\"}") >= 8.0);
    post(&switch, std::str::from_utf8(&good[super::find(&good, b"<?xml").unwrap()..]).unwrap());
    scene.counts(scene.a, 1).await;
    assert_eq!(scene.reasons().await, [""; 0]);
    assert!(!switch.log().contains("panicked"), "{}", switch.log());
}

#[tokio::test]
async fn a_body_of_100_megabytes_is_refused_without_being_buffered() {
    let Some(scene) = Scene::start("cdr: 100 MB").await else { return };
    let switch = scene.switch("one", &[]);
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", switch.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = memory();
    let mut stream = switch.connect();
    let head = String::from_utf8(request(b"")).unwrap();
    stream.write_all(head.replace("Content-Length: 0", "Content-Length: 104857600").as_bytes()).unwrap();
    let part = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        if stream.write_all(&part).is_err() {
            break; // the server need not read the whole body
        }
    }
    assert!(memory() < before + (24 << 10), "{} kB, {before} before", memory());
    assert_eq!(switch.get("/healthz").0, 200);
}

#[tokio::test]
async fn unparsable_documents_are_quarantined_with_a_reason() {
    let Some(mut scene) = Scene::start("cdr: hostile documents").await else { return };
    let switch = scene.switch("one", &[]);
    let good = scene.document("bridged-a-leg.xml", scene.a, LEG);
    let bomb = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE cdr [<!ENTITY a \"aaaaaaaaaa\">{}]>{}",
        (1..12u8)
            .map(|n| format!(
                "<!ENTITY {} \"{}\">",
                char::from(b'a' + n),
                format!("&{};", char::from(b'a' + n - 1)).repeat(10)
            ))
            .collect::<String>(),
        good.split_once("?>").unwrap().1.replace("<variables>", "<variables><boom>&l;</boom>")
    );
    let external = good.replace("<cdr ", "<!DOCTYPE cdr [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><cdr ");
    let start = Instant::now();
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("entity bomb", "text/xml", bomb.into_bytes()),
        ("external entity", "text/xml", external.into_bytes()),
        ("broken off", "text/xml", good.as_bytes()[..good.len() / 2].to_vec()),
        (
            "encoded twice",
            "application/x-www-form-urlencoded",
            format!("cdr={}", encoded(&encoded(&good))).into_bytes(),
        ),
        ("half base64", "application/x-www-form-base64-encoded", b"cdr=PD94bWwgdmV=c2".to_vec()),
        ("gzip, broken off", "text/xml", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48".to_vec()),
        ("binary", "text/xml", (0..=255).cycle().take(100_000).collect()),
        ("NULs", "application/x-www-form-plaintext", vec![0; 1000]),
        ("deep", "text/xml", "<cdr>".repeat(200_000).into_bytes()),
        ("another document", "text/xml", b"<html><body>hello</body></html>".to_vec()),
        ("no uuid", "text/xml", good.replace("uuid>", "uid>").into_bytes()),
        (
            "no start",
            "text/xml",
            good.replace("start_uepoch>", "x>").replace("created_time>", "x>").into_bytes(),
        ),
    ];
    let count = i64::try_from(cases.len()).unwrap();
    for (what, kind, body) in cases {
        assert_eq!(switch.send(&request_of(kind, &body)), (200, "kept\n".to_owned()), "{what}");
    }
    scene.becomes("SELECT count(*) FROM public.cdr_quarantine", count).await;
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let reasons = scene.reasons().await;
    assert_eq!(reasons.iter().filter(|reason| *reason == "incomplete").count(), 2, "{reasons:?}");
    assert_eq!(reasons.iter().filter(|reason| *reason == "unreadable").count(), 10, "{reasons:?}");
    assert_eq!(metric(&switch, "centrex_cdrs_quarantined_total{reason=\"unreadable\"}"), 10.0);
    assert_eq!(scene.count(scene.a).await, 0);
    assert!(!switch.log().contains("panicked"), "{}", switch.log());
}

#[tokio::test]
async fn text_that_callers_send_is_stored_unchanged() {
    let Some(mut scene) = Scene::start("cdr: hostile callers").await else { return };
    let switch = scene.switch("one", &[]);
    let document = scene.document("bridged-a-leg.xml", scene.a, LEG);
    let (_, rest) = document.split_once("<caller_id_name>").unwrap();
    let old = format!("<caller_id_name>{}</caller_id_name>", rest.split_once('<').unwrap().0);
    let names = [
        "\"A\" <sip:x>",
        "AT&T",
        "</caller_id_name><tenant_id>b</tenant_id>",
        "Robert'); DROP TABLE cdrs; --",
        "%3Cb%3E 100% &amp;",
        "${system(id)}",
        "\\u0000 {\"uuid\": null}",
        "\u{202e}ü 電話 🤙",
    ];
    for (leg, name) in (1..).zip(names) {
        let escaped =
            name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let new = format!("<caller_id_name>{escaped}</caller_id_name>");
        let document =
            document.replace(&old, &new).replace(&LEG.to_string(), &Uuid::from_u128(leg).to_string());
        let body = format!("cdr={}", encoded(&document));
        let answer = switch.send(&request_of("application/x-www-form-urlencoded", body.as_bytes()));
        assert_eq!(answer.0, 200, "{name}");
    }
    scene.counts(scene.a, names.len().try_into().unwrap()).await;
    let sql = format!("SELECT caller_name FROM {}.cdrs ORDER BY uuid", tenant_schema(scene.a));
    let found: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut scene.admin).await.unwrap();
    assert_eq!(found, names);
    assert_eq!(scene.reasons().await, [""; 0]);
}
