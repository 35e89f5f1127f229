//! Elections with disconnections, conflicts and wrong clocks. Time is paused: it advances when no task can
//! run.

use std::sync::Arc;
use std::time::Duration;

use centrex::operator::lease::{Election, Leadership, Term, elect};
use jiff::SignedDuration;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::api::{Access, Link, Server};
use super::options;

const LEASE: Duration = Duration::from_secs(15);

struct Elector {
    access: Access,
    stop: CancellationToken,
    election: Election,
}

impl Elector {
    fn start(server: &Arc<Server>, name: &str) -> Self {
        Self::with_clock(server, name, SignedDuration::ZERO)
    }

    fn with_clock(server: &Arc<Server>, name: &str, skew: SignedDuration) -> Self {
        let access = server.access(skew);
        let stop = CancellationToken::new();
        let election = elect(access.client(), options(name, LEASE), stop.clone());
        Self { access, stop, election }
    }

    fn term(&self) -> Option<Term> {
        match &*self.election.leadership.borrow() {
            Leadership::Leading(term) if !term.lost.is_cancelled() => Some(term.clone()),
            _ => None,
        }
    }

    fn leads(&self) -> bool {
        self.term().is_some()
    }

    fn follows(&self) -> Option<String> {
        match &*self.election.leadership.borrow() {
            Leadership::Following { leader } => leader.clone(),
            Leadership::Leading(_) => None,
        }
    }
}

