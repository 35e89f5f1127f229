//! Two writers on a real API server and a real Postgres: how long no process writes after one of them ends.

use std::time::{Duration, Instant};

use centrex::operator::lease::{Election, Leadership, LeaseOptions, Term, elect};
use centrex::store::{Elected, Store, StoreOptions, WriterIdentity};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::plans;
use crate::postgres::{Database, keyring};
use crate::wait::{DEADLINE, until};

const LEASE: Duration = Duration::from_secs(15);

/// A replica with a runtime of its own, which can be ended as a killed process is.
struct Replica {
    runtime: Runtime,
    name: &'static str,
    stop: CancellationToken,
    election: Election,
    store: StoreOptions,
}

impl Replica {
    fn start(cluster: &Cluster, store: &StoreOptions, options: LeaseOptions, name: &'static str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let election = runtime.block_on(async {
            let config =
                kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
            let client = kube::Client::try_from(config.unwrap()).unwrap();
            elect(client, LeaseOptions { identity: name.to_owned(), ..options }, stop.clone())
        });
        Self { runtime, name, stop, election, store: store.clone() }
    }

    /// Waits until the replica leads, and opens its store as an operator does: the term and the store.
    fn leads(&mut self) -> (Term, Store) {
        let leadership = &mut self.election.leadership;
        let (store, name) = (&self.store, self.name);
        self.runtime.block_on(async {
            let wanted = leadership.wait_for(|leadership| matches!(leadership, Leadership::Leading(_)));
            let term = match &*tokio::time::timeout(DEADLINE, wanted).await.expect("never led").unwrap() {
                Leadership::Leading(term) => term.clone(),
                Leadership::Following { .. } => unreachable!(),
            };
            let elected = Elected { lease: term.lease.clone(), transition: term.transition };
            let candidate = WriterIdentity { holder: name.to_owned(), elected: Some(elected) };
            let started = Instant::now();
            loop {
                match Store::lead(store, &candidate).await {
                    Ok(store) => return (term, store),
                    Err(error) => assert!(error.is_passing() && started.elapsed() < DEADLINE, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    }

    fn writes(&self, store: &Store) {
        let name = format!("t{}", Uuid::now_v7().simple());
        self.runtime.block_on(store.write_tenant(&plans::tenant_with(&name, 1))).unwrap();
    }

    fn follows(&mut self, whom: &str) {
        let holder = format!("{whom}_");
        let wanted = |leadership: &Leadership| matches!(leadership, Leadership::Following { leader: Some(leader) } if leader.starts_with(&holder));
        let leadership = &mut self.election.leadership;
        self.runtime.block_on(async {
            drop(
                tokio::time::timeout(DEADLINE, leadership.wait_for(wanted))
                    .await
                    .expect("never followed")
                    .unwrap(),
            );
        });
    }

    /// Ends all work of the replica, as SIGKILL does: connections close, and the Lease is not released.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

fn lease(duration: Duration) -> LeaseOptions {
    let name = format!("test-{}", Uuid::now_v7().simple());
    LeaseOptions { namespace: "default".to_owned(), name, identity: String::new(), duration }
}

#[test]
fn another_replica_takes_over() {
    let test = "lease: failover on a cluster";
    let main = Runtime::new().unwrap();
    let Some(database) = main.block_on(Database::start(test)) else { return };
    let Some(cluster) = Cluster::shared(test) else { return };
    let store = database.store_options(&keyring(&[(1, 'a')]));
    let options = lease(LEASE);
    let mut a = Replica::start(cluster, &store, options.clone(), "a");
    let (term_of_a, store_of_a) = a.leads();
    a.writes(&store_of_a);
    let mut b = Replica::start(cluster, &store, options.clone(), "b");
    b.follows("a");

    // Stopped: first the work ends, then the Lease is released.
    let started = Instant::now();
    a.runtime.block_on(store_of_a.resign());
    a.stop.cancel();
    let (term_of_b, store_of_b) = b.leads();
    b.writes(&store_of_b);
    let in_order = started.elapsed();
    assert!(in_order < Duration::from_secs(5), "{in_order:?}");
    assert!(term_of_a.lost.is_cancelled());
    assert_eq!((&term_of_b.lease, term_of_b.transition), (&term_of_a.lease, term_of_a.transition + 1));
    a.runtime.block_on(a.election.ended());

    // Killed.
    let mut c = Replica::start(cluster, &store, options.clone(), "c");
    c.follows("b");
    let started = Instant::now();
    b.kill();
    let (term_of_c, store_of_c) = c.leads();
    c.writes(&store_of_c);
    let killed = started.elapsed();
    assert!(killed < LEASE + Duration::from_secs(5), "{killed:?}");
    assert_eq!(term_of_c.transition, term_of_b.transition + 1);
    println!("failover, lease of {LEASE:?}: ended in order {in_order:.2?}, killed {killed:.2?}");

    let leases: Api<Lease> = Api::namespaced(main.block_on(cluster.client()), &options.namespace);
    let spec = main.block_on(leases.get(&options.name)).unwrap().spec.unwrap();
    assert!(spec.holder_identity.unwrap().starts_with("c_"));
    assert_eq!((spec.lease_duration_seconds, spec.lease_transitions), (Some(15), Some(2)));
}

#[test]
fn a_leader_that_loses_the_api_server_stops_before_its_lease_expires() {
    let test = "lease: API server away";
    let main = Runtime::new().unwrap();
    let Some(database) = main.block_on(Database::start(test)) else { return };
    let Some(cluster) = Cluster::own(test) else { return };
    let store = database.store_options(&keyring(&[(1, 'a')]));
    let duration = Duration::from_secs(6);
    let options = lease(duration);
    let mut a = Replica::start(&cluster, &store, options.clone(), "a");
    let (term, store_of_a) = a.leads();
    a.writes(&store_of_a);
    let b = Replica::start(&cluster, &store, options, "b");

    let lost = term.lost.clone();
    let stopped = a.runtime.spawn(async move {
        tokio::time::timeout(DEADLINE, lost.cancelled()).await.expect("the leader never stopped");
        Instant::now()
    });
    let started = Instant::now();
    cluster.stop_api_server();
    let away = started.elapsed();
    let stopped = main.block_on(stopped).unwrap() - started;
    println!(
        "API server told to end, gone {away:.2?} later; lease of {duration:?}: the leader stopped after {stopped:.2?}"
    );
    assert!(stopped <= away + duration * 2 / 3 + Duration::from_millis(200), "{stopped:?}");
    assert!(a.election.life.age() < duration && b.election.life.age() < duration);
    // Until another process begins a term, this store could still write, so the leader must end its work.
    a.runtime.block_on(store_of_a.resign());

    cluster.start_api_server();
    let leads = |replica: &Replica| matches!(&*replica.election.leadership.borrow(), Leadership::Leading(_));
    assert!(until(DEADLINE, || (leads(&a) || leads(&b)).then_some(())).is_some(), "no replica leads again");
    assert!(!(leads(&a) && leads(&b)));
}
