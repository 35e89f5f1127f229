//! Answers per second of the production listener, against an Axum handler's constant of the same size.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use centrex::freeswitch::xml::Answers;
use memchr::memmem;

use crate::Options;
use crate::constant::constant;
use crate::load::{bodies, call, rate, register};
use crate::manifests;
use crate::processor::Processor;
use crate::report::Row;
use crate::served::{Serving, answers, centrex};
use crate::turns::{by_turns, percentile};

const TENANTS: usize = 100;
/// Many short turns: what the machine's other guests take is then taken from both sides.
const ROUNDS: usize = 45;
const TURN: Duration = Duration::from_millis(120);
const LEAST: f64 = 0.7;
/// Lookups that are prepared; they are asked round and round.
const PREPARED: usize = 10_000;

/// Measures all of them.
pub fn rows(options: &Options) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    manifests::write(folder.path(), TENANTS, &manifests::platform(5060, 5080));
    let answers = answers(folder.path());
    let turn = turn(options);
    vec![
        compare("Directory answers", &answers, &registers(), turn),
        compare("Dialplan answers", &answers, &calls(&answers), turn),
    ]
}

/// How long a server is asked at a time.
fn turn(options: &Options) -> Duration {
    TURN / if options.quick { 3 } else { 1 }
}

/// Directory and dialplan answers a second to `answers`, whose folder has [`TENANTS`] tenants.
pub fn rates(answers: &Arc<Answers>, options: &Options) -> [f64; 2] {
    let turn = turn(options);
    [registers(), calls(answers)].map(|lookups| {
        let ours = centrex(answers, 0);
        ours.pin_to(Processor::First);
        percentile((0..ROUNDS).map(|_| ask(&ours, &lookups, turn)), 0.5)
    })
}

/// Requests, and what each answer holds if it is right.
struct Lookups {
    requests: Arc<Vec<Vec<u8>>>,
    signs: Vec<&'static str>,
}

impl Lookups {
    fn new(one: impl Fn(usize) -> (Vec<u8>, &'static str)) -> Self {
        let (requests, signs) = (0..PREPARED).map(one).unzip();
        Self { requests: Arc::new(requests), signs }
    }

    /// Asks each once: the mean length of the answers, which must be right.
    fn mean(&self, address: SocketAddr) -> usize {
        let bodies = bodies(address, &self.requests);
        for (body, sign) in bodies.iter().zip(&self.signs) {
            assert!(memmem::find(body, sign.as_bytes()).is_some(), "{}", String::from_utf8_lossy(body));
        }
        bodies.iter().map(Vec::len).sum::<usize>() / bodies.len()
    }
}

fn compare(what: &'static str, answers: &Arc<Answers>, lookups: &Lookups, turn: Duration) -> Row {
    let ours = centrex(answers, 0);
    let mean = lookups.mean(ours.address);
    let limit = constant(vec![b'x'; mean].into(), 0);
    [&ours, &limit].iter().for_each(|server| server.pin_to(Processor::First));
    let turns = by_turns(ROUNDS, || ask(&ours, lookups, turn), || ask(&limit, lookups, turn));
    Row::new(what, format!("{:.0}/s", turns.first))
        .against(format!("{:.0}/s, {mean} bytes", turns.second), turns.ratio)
        .goal(&format!("≥ {LEAST:.2}"), turns.ratio >= LEAST)
}

/// Answers a second of a server, asked from another processor.
fn ask(server: &Serving, lookups: &Lookups, turn: Duration) -> f64 {
    let ask = || {
        Processor::Last.pin_this_thread();
        rate(server.address, &lookups.requests, turn)
    };
    std::thread::scope(|scope| scope.spawn(ask).join().expect("the asking side"))
}

/// Phones that register: every second one is a user that its tenant does not have.
fn registers() -> Lookups {
    Lookups::new(|index| {
        let (tenant, extension) = spread(index);
        let domain = manifests::domain(tenant);
        match index % 2 {
            0 => (register(&domain, &manifests::number(extension)), "a1-hash"),
            _ => (register(&domain, &format!("9{extension:03}")), "not found"),
        }
    })
}

/// Extensions that call the next one of their tenant.
fn calls(answers: &Answers) -> Lookups {
    Lookups::new(|index| {
        let (tenant, extension) = spread(index);
        let domain = manifests::domain(tenant);
        let tenant = answers.replica.by_domain(&domain).expect("a tenant");
        let callee = manifests::number((extension + 1) % manifests::EXTENSIONS);
        (
            call(tenant.context(), &domain, &manifests::number(extension), &callee),
            "<action application=\"bridge\"",
        )
    })
}

/// Tenants and extensions in an order that visits all, neighbours far apart.
fn spread(index: usize) -> (usize, usize) {
    let at = index * 7919 % (TENANTS * manifests::EXTENSIONS);
    (at % TENANTS, at / TENANTS)
}
