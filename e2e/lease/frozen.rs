//! A leader that is frozen, as by SIGSTOP or a suspended machine, in real time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use centrex::operator::lease::{Leadership, elect};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::api::Server;
use super::options;

const LEASE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_leader_that_was_frozen_finds_its_term_over() {
    let server = Arc::new(Server::default());
    let (leads, leading) = std::sync::mpsc::channel();
    let of_a = server.access(SignedDuration::ZERO);
    // On its own thread, so that the whole leader can be blocked at once.
    let a = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut election = elect(of_a.client(), options("a", LEASE), CancellationToken::new());
            let wanted = |leadership: &Leadership| matches!(leadership, Leadership::Leading(_));
            let term = match &*election.leadership.wait_for(wanted).await.unwrap() {
                Leadership::Leading(term) => term.clone(),
                Leadership::Following { .. } => unreachable!(),
            };
            leads.send(term.transition).unwrap();
            std::thread::sleep(LEASE * 2);
            assert!(election.life.age() > LEASE, "the age does not show that the leader hung");
            // The leader's timer runs first, and ends the term before the leader sends a request.
            let woken = Instant::now();
            term.lost.cancelled().await;
            assert!(woken.elapsed() < Duration::from_millis(100), "{:?}", woken.elapsed());
            let other = |leadership: &Leadership| matches!(leadership, Leadership::Following { leader: Some(leader) } if leader.starts_with("b_"));
            drop(tokio::time::timeout(LEASE, election.leadership.wait_for(other)).await.unwrap().unwrap());
        });
    });
    let transition = tokio::task::spawn_blocking(move || leading.recv().unwrap()).await.unwrap();
    let mut b =
        elect(server.access(SignedDuration::ZERO).client(), options("b", LEASE), CancellationToken::new());
    let started = Instant::now();
    let leading = b.leadership.wait_for(|leadership| matches!(leadership, Leadership::Leading(_)));
    match &*tokio::time::timeout(LEASE * 2, leading).await.unwrap().unwrap() {
        Leadership::Leading(term) => assert_eq!(term.transition, transition + 1),
        Leadership::Following { .. } => unreachable!(),
    }
    assert!(started.elapsed() > LEASE - Duration::from_millis(100), "{:?}", started.elapsed());
    tokio::task::spawn_blocking(move || a.join().unwrap()).await.unwrap();
}
