//! The listener: valid requests, and those that it refuses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use centrex::freeswitch::listener::bind;
use centrex::freeswitch::xml::Answers;
use centrex::replica::tenants::Replica;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{AUTHORIZATION, Lacks, Listener, post, read};
use super::sample::{self, sample_answers};

const USER: &str =
    "section=directory&tag_name=domain&key_name=name&key_value=tenant-a.test&user=100&domain=tenant-a.test";

async fn listener() -> Listener {
    Listener::start(sample_answers()).await
}

fn with_header(line: &str, replacement: &str) -> Vec<u8> {
    let request = String::from_utf8(post("directory", USER)).unwrap();
    assert!(request.contains(line));
    request.replace(line, replacement).into_bytes()
}

#[tokio::test]
async fn a_lookup_is_answered_and_the_connection_kept() {
    let listener = listener().await;
    let mut stream = TcpStream::connect(listener.address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(&post("directory", USER)).await.unwrap();
        let reply = read(&mut stream).await;
        assert!(reply.head.contains("content-type: text/xml"), "{reply:?}");
        assert_eq!(reply.document().one("user").attribute("id"), Some("100"));
    }
}

#[tokio::test]
async fn wrong_or_missing_credentials_are_refused_and_counted() {
    let listener = listener().await;
    for authorization in [
        "",
        "Authorization: Basic ZnM6d3Jvbmc=\r\n",
        "Authorization: Basic\r\n",
        "Authorization: Bearer ZnM6c2VjcmV0\r\n",
    ] {
        let reply = listener.send(&with_header(AUTHORIZATION, authorization)).await;
        assert_eq!(reply.status, 401, "{authorization}");
        assert!(reply.head.contains("www-authenticate: Basic"));
        assert!(!reply.body.contains("tenant"));
    }
    let metrics = listener.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.body;
    let line = r#"centrex_xml_requests_total{section="directory",result="unauthorized"} 4"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_user_agent_is_no_credential() {
    let listener = listener().await;
    let reply = listener.send(&with_header(AUTHORIZATION, "User-Agent: freeswitch-xml/1.0\r\n")).await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn a_wrong_content_type_is_refused() {
    let listener = listener().await;
    let line = "Content-Type: application/x-www-form-urlencoded\r\n";
    for wrong in ["", "Content-Type: text/xml\r\n", "Content-Type: application/x-www-form-urlencodedx\r\n"] {
        assert_eq!(listener.send(&with_header(line, wrong)).await.status, 415, "{wrong}");
    }
    let with_parameter = "content-type: Application/X-WWW-Form-Urlencoded; charset=utf-8\r\n";
    assert_eq!(listener.send(&with_header(line, with_parameter)).await.status, 200);
}

#[tokio::test]
async fn an_unknown_section_or_method_is_refused() {
    let listener = listener().await;
    for section in ["languages", "phrases", "channels", "", "directory/", "Directory", "../directory"] {
        assert_eq!(listener.lookup(section, USER).await.status, 404, "{section}");
    }
    let get = with_header("POST", "GET");
    assert_eq!(listener.send(&get).await.status, 405);
    assert_eq!(
        listener.send(b"POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await.status,
        405
    );
}

#[tokio::test]
async fn a_section_field_that_differs_from_the_path_is_not_found() {
    let listener = listener().await;
    for section in ["dialplan", "configuration", "chatplan"] {
        assert!(listener.lookup(section, USER).await.document().is_not_found(), "{section}");
    }
}

#[tokio::test]
async fn a_client_that_sends_10_megabytes_gets_to_read_the_refusal() {
    let listener = listener().await;
    let body = format!("{USER}&x={}", "a".repeat(10 << 20));
    assert_eq!(listener.lookup("directory", &body).await.status, 413);
    // The same without `Content-Length`.
    let mut chunked =
        with_header(&format!("Content-Length: {}\r\n", USER.len()), "Transfer-Encoding: chunked\r\n");
    chunked.truncate(chunked.len() - USER.len());
    for _ in 0..160 {
        chunked.extend_from_slice(format!("10000\r\n{}\r\n", "a".repeat(0x10000)).as_bytes());
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(listener.send(&chunked).await.status, 413);
}

#[tokio::test]
async fn a_body_just_within_the_limit_is_answered() {
    let listener = listener().await;
    let body = format!("x={}&{USER}", "&".repeat((1 << 20) - USER.len() - 3));
    assert_eq!(body.len(), centrex::http::body::MAX_BODY_BYTES);
    assert_eq!(listener.lookup("directory", &body).await.document().all("user").len(), 1);
}

#[tokio::test]
async fn an_incomplete_request_times_out_and_delays_no_other_request() {
    let listener = listener().await;
    let request = post("directory", USER);
    let mut halves = Vec::new();
    for length in [5, 100, request.len() - 10] {
        let mut stream = TcpStream::connect(listener.address).await.unwrap();
        stream.write_all(&request[..length]).await.unwrap();
        halves.push(stream);
    }
    let started = std::time::Instant::now();
    assert_eq!(listener.lookup("directory", USER).await.status, 200);
    assert!(started.elapsed() < Duration::from_secs(1), "others do not wait");
    let body_missing = read(&mut halves.pop().unwrap()).await;
    assert_eq!(body_missing.status, 408);
    for mut stream in halves {
        // The connection ends, with or without an answer.
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
        tokio::time::timeout(Duration::from_secs(15), read).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_aborted_request_disturbs_no_other_request() {
    let listener = listener().await;
    let request = post("directory", USER);
    for length in [5, 100, request.len() - 10] {
        let mut stream = TcpStream::connect(listener.address).await.unwrap();
        stream.write_all(&request[..length]).await.unwrap();
    }
    assert_eq!(listener.lookup("directory", USER).await.status, 200);
}

#[tokio::test]
async fn names_that_are_not_utf8_are_not_found() {
    let listener = listener().await;
    for user in ["%ff%fe", "\u{fffd}", "%00", "100%00", "100%0a", "%", "&&&==", "100%20"] {
        let form = USER.replace("user=100", &format!("user={user}"));
        let reply = listener.lookup("directory", &form).await;
        let answer = reply.document();
        assert!(answer.is_not_found() || user == "&&&==", "{user}: {answer:?}");
    }
}

#[tokio::test]
async fn lookups_fail_instead_of_missing_before_anything_is_loaded() {
    let loaded = sample_answers();
    let empty = Arc::new(Answers {
        replica: Arc::new(Replica::default()),
        key: loaded.key.clone(),
        media: loaded.media.clone(),
        templates: centrex::freeswitch::xml::templates::Templates::built_in().unwrap(),
        running: Default::default(),
        emergencies: Default::default(),
    });
    let listener = Listener::start_with(empty.clone(), Lacks(&["tenants are not loaded"])).await;
    assert_eq!(listener.lookup("directory", USER).await.status, 503);
    empty.replica.put_platform(1, sample::platform());
    assert!(listener.lookup("directory", USER).await.document().is_not_found());
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let lacking = Listener::start_with(sample_answers(), Lacks(&["tenant test/a is not stored"])).await;
    let reply = lacking.send(&get("/readyz")).await;
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("tenant test/a is not stored"));
    assert_eq!(lacking.send(&get("/healthz")).await.status, 200);
    assert_eq!(listener().await.send(&get("/readyz")).await.status, 200);
}

#[tokio::test]
async fn metrics_count_by_section_and_result_and_show_the_replica() {
    let listener = listener().await;
    listener.lookup("directory", USER).await;
    listener.lookup("directory", &USER.replace("100", "999")).await;
    let metrics = listener.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.body;
    for line in [
        r#"centrex_xml_requests_total{section="directory",result="found"} 1"#,
        r#"centrex_xml_requests_total{section="directory",result="not_found"} 1"#,
        r#"centrex_xml_requests_total{section="dialplan",result="found"} 0"#,
        r#"centrex_xml_request_duration_seconds_count{section="directory"} 2"#,
        "centrex_replica_tenants 3",
        "centrex_replica_platform_revision 1",
        "centrex_replica_age_seconds 3",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("tenant-a") && !metrics.contains("100"), "no names in labels");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let listener = listener().await;
    let error = bind(listener.address, None).await.unwrap_err().to_string();
    assert!(error.contains("--xml-listen") && error.contains("taken"), "{error}");
    assert!(error.contains(&listener.address.to_string()), "{error}");
}

#[tokio::test]
async fn without_credentials_only_loopback_is_bound() {
    let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let error = bind(anywhere, None).await.unwrap_err().to_string();
    assert!(error.contains("--xml-username"), "{error}");
}
