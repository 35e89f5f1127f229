//! Who gets a file, and what is recorded of it.

use centrex::provision::FileName;

use super::client::{Answer, Request};
use super::scene::{PASSWORD, SIP_PASSWORD, Scene, device};
use crate::postgres::{key_line, reachable_dir};
use crate::program::{Program, url};
use crate::wait::{DEADLINE, until};

const DESK: &str = "80:5e:c0:00:00:01";
const FILE: &str = "805ec0000001.cfg";
const HERE: &str = "192.0.2.1";

fn devices(desk: &str) -> String {
    let others = [
        device("acme", "lab", "80:5e:c0:00:00:02", ""),
        device("acme", "shut", "80:5e:c0:00:00:03", ", disabled: true"),
        device("acme", "near", "80:5e:c0:00:00:04", ", provisioning: {allowedNetworks: [198.51.100.0/24]}"),
        device(
            "globex",
            "hanks",
            "80:5e:c0:00:00:05",
            ", provisioning: {allowedNetworks: [\"2001:db8::/32\"]}",
        ),
        // Of two tenants with one MAC address, the older has it: here, the first by name.
        device("globex", "twin", "80:5e:c0:00:00:01", ""),
    ];
    device("acme", "desk", DESK, desk) + &others.concat()
}

/// What every refused request is answered with.
fn refused() -> Answer {
    let headers = [
        ("cache-control", "no-store"),
        ("www-authenticate", "Basic realm=\"centrex\", charset=\"UTF-8\""),
        ("content-length", "0"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Answer { status: 401, headers, body: String::new() }
}

/// Many addresses, so that no limit is reached where none is tested.
fn address(number: usize) -> String {
    format!("10.{}.{}.1", number / 250, number % 250)
}

#[tokio::test]
async fn a_phone_gets_its_own_file_and_no_other() {
    let test = "provision::access::a_phone_gets_its_own_file_and_no_other";
    let Some(scene) = Scene::start(test, &devices(""), &[]).await else { return };
    let user = scene.user("desk").await;
    let right = Request::get(FILE).basic(&user, PASSWORD).from(HERE);
    let answer = right.send(scene.address);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.starts_with("#!version:1.0.0.1\n"), "{answer:?}");
    assert!(answer.body.contains(SIP_PASSWORD) && answer.body.contains(PASSWORD));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-encoding"), None);
    let etag = answer.header("etag").unwrap().to_owned();

    // In any spelling, and by HEAD.
    for file in ["805EC0000001.cfg", "80-5e-c0-00-00-01.CFG", "80%3A5e%3Ac0%3A00%3A00%3A01.cfg"] {
        assert_eq!(Request { file: file.into(), ..right.clone() }.send(scene.address), answer, "{file}");
    }
    let head = right.clone().method("HEAD").send(scene.address);
    assert_eq!((head.status, &head.headers, head.body.as_str()), (200, &answer.headers, ""));
    let known = right.clone().with("if-none-match", &etag).send(scene.address);
    assert_eq!((known.status, known.header("etag"), known.body.as_str()), (304, Some(etag.as_str()), ""));
    assert_eq!(right.clone().with("if-none-match", "\"other\"").send(scene.address), answer);
    assert_eq!(right.clone().with("accept-encoding", "gzip").send(scene.address), answer);

    // Files that this phone does not get, and names that no phone asks for.
    for file in ["805ec0000001.xml", "cfg805ec0000001.xml"] {
        assert!(FileName::parse(file).is_some());
        let answer = Request { file: file.into(), ..right.clone() }.send(scene.address);
        assert_eq!((answer.status, answer.body.as_str()), (404, ""), "{file}");
    }
    for file in ["", "y000000000000.boot", "805ec0000001.boot", "..%2f805ec0000001.cfg", "a/b.cfg", "%ff.cfg"]
    {
        for request in [Request::get(file).from(HERE), Request { file: file.into(), ..right.clone() }] {
            let answer = request.send(scene.address);
            assert_eq!((answer.status, answer.body.as_str()), (404, ""), "{file}");
        }
    }
    for method in ["PUT", "POST", "DELETE"] {
        let answer = right.clone().method(method).send(scene.address);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }

    let mut admin = scene.database.admin().await;
    let history = scene.history("desk", 8).await;
    assert_eq!(history[0], (FILE.to_owned(), "served".to_owned()));
    assert!(history.contains(&(FILE.to_owned(), "not_modified".to_owned())), "{history:?}");
    assert!(history.contains(&("805ec0000001.xml".to_owned(), "not_made".to_owned())), "{history:?}");
    let (address, fingerprint): (String, Vec<u8>) =
        sqlx::query_as("SELECT host(address), fingerprint FROM public.phones WHERE device = 'desk'")
            .fetch_one(&mut admin)
            .await
            .unwrap();
    assert_eq!((address.as_str(), fingerprint.len()), (HERE, 32));
    assert!(scene.counted("yealink", "served") >= 5.0, "{}", scene.program.get("/metrics").1);
    let log = scene.program.log();
    assert!(!log.contains(PASSWORD) && !log.contains(SIP_PASSWORD) && !log.contains("805ec0000001"), "{log}");
}

#[tokio::test]
async fn every_refusal_is_the_same() {
    let test = "provision::access::every_refusal_is_the_same";
    let Some(scene) = Scene::start(
        test,
        &devices(""),
        &["--provision-allowed-networks", "10.0.0.0/8,192.0.2.0/24,198.51.100.0/24,2001:db8::/32"],
    )
    .await
    else {
        return;
    };
    let users = [scene.user("desk").await, scene.user("lab").await, scene.user("shut").await];
    let [desk, lab, shut] = users.each_ref().map(String::as_str);
    let (near, hanks) = (scene.user("near").await, scene.user("hanks").await);
    let agent = |mac: &str| format!("Yealink SIP-T46U 108.86.0.20 {mac}");
    let refusals = [
        ("no credential", Request::get(FILE)),
        ("an unknown MAC address", Request::get("805ec0ffffff.cfg")),
        (
            "an unknown MAC address with a password",
            Request::get("805ec0ffffff.cfg").basic("d-aaaaaaaaaa", "x"),
        ),
        ("a wrong password", Request::get(FILE).basic(desk, "wrong")),
        ("no password", Request::get(FILE).basic(desk, "")),
        ("an unknown user", Request::get(FILE).basic("d-aaaaaaaaaa", PASSWORD)),
        ("the MAC address as user", Request::get(FILE).basic(DESK, PASSWORD)),
        ("another Device's credential", Request::get(FILE).basic(lab, PASSWORD)),
        ("a Device of another tenant", Request::get(FILE).basic(&hanks, PASSWORD)),
        ("a disabled Device", Request::get("805ec0000003.cfg").basic(shut, PASSWORD)),
        ("a Device's own networks", Request::get("805ec0000004.cfg").basic(&near, PASSWORD)),
        (
            "hardware that says it is another",
            Request::get(FILE).basic(desk, PASSWORD).with("user-agent", &agent("80:5e:c0:00:00:02")),
        ),
        ("a scheme that is not offered", Request::get(FILE).with("authorization", "Bearer abc")),
        ("garbage", Request::get(FILE).with("authorization", "Basic \u{fffd}")),
    ];
    for (number, (what, request)) in refusals.into_iter().enumerate() {
        assert_eq!(request.clone().from(&address(number)).send(scene.address), refused(), "{what}");
        let head = request.method("HEAD").from(&address(100 + number)).send(scene.address);
        assert_eq!(head, refused(), "{what}, by HEAD");
    }
    // The installation's networks, for a right credential too.
    let right = Request::get(FILE).basic(desk, PASSWORD);
    assert_eq!(right.clone().from("203.0.113.1").send(scene.address), refused());
    // A proxy that is none says nothing: this connection's address is the loopback's.
    assert_eq!(right.clone().from("garbage").send(scene.address), refused());
    let agreeing = right.clone().with("user-agent", &agent(DESK));
    assert_eq!(agreeing.from(HERE).send(scene.address).status, 200);
    assert_eq!(
        Request::get("805ec0000004.cfg")
            .basic(&near, PASSWORD)
            .from("198.51.100.7")
            .send(scene.address)
            .status,
        200
    );
    let of_hank =
        Request::get("805ec0000005.cfg").basic(&hanks, PASSWORD).from("2001:db8::5").send(scene.address);
    assert!(of_hank.status == 200 && of_hank.body.contains("globex.example.com"), "{of_hank:?}");

    let right = right.from(HERE);
    scene.change(&devices(", disabled: true"), &right, 401);
    assert_eq!(right.send(scene.address), refused());
    scene.change(&devices(""), &right, 200);
    let suspended = "spec: {domains: [acme.example.com], country: DE, suspended: true}";
    scene.change_platform("spec: {domains: [acme.example.com], country: DE}", suspended, &right, 401);
    assert_eq!(right.send(scene.address), refused());
    scene.change_platform(
        suspended.split(", suspended").next().unwrap(),
        "spec: {domains: [acme.example.com], country: DE",
        &right,
        200,
    );
    // A deleted Device, and a changed MAC address.
    scene.change(
        &devices("")
            .replace("name: desk,", "name: desk2,")
            .replace("name: desk-device", "name: desk2-device"),
        &right,
        401,
    );
    assert_eq!(right.send(scene.address), refused());
}

#[tokio::test]
async fn guesses_and_requests_are_limited() {
    let test = "provision::access::guesses_and_requests_are_limited";
    let options = [
        "--provision-requests-per-minute",
        "20",
        "--provision-guesses",
        "5",
        "--provision-fetches-per-hour",
        "30",
    ];
    let Some(scene) = Scene::start(test, &devices(""), &options).await else { return };
    let user = scene.user("desk").await;
    let lab = scene.user("lab").await;
    let right = Request::get(FILE).basic(&user, PASSWORD);
    // An old password that a phone repeats locks nobody out of its office.
    for _ in 0..10 {
        assert_eq!(Request::get(FILE).basic(&user, "old").from(HERE).send(scene.address).status, 401);
    }
    assert_eq!(right.clone().from(HERE).send(scene.address).status, 200);
    let guess = |number: usize, from: &str| {
        Request::get(FILE).basic(&user, &format!("guess{number}")).from(from).send(scene.address).status
    };
    let guessed: Vec<u16> = (0..8).map(|number| guess(number, "192.0.2.9")).collect();
    assert_eq!(guessed, [401, 401, 401, 401, 401, 429, 429, 429]);
    let throttled = right.clone().from("192.0.2.9").send(scene.address);
    assert_eq!((throttled.status, throttled.header("retry-after")), (429, Some("60")), "a right one too");
    let is_logged = || scene.program.log().contains("too many wrong credentials").then_some(());
    assert!(until(DEADLINE, is_logged).is_some(), "{}", scene.program.log());
    // An IPv6 network is one host.
    let asked: Vec<u16> = (0..22)
        .map(|host| Request::get(FILE).from(&format!("2001:db8::{host:x}")).send(scene.address).status)
        .collect();
    assert!(asked[..20].iter().all(|status| *status == 401) && asked[20..] == [429, 429], "{asked:?}");
    // Phones that show their credential are not limited by their office's address, but each for itself.
    let office: Vec<u16> = (0..35)
        .flat_map(|_| {
            let challenge = Request::get(FILE).from("192.0.2.77").send(scene.address).status;
            [challenge, right.clone().from("192.0.2.77").send(scene.address).status]
        })
        .collect();
    assert_eq!(office.iter().filter(|status| **status == 401).count(), 35, "{office:?}");
    assert_eq!(office.iter().filter(|status| **status == 200).count(), 29, "{office:?}");
    let other = Request::get("805ec0000002.cfg").basic(&lab, PASSWORD).from("192.0.2.78").send(scene.address);
    // A stranger cannot push what the phone fetched out of its history.
    for host in 0..60 {
        let stranger = Request::get("805ec0000002.cfg").basic(&lab, "old").from(&format!("203.0.113.{host}"));
        assert_eq!(stranger.send(scene.address).status, 401);
    }
    let history = scene.history("lab", 51).await;
    assert!(history.iter().any(|(_, result)| result == "served"), "{history:?}");
    assert_eq!(other.status, 200);
    let of_desk = scene.history("desk", 45).await;
    let (granted, refused): (Vec<_>, Vec<_>) = of_desk.iter().partition(|(_, result)| result == "served");
    assert!(granted.len() <= 50 && refused.len() <= 50, "{of_desk:?}");
}

#[tokio::test]
async fn without_postgres_a_phone_goes_on_with_what_it_has() {
    let test = "provision::access::without_postgres_a_phone_goes_on_with_what_it_has";
    let Some(scene) = Scene::start(test, &devices(""), &[]).await else { return };
    let (user, lab) = (scene.user("desk").await, scene.user("lab").await);
    let right = Request::get(FILE).basic(&user, PASSWORD).from(HERE);
    assert_eq!(right.send(scene.address).status, 200);
    let allow = |allowed: bool| {
        format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed};
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
            name = scene.database.name()
        )
    };
    let mut admin = scene.database.server_admin().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(allow(false))).execute(&mut admin).await.unwrap();
    let away = Request::get("805ec0000002.cfg").basic(&lab, PASSWORD).from(HERE).send(scene.address);
    assert_eq!((away.status, away.header("retry-after"), away.body.as_str()), (503, Some("120"), ""));
    // The credential is still known from memory: a stranger learns nothing of it.
    assert_eq!(
        Request::get("805ec0000002.cfg").basic(&lab, "wrong").from(HERE).send(scene.address),
        refused()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(allow(true))).execute(&mut admin).await.unwrap();
    let back = Request::get("805ec0000002.cfg").basic(&lab, PASSWORD).from(HERE);
    crate::wait::until(crate::wait::DEADLINE, || (back.send(scene.address).status == 200).then_some(()))
        .expect("files are served again");
    let history = scene.history("lab", 2).await;
    assert!(
        history.iter().any(|(_, result)| result == "unavailable"),
        "what was fetched meanwhile is recorded: {history:?}"
    );
}

