//! Answers per second of the production listener, against a constant of the same size.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use centrex::freeswitch::xml::Answers;
use memchr::memmem;

use crate::Options;
use crate::constant::constant;
use crate::load::{Connections, Posted, bodies, call, rate, register};
use crate::manifests;
use crate::processor::Processor;
use crate::report::Row;
use crate::served::{Serving, answers, centrex};
use crate::turns::by_turns;

const TENANTS: usize = 100;
/// Many short rounds, so that other load on the machine affects both sides.
const ROUNDS: usize = 45;
const TURN: Duration = Duration::from_millis(120);
/// Prepared lookups; the client repeats them.
const PREPARED: usize = 10_000;

/// Runs all measurements.
pub fn rows(options: &Options) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    manifests::write(folder.path(), TENANTS, &manifests::platform(5060, 5080));
    let answers = answers(folder.path());
    let registers = registers();
    let (asked, whole) = (calls(&answers, Posted::Asked), calls(&answers, Posted::Whole));
    let turn = TURN / if options.quick { 3 } else { 1 };
    let compare = |what, lookups, connections| compare(what, &answers, lookups, connections, turn);
    let goal = |goal: f64, (row, ratio): (Row, f64)| row.goal(&format!("≥ {goal:.2}"), ratio >= goal);
    use Connections::{KeepAlive, PerLookup};
    vec![
        goal(0.8, compare("Directory answers, kept connections", &registers, KeepAlive)),
        goal(0.6, compare("Dialplan answers, kept connections", &asked, KeepAlive)),
        compare("Dialplan answers to all 7 kB of a call, kept connections", &whole, KeepAlive).0,
        goal(0.8, compare("Directory answers, new connection per lookup", &registers, PerLookup)),
        goal(0.6, compare("Dialplan answers, new connection per lookup", &asked, PerLookup)),
    ]
}

/// Requests, and the text that each right answer contains.
struct Lookups {
    requests: Arc<Vec<Vec<u8>>>,
    signs: Vec<&'static str>,
}

impl Lookups {
    fn new(one: impl Fn(usize) -> (Vec<u8>, &'static str)) -> Self {
        let (requests, signs) = (0..PREPARED).map(one).unzip();
        Self { requests: Arc::new(requests), signs }
    }

    /// Sends each request once, checks the answers, and returns their mean length.
    fn mean(&self, address: SocketAddr) -> usize {
        let bodies = bodies(address, &self.requests);
        for (body, sign) in bodies.iter().zip(&self.signs) {
            assert!(memmem::find(body, sign.as_bytes()).is_some(), "{}", String::from_utf8_lossy(body));
        }
        bodies.iter().map(Vec::len).sum::<usize>() / bodies.len()
    }
}

fn compare(
    what: &'static str,
    answers: &Arc<Answers>,
    lookups: &Lookups,
    connections: Connections,
    turn: Duration,
) -> (Row, f64) {
    let ours = centrex(answers, 0);
    let mean = lookups.mean(ours.address);
    let limit = constant(vec![b'x'; mean].into(), 0);
    [&ours, &limit].iter().for_each(|server| server.pin_to(Processor::First));
    let ask = |server: &Serving| {
        let ask = || {
            Processor::Last.pin_this_thread();
            rate(server.address, &lookups.requests, connections, turn)
        };
        std::thread::scope(|scope| scope.spawn(ask).join().expect("the asking side"))
    };
    let turns = by_turns(ROUNDS, || ask(&ours), || ask(&limit));
    let row = Row::new(what, format!("{:.0}/s", turns.first));
    (row.against(format!("{:.0}/s, {mean} bytes", turns.second), turns.ratio), turns.ratio)
}

/// Registrations: the user of every second one does not exist in its tenant.
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

/// Calls from each extension to the next one of its tenant.
fn calls(answers: &Answers, posted: Posted) -> Lookups {
    Lookups::new(|index| {
        let (tenant, extension) = spread(index);
        let domain = manifests::domain(tenant);
        let tenant = answers.replica.by_domain(&domain).expect("a tenant");
        let callee = manifests::number((extension + 1) % manifests::EXTENSIONS);
        (
            call(posted, tenant.context(), &domain, &manifests::number(extension), &callee),
            "<action application=\"bridge\"",
        )
    })
}

/// Visits all tenants and extensions in an order that keeps neighbours far apart.
fn spread(index: usize) -> (usize, usize) {
    let at = index * 7919 % (TENANTS * manifests::EXTENSIONS);
    (at % TENANTS, at / TENANTS)
}
