//! 10,000 phones of one tenant read their configuration again after one change, through a real FreeSWITCH: how the
//! requests to do so are spread, and what a change elsewhere waits for meanwhile.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use centrex::compile;
use centrex::local_postgres::LocalError;
use centrex::source::ResourceIndex;
use centrex::source::folder::Folder;
use md5::{Digest, Md5};
use sqlx::{ConnectOptions, PgConnection};

use crate::Options;
use crate::freeswitch::{binary, memory_folder};
use crate::load::{PASSWORD as XML_PASSWORD, USERNAME, bodies};
use crate::manifests;
use crate::peers::free_port;
use crate::peers::switch::{ESL_PASSWORD, Switch};
use crate::report::Row;
use crate::size::{MOST_MS, changes, reachable_folder, start_postgres};
use crate::standalone::Standalone;
use crate::turns::percentile;

const TOLD: &str = "Phones told of another time zone, of 10,000 registered";
const ELSEWHERE: &str = "Manifest changed elsewhere meanwhile → new answer, p99";
const PHONES: usize = 10_000;
/// Other tenants.
const TENANTS: usize = 100;
/// One of each other tenant at most.
const CHANGES: usize = 100;
/// How long phones are watched.
const WATCHED: Duration = Duration::from_secs(60);
/// Most that are told within a second.
const MOST_A_SECOND: usize = 25;
/// Registrations that are under way at one time.
const AT_ONCE: usize = 30;
const PATIENCE: Duration = Duration::from_secs(300);
const DOMAIN: &str = "big.example.com";
const SIP_PASSWORD: &str = "Sip0Password0Of0Phones";
const PROVISIONING_PASSWORD: &str = "Provision0Password1";

/// Runs the measurement if FreeSWITCH and Postgres are installed.
pub fn rows(options: &Options) -> Vec<Row> {
    let Some(binary) = binary() else {
        let why = "FreeSWITCH is not installed (FREESWITCH_PREFIX names its prefix)";
        return vec![Row::skipped(TOLD, why), Row::skipped(ELSEWHERE, why)];
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(options, &binary))
}

/// A phone: its SIP user, and its request for its file.
struct Phone {
    user: String,
    request: Vec<u8>,
}

async fn measure(options: &Options, binary: &Path) -> Vec<Row> {
    let folder = reachable_folder();
    let postgres = match start_postgres(folder.path()).await {
        Ok(postgres) => postgres,
        Err(error @ LocalError::Binaries) => return vec![Row::skipped(TOLD, error.to_string())],
        Err(error) => panic!("{error}"),
    };
    let (manifests, data) = (folder.path().join("manifests"), folder.path().join("data"));
    std::fs::create_dir(&data).expect("a data directory");
    let port = || free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (sip, esl, provision) = (port(), port(), port());
    manifests::write(&manifests, TENANTS, &manifests::platform(sip, port()));
    let count = options.size(PHONES);
    std::fs::write(manifests.join("big.yaml"), tenant("Europe/Berlin")).expect("a tenant");
    std::fs::write(manifests.join("big-phones.yaml"), devices(count)).expect("its phones");
    let phones = phones(&manifests);
    assert_eq!(phones.len(), count);
    let database = postgres.connect_options().to_url_lossy().to_string();
    let mut admin = postgres.admin_options().database("centrex").connect().await.expect("a login");
    let listen = format!("127.0.0.1:{provision}");
    let address = format!("127.0.0.1:{esl}");
    let centrex = Standalone::start_with(
        &manifests,
        &data,
        &database,
        &[
            "--esl-address",
            &address,
            "--esl-password",
            ESL_PASSWORD,
            "--provision-http-listen",
            &listen,
            "--provision-url",
            "https://phones.example.com/provision",
            "--trusted-proxies",
            "127.0.0.0/8",
        ],
    )
    .await;
    let memory = memory_folder();
    let url = format!("http://{}", centrex.address);
    let _switch =
        Switch::start_at(binary, &memory.path().join("switch"), &url, (USERNAME, XML_PASSWORD), esl);

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let switch: SocketAddr = (Ipv4Addr::LOCALHOST, sip).into();
    register(&socket, switch, &phones);
    let provision = (Ipv4Addr::LOCALHOST, provision).into();
    let requests: Vec<Vec<u8>> = phones.iter().map(|phone| phone.request.clone()).collect();
    tokio::task::spawn_blocking(move || bodies(provision, &requests)).await.expect("the phones' files");
    wait_for_fetches(&mut admin, count).await;

    let ended = Arc::new(AtomicBool::new(false));
    let told = std::thread::spawn({
        let (ended, phones) = (ended.clone(), phones);
        move || answer_notifies(&socket, &phones, provision, &ended)
    });
    let start = Instant::now();
    std::fs::write(manifests.join("big.yaml"), tenant("America/New_York")).expect("another time zone");
    let latencies = changes(&centrex, &manifests, TENANTS, options.size(CHANGES)).await;
    tokio::time::sleep(WATCHED.saturating_sub(start.elapsed())).await;
    ended.store(true, Ordering::Relaxed);
    let told = told.join().expect("the phones");
    centrex.end();

    let most =
        told.values().map(|at| told.values().filter(|other| within_a_second(*at, **other)).count()).max();
    let (last, most) = (told.values().max().copied(), most.unwrap_or(0));
    let took = last.map_or(0.0, |last| last.duration_since(start).as_secs_f64());
    let p99 = percentile(latencies.iter().copied(), 0.99);
    vec![
        Row::new(TOLD, format!("{} in {took:.0} s, at most {most} in a second", told.len()))
            .goal(&format!("≤ {MOST_A_SECOND} in a second"), !told.is_empty() && most <= MOST_A_SECOND),
        Row::new(ELSEWHERE, format!("{p99:.0} ms (p50 {:.0})", percentile(latencies.into_iter(), 0.5)))
            .goal("< 250 ms", p99 < MOST_MS),
    ]
}

