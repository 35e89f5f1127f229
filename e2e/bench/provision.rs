//! Files of phones a second, against an Axum handler's constant of the same size. Each phone asks on a connection of its
//! own, with its credential.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use centrex::compile;
use centrex::local_postgres::LocalError;
use centrex::phones::ProvisioningUrls;
use centrex::provision::Templates;
use centrex::provision::server::{Limits, Listeners, Metrics, Networks, Options, Server};
use centrex::replica::follow::Progress;
use centrex::replica::tenants::Replica;
use centrex::secrets::keyring::Keyring;
use centrex::source::ResourceIndex;
use centrex::source::folder::Folder;
use centrex::store::{Reader, Store, StoreOptions};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::constant::constant_file;
use crate::load::{bodies, rate};
use crate::manifests;
use crate::processor::Processor;
use crate::report::Row;
use crate::served::Serving;
use crate::size::{reachable_folder, start_postgres};
use crate::turns::by_turns;

/// Phones, each with a line.
const PHONES: usize = 1000;
const ROUNDS: usize = 45;
const TURN: Duration = Duration::from_millis(120);
const LEAST: f64 = 0.5;
const PASSWORD: &str = "Provision0Password1";

/// Measures both: files that are asked for again within seconds, as a phone that starts does, and the first request of
/// each phone, for which its passwords are read from Postgres and its file is rendered.
pub fn rows(options: &crate::Options) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    let data = reachable_folder();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let postgres = match runtime.block_on(start_postgres(data.path())) {
        Ok(postgres) => postgres,
        Err(error @ LocalError::Binaries) => return vec![Row::skipped("Phones' files", error.to_string())],
        Err(error) => panic!("{error}"),
    };
    write_manifests(folder.path());
    let reading = Folder::read_once(&[folder.path().to_owned()]).expect("manifests");
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    let mut index = ResourceIndex::default();
    reading.changes.into_iter().for_each(|change| drop(index.apply(change)));
    let compiled = compile::all(&index);
    let replica = Arc::new(Replica::default());
    let keyring =
        Arc::new(Keyring::parse(folder.path(), &format!("1:{}", STANDARD.encode([7; 32]))).expect("a key"));
    let store = StoreOptions::new(postgres.connect_options(), keyring);
    let connected = runtime.block_on(Store::connect(&store)).expect("a store");
    replica.replace_platform(1, compiled.platform);
    let mut requests = Vec::new();
    for (_, plan) in compiled.tenants {
        requests.extend(plan.devices.values().map(|device| {
            let user = STANDARD.encode(format!("{}:{PASSWORD}", device.provisioning_user));
            let file = device.mac.replace(':', "");
            format!(
                "GET /provision/{file}.cfg HTTP/1.1\r\nHost: phones\r\nAuthorization: Basic {user}\r\n\
                 User-Agent: Yealink SIP-T46U 108.86.0.20 {}\r\nX-Forwarded-Proto: https\r\n\r\n",
                device.mac
            )
            .into_bytes()
        }));
        runtime.block_on(connected.write_tenant(&plan)).expect("a stored tenant");
        replica.replace_tenant(1, plan);
    }
    let requests = Arc::new(requests);
    let start = || serve(replica.clone(), &store);
    let first = {
        let server = start();
        server.pin_to(Processor::First);
        let started = std::time::Instant::now();
        let bodies = bodies(server.address, &requests);
        assert!(bodies.iter().all(|body| body.starts_with(b"#!version")), "a phone's file");
        let rate = bodies.len() as f64 / started.elapsed().as_secs_f64();
        (rate, bodies.iter().map(Vec::len).sum::<usize>() / bodies.len())
    };
    let (ours, limit) = (start(), constant_file(vec![b'x'; first.1].into()));
    bodies(ours.address, &requests);
    [&ours, &limit].iter().for_each(|server| server.pin_to(Processor::First));
    let turn = TURN / if options.quick { 3 } else { 1 };
    let ask = |address: SocketAddr| {
        let requests = requests.clone();
        let ask = move || {
            Processor::Last.pin_this_thread();
            rate(address, &requests, turn)
        };
        std::thread::scope(|scope| scope.spawn(ask).join().expect("the asking side"))
    };
    let turns = by_turns(ROUNDS, || ask(ours.address), || ask(limit.address));
    let again = Row::new("Phones' files, asked for again within seconds", format!("{:.0}/s", turns.first))
        .against(format!("{:.0}/s, {} bytes", turns.second, first.1), turns.ratio)
        .goal(&format!("≥ {LEAST:.2}"), turns.ratio >= LEAST);
    let cold =
        Row::new("Phones' files, first request of each, one after the other", format!("{:.0}/s", first.0));
    drop((ours, limit));
    let _ = runtime.block_on(postgres.stop());
    vec![again, cold]
}

fn serve(replica: Arc<Replica>, store: &StoreOptions) -> Serving {
    Serving::start(async |stop| {
        let proxies: Networks = "127.0.0.0/8".parse().expect("a network");
        let options = Options {
            urls: ProvisioningUrls::new("https://phones.example.com/provision", None),
            ntp_server: "pool.ntp.org".to_owned(),
            allowed_networks: Networks::default(),
            trusted_proxies: proxies.clone(),
            limits: Limits { fetches_per_hour: u32::MAX, ..Limits::default() },
            templates: Templates::built_in().expect("templates"),
        };
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let listeners = Listeners::bind(None, Some(listen), &proxies).await.expect("a listener");
        let address = listeners.addresses().1.expect("its address");
        let (progress, followed) = watch::channel(Progress { filled: true, ..Progress::default() });
        let tasks = TaskTracker::new();
        let reader = Reader::lazy(store);
        Server::start(options, listeners, (replica, followed), reader, Metrics::default(), &tasks, &stop);
        tasks.close();
        (address, async move {
            tasks.wait().await;
            drop(progress);
        })
    })
}

/// Tenants of a hundred extensions, each with a phone.
fn write_manifests(folder: &std::path::Path) {
    let tenants = PHONES / manifests::EXTENSIONS;
    manifests::write(folder, tenants, &manifests::platform(5060, 5080));
    for tenant in 0..tenants {
        let name = manifests::name(tenant);
        let phones = (0..manifests::EXTENSIONS).map(|extension| {
            let mac = format!("80:5e:c0:00:{tenant:02x}:{extension:02x}");
            format!(
                "---\napiVersion: centrex.dev/v1alpha1\nkind: Device\nmetadata: {{name: d{extension}, namespace: {name}}}\n\
                 spec: {{tenantRef: {{name: {name}}}, mac: \"{mac}\", vendor: Yealink, model: T46U, lines: [{{extensionRef: {{name: e{extension}}}}}]}}\n\
                 ---\napiVersion: v1\nkind: Secret\nmetadata: {{name: d{extension}-device, namespace: {name}}}\n\
                 stringData: {{password: Sip0Password0Of0Phones, provisioningPassword: {PASSWORD}}}\n"
            )
        });
        std::fs::write(folder.join(format!("phones-{tenant}.yaml")), phones.collect::<String>())
            .expect("manifests of phones");
    }
}