/// Advances time until a condition holds, and returns the elapsed time; panics if two electors lead at once.
async fn advance_until(what: &str, electors: &[&Elector], holds: impl Fn() -> bool) -> Duration {
    let started = Instant::now();
    loop {
        assert!(electors.iter().filter(|elector| elector.leads()).count() <= 1, "two lead");
        if holds() {
            return started.elapsed();
        }
        assert!(started.elapsed() < Duration::from_secs(120), "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Advances time; panics if two electors lead at once.
async fn pass(time: Duration, electors: &[&Elector]) {
    let end = Instant::now() + time;
    advance_until("time passes", electors, || Instant::now() >= end).await;
}

/// Two electors: the first leads, and the second has seen that.
async fn two(server: &Arc<Server>) -> (Elector, Elector) {
    let a = Elector::start(server, "a");
    advance_until("a leads", &[&a], || a.leads()).await;
    let b = Elector::start(server, "b");
    advance_until("b follows a", &[&a, &b], || b.follows().is_some_and(|leader| leader.starts_with("a_")))
        .await;
    (a, b)
}

#[tokio::test(start_paused = true)]
async fn exactly_one_of_many_replicas_leads_and_renews() {
    let server = Arc::new(Server::default());
    let electors: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| Elector::start(&server, name)).into();
    let all: Vec<_> = electors.iter().collect();
    advance_until("one leads", &all, || electors.iter().any(Elector::leads)).await;
    assert!(server.conflicts() > 0, "the attempts did not conflict");
    let leader = electors.iter().find(|elector| elector.leads()).unwrap();
    let term = leader.term().unwrap();
    assert_eq!((term.lease.as_str(), term.transition), ("lease-1", 0));
    let writes = server.writes();
    pass(Duration::from_secs(60), &all).await;
    assert!(!term.lost.is_cancelled());
    let renewals = server.writes() - writes;
    assert!((24..=40).contains(&renewals), "{renewals} renewals in a minute");
    assert_eq!(server.spec("leaseDurationSeconds"), json!(15));
    assert_eq!(server.spec("leaseTransitions"), json!(0));
    for elector in &electors {
        assert!(elector.election.life.age() < LEASE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_leader_stops_before_the_next_leader_starts() {
    for link in [Link::Cut, Link::AnswersLost, Link::Broken] {
        let server = Arc::new(Server::default());
        let (a, b) = two(&server).await;
        let term = a.term().unwrap();
        a.access.link(link);
        let stopped = advance_until("a stops", &[&a, &b], || term.lost.is_cancelled()).await;
        assert!(!b.leads());
        assert!(stopped <= Duration::from_millis(10_050), "{link:?}: stopped after {stopped:?}");
        let taken = stopped + advance_until("b leads", &[&a, &b], || b.leads()).await;
        // Counted from the last write that arrived: a's last attempt may have been half a duration later.
        let late = if link == Link::AnswersLost { Duration::from_secs(10) } else { Duration::ZERO };
        assert!(taken <= LEASE + Duration::from_millis(1_300) + late, "{link:?}: taken after {taken:?}");
        println!("{link:?}: stopped after {stopped:?}, taken over after {taken:?}");
        assert_eq!(b.term().unwrap().transition, term.transition + 1);
        assert!(a.election.life.age() < LEASE, "a hung call holds up the elector");

        // The link is repaired: a learns who leads, and nothing else happens.
        a.access.link(Link::Up);
        let known = || a.follows().is_some_and(|leader| leader.starts_with("b_"));
        advance_until("a follows b", &[&a, &b], known).await;
        pass(Duration::from_secs(40), &[&a, &b]).await;
        assert!(b.leads());
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_disconnection_does_not_end_leadership() {
    let server = Arc::new(Server::default());
    let (a, b) = two(&server).await;
    let term = a.term().unwrap();
    for link in [Link::Cut, Link::AnswersLost, Link::Broken] {
        a.access.link(link);
        pass(Duration::from_secs(3), &[&a, &b]).await;
        a.access.link(Link::Up);
        pass(Duration::from_secs(20), &[&a, &b]).await;
        assert!(!term.lost.is_cancelled(), "{link:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_leader_leads_again_in_a_new_term() {
    let server = Arc::new(Server::default());
    let a = Elector::start(&server, "a");
    advance_until("a leads", &[&a], || a.leads()).await;
    let term = a.term().unwrap();
    a.access.link(Link::Cut);
    advance_until("a stops", &[&a], || term.lost.is_cancelled()).await;
    a.access.link(Link::Up);
    advance_until("a leads again", &[&a], || a.leads()).await;
    assert!(term.lost.is_cancelled());
    assert_eq!(a.term().unwrap().transition, 0, "the same holder");
}

#[tokio::test(start_paused = true)]
async fn wrong_clocks_do_not_change_the_leader() {
    let hours = SignedDuration::from_hours;
    for (of_a, of_b) in
        [(hours(-48), hours(0)), (hours(48), hours(0)), (hours(0), hours(-7)), (hours(5), hours(-5))]
    {
        let server = Arc::new(Server::default());
        let a = Elector::with_clock(&server, "a", of_a);
        advance_until("a leads", &[&a], || a.leads()).await;
        let b = Elector::with_clock(&server, "b", of_b);
        let term = a.term().unwrap();
        pass(Duration::from_secs(90), &[&a, &b]).await;
        assert!(!term.lost.is_cancelled(), "a live leader lost the Lease");
        a.access.link(Link::Cut);
        let taken = advance_until("b leads", &[&a, &b], || b.leads()).await;
        assert!(taken > Duration::from_secs(12) && taken < Duration::from_secs(17), "{taken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_acquired_at_once() {
    let server = Arc::new(Server::default());
    let (a, b) = two(&server).await;
    let term = a.term().unwrap();
    a.stop.cancel();
    let taken = advance_until("b leads", &[&a, &b], || b.leads()).await;
    assert!(taken < Duration::from_millis(1_500), "{taken:?}");
    println!("released and taken over after {taken:?}");
    assert!(term.lost.is_cancelled());
    a.election.ended().await;
    assert_eq!(server.spec("leaseTransitions"), json!(1));
    // Without another elector, the Lease is released.
    b.stop.cancel();
    b.election.ended().await;
    assert_eq!(server.spec("holderIdentity"), json!(""));
    assert_eq!(server.spec("leaseDurationSeconds"), json!(1));
    assert_eq!(server.spec("leaseTransitions"), json!(1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_in_time_even_if_the_server_hangs() {
    for link in [Link::Cut, Link::AnswersLost, Link::Broken] {
        let server = Arc::new(Server::default());
        let a = Elector::start(&server, "a");
        advance_until("a leads", &[&a], || a.leads()).await;
        let term = a.term().unwrap();
        a.access.link(link);
        sleep(Duration::from_secs(3)).await;
        let started = Instant::now();
        a.stop.cancel();
        a.election.ended().await;
        assert!(started.elapsed() <= LEASE / 3, "{link:?}: {:?}", started.elapsed());
        assert!(term.lost.is_cancelled());
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_conflict_is_retried_after_reading_the_lease() {
    let server = Arc::new(Server::default());
    let (a, b) = two(&server).await;
    let term = a.term().unwrap();
    // Another client annotates the Lease: the version that a knows is outdated, and a goes on leading.
    for _ in 0..5 {
        let conflicts = server.conflicts();
        server.edit(|lease| lease["metadata"]["annotations"] = json!({ "note": "looked at" }));
        advance_until("a conflict", &[&a, &b], || server.conflicts() > conflicts).await;
        pass(Duration::from_secs(3), &[&a, &b]).await;
    }
    pass(Duration::from_secs(30), &[&a, &b]).await;
    assert!(!term.lost.is_cancelled());
    assert_eq!(server.lease().unwrap()["metadata"]["annotations"]["note"], json!("looked at"));

    // Another client writes another holder: a stops at its next renewal, long before the Lease expires.
    server.edit(|lease| lease["spec"]["holderIdentity"] = json!("intruder"));
    let stopped = advance_until("a stops", &[&a, &b], || term.lost.is_cancelled()).await;
    assert!(stopped < Duration::from_secs(3), "{stopped:?}");
    let known = || a.follows().as_deref() == Some("intruder");
    advance_until("a follows the intruder", &[&a, &b], known).await;
    // The intruder never renews, so its Lease expires like any other.
    advance_until("one leads", &[&a, &b], || a.leads() || b.leads()).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_or_damaged_lease_is_recreated() {
    let server = Arc::new(Server::default());
    let (a, b) = two(&server).await;
    let term = a.term().unwrap();
    server.delete();
    // The leader creates the Lease again and begins a new term: the old term belongs to the deleted Lease.
    advance_until("a new term", &[&a, &b], || term.lost.is_cancelled() && a.leads()).await;
    assert_eq!(a.term().unwrap().lease, "lease-2");
    // A dead leader does not create it again, and its term expires.
    a.access.link(Link::Cut);
    server.delete();
    advance_until("b leads", &[&a, &b], || b.leads()).await;
    assert_eq!(b.term().unwrap().lease, "lease-3");
    a.access.link(Link::Up);

    for damage in [json!({}), json!(null), json!({ "holderIdentity": "x", "leaseDurationSeconds": -1 })] {
        // A client that removes the holder releases the Lease before its leader can know.
        server.edit(|lease| lease["spec"] = damage);
        sleep(Duration::from_secs(25)).await;
        assert!(a.leads() != b.leads());
    }
}

#[tokio::test(start_paused = true)]
async fn two_replicas_with_one_name_are_distinguished() {
    let server = Arc::new(Server::default());
    let (a, twin) = (Elector::start(&server, "same"), Elector::start(&server, "same"));
    advance_until("one leads", &[&a, &twin], || a.leads() || twin.leads()).await;
    pass(Duration::from_secs(60), &[&a, &twin]).await;
}

#[tokio::test(start_paused = true)]
async fn the_lease_duration_of_the_holder_is_respected() {
    let server = Arc::new(Server::default());
    let (a, b) = two(&server).await;
    a.access.link(Link::Cut);
    server.edit(|lease| lease["spec"]["leaseDurationSeconds"] = json!(40));
    let taken = advance_until("b leads", &[&a, &b], || b.leads()).await;
    assert!(taken > Duration::from_secs(39), "{taken:?}");
}