fn within_a_second(first: Instant, other: Instant) -> bool {
    other.checked_duration_since(first).is_some_and(|after| after < Duration::from_secs(1))
}

fn tenant(time_zone: &str) -> String {
    format!(
        "apiVersion: centrex.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: big, namespace: big}}\n\
         spec: {{domains: [{DOMAIN}], timeZone: {time_zone}}}\n"
    )
}

/// Extensions of the tenant, each with a phone.
fn devices(count: usize) -> String {
    let one = |index: usize| {
        let (number, high, low) = (10_000 + index, index / 256, index % 256);
        format!(
            "---\napiVersion: centrex.dev/v1alpha1\nkind: Extension\nmetadata: {{name: e{index}, namespace: big}}\n\
             spec: {{tenantRef: {{name: big}}, number: \"{number}\", displayName: Person {index}, credentials: {{secretRef: {{name: phones}}}}}}\n\
             ---\napiVersion: centrex.dev/v1alpha1\nkind: Device\nmetadata: {{name: d{index}, namespace: big}}\n\
             spec: {{tenantRef: {{name: big}}, mac: \"80:5e:c0:01:{high:02x}:{low:02x}\", vendor: Yealink, model: T46U, \
             transport: UDP, lines: [{{extensionRef: {{name: e{index}}}}}], credentials: {{secretRef: {{name: phones}}}}}}\n"
        )
    };
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: phones, namespace: big}}\n\
         stringData: {{password: {SIP_PASSWORD}, provisioningPassword: {PROVISIONING_PASSWORD}}}\n"
    );
    secret + &(0..count).map(one).collect::<String>()
}

/// The phones, as the manifests are compiled.
fn phones(manifests: &Path) -> Vec<Phone> {
    let reading = Folder::read_once(&[manifests.to_owned()]).expect("manifests");
    let mut index = ResourceIndex::default();
    reading.changes.into_iter().for_each(|change| drop(index.apply(change)));
    let compiled = compile::all(&index);
    assert!(compiled.problems.is_empty(), "{:?}", compiled.problems.first());
    let devices = compiled.tenants.iter().flat_map(|(_, plan)| plan.devices.values());
    let phone = |device: &centrex::plan::DeviceRow| {
        let user = STANDARD.encode(format!("{}:{PROVISIONING_PASSWORD}", device.provisioning_user));
        let request = format!(
            "GET /provision/{}.cfg HTTP/1.1\r\nHost: phones\r\nAuthorization: Basic {user}\r\n\
             User-Agent: Yealink SIP-T46U 108.86.0.20 {}\r\nX-Forwarded-Proto: https\r\n\r\n",
            device.mac.replace(':', ""),
            device.mac
        );
        Phone { user: device.lines[0].user.clone(), request: request.into_bytes() }
    };
    devices.map(phone).collect()
}