/// `centrex api` on the same database, by a login that may read, and write the two tables.
#[tokio::test]
async fn the_api_serves_phones_with_few_rights() {
    let test = "provision::access::the_api_serves_phones_with_few_rights";
    let directory = reachable_dir();
    let keys = directory.path().join("keys");
    std::fs::write(&keys, key_line(1, 'a')).unwrap();
    std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let options = ["--encryption-key-file", keys.to_str().unwrap()];
    let Some(scene) = Scene::start(test, &devices(""), &options).await else { return };
    let user = scene.user("desk").await;
    let login = format!("api_{}", scene.database.name());
    let mut admin = scene.database.admin().await;
    let sql = format!(
        "CREATE ROLE {login} LOGIN; GRANT pg_read_all_data TO {login};
         GRANT INSERT, UPDATE, DELETE ON public.phones, public.phone_fetches TO {login}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_centrex"));
    command.args(["api", "--database-url", &url(&scene.database).replace("centrex@", &format!("{login}@"))]);
    command.args(options).args(["--health-listen", "127.0.0.1:0"]);
    command.args(["--provision-url", super::scene::URL, "--provision-http-listen", "127.0.0.1:0"]);
    command.args(["--trusted-proxies", "127.0.0.0/8"]);
    let mut api = Program::start(&mut command, directory.path().join("output"), "answering probes");
    api.wait_until("readiness", |api| api.get("/readyz").0 == 200);
    assert_eq!(api.get("/healthz").0, 200);
    let address = api.listens("phones that may are served without TLS").unwrap();
    let right = Request::get(FILE).basic(&user, PASSWORD).from(HERE);
    let answer = right.send(address);
    assert_eq!((answer.status, &answer), (200, &right.send(scene.address)));
    assert_eq!(Request::get(FILE).from(HERE).send(address), refused());
    assert_eq!(scene.history("desk", 2).await.len(), 2);
    let page = api.get("/metrics").1;
    assert!(
        page.contains("centrex_provision_requests_total{vendor=\"yealink\",outcome=\"served\"} 1"),
        "{page}"
    );
    let (status, log) = api.end("-TERM");
    assert!(status.success(), "{log}");
    let sql = format!("DROP OWNED BY {login}; DROP ROLE {login}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
}