/// Registers all phones, each with a challenge, from one socket.
fn register(socket: &UdpSocket, switch: SocketAddr, phones: &[Phone]) {
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let here = socket.local_addr().expect("an address");
    let send = |index: usize, authorization: &str| {
        let user = &phones[index].user;
        let sequence = if authorization.is_empty() { 1 } else { 2 };
        let request = format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK-{index}-{sequence}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag={index}\r\nTo: <sip:{user}@{DOMAIN}>\r\n\
             Call-ID: {index}@phones\r\nCSeq: {sequence} REGISTER\r\nContact: <sip:{user}@{here}>\r\n\
             Expires: 3600\r\nUser-Agent: Yealink SIP-T46U 108.86.0.20\r\n{authorization}Content-Length: 0\r\n\r\n"
        );
        socket.send_to(request.as_bytes(), switch).expect("a request that is sent");
    };
    let (mut next, mut registered, mut buffer) = (0, vec![false; phones.len()], [0; 8192]);
    let (mut under_way, start) = (HashMap::new(), Instant::now());
    while registered.iter().any(|done| !done) {
        assert!(start.elapsed() < PATIENCE, "{} registered", registered.iter().filter(|done| **done).count());
        while under_way.len() < AT_ONCE && next < phones.len() {
            send(next, "");
            under_way.insert(next, Instant::now());
            next += 1;
        }
        // As a phone does whose request or answer was lost.
        for (index, since) in &mut under_way {
            if since.elapsed() > Duration::from_secs(2) {
                send(*index, "");
                *since = Instant::now();
            }
        }
        let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
        let answer = String::from_utf8_lossy(&buffer[..length]);
        let index = header(&answer, "Call-ID").and_then(|id| id.strip_suffix("@phones")?.parse().ok());
        let Some(index) = index else { continue };
        if answer.starts_with("SIP/2.0 401") {
            send(index, &authorization(&phones[index].user, &answer));
        } else if answer.starts_with("SIP/2.0 200") {
            registered[index] = true;
            under_way.remove(&index);
        }
    }
}

/// The answer to a challenge (RFC 7616, MD5 with qop=auth).
fn authorization(user: &str, challenge: &str) -> String {
    let challenge = header(challenge, "WWW-Authenticate").expect("a challenge");
    let value = |name: &str| {
        let (_, rest) = challenge.split_once(&format!("{name}=\"")).expect(name);
        rest.split('"').next().unwrap_or_default()
    };
    let (realm, nonce) = (value("realm"), value("nonce"));
    let uri = format!("sip:{DOMAIN}");
    let md5 = |text: String| hex::encode(Md5::digest(text));
    let (one, two) = (md5(format!("{user}:{realm}:{SIP_PASSWORD}")), md5(format!("REGISTER:{uri}")));
    let response = md5(format!("{one}:{nonce}:00000001:bench:auth:{two}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"bench\"\r\n"
    )
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let line = message
        .lines()
        .find(|line| line.split(':').next().is_some_and(|of| of.eq_ignore_ascii_case(name)))?;
    Some(line.split_once(':')?.1.trim())
}

/// Waits until the last fetch of every phone is stored.
async fn wait_for_fetches(admin: &mut PgConnection, count: usize) {
    let start = Instant::now();
    let sql = "SELECT count(*) FROM public.phones WHERE fingerprint IS NOT NULL";
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *admin).await.expect("a count") < count as i64 {
        assert!(start.elapsed() < PATIENCE, "not all fetches are stored");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Answers the requests that phones get, and fetches the file of each that is told to. Returns when each was told first.
fn answer_notifies(
    socket: &UdpSocket,
    phones: &[Phone],
    provision: SocketAddr,
    ended: &AtomicBool,
) -> HashMap<usize, Instant> {
    let (mut told, mut buffer) = (HashMap::new(), [0; 8192]);
    while !ended.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let request = String::from_utf8_lossy(&buffer[..length]);
        let Some((method, _)) = request.split_once(' ').filter(|(method, _)| *method != "SIP/2.0") else {
            continue;
        };
        let copied = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| {
            let value = header(&request, name).unwrap_or_default();
            format!("{name}: {value}\r\n")
        });
        let answer = format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", copied.concat());
        let _ = socket.send_to(answer.as_bytes(), from);
        let event = header(&request, "Event").unwrap_or_default();
        if method != "NOTIFY" || !event.starts_with("check-sync") {
            continue;
        }
        let user = request.split_once("sip:").and_then(|(_, rest)| rest.split('@').next());
        let index = phones.iter().position(|phone| Some(phone.user.as_str()) == user);
        if let Some(index) = index
            && !told.contains_key(&index)
        {
            told.insert(index, Instant::now());
            bodies(provision, std::slice::from_ref(&phones[index].request));
        }
    }
    told
}
