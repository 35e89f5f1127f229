//! A tenant is suspended and another is deleted while the sidecar is stopped and loses its state.

use super::site::Fleet;
use crate::operator::Site;
use crate::wait::DEADLINE;

const SUSPENDED: &str = "SELECT count(*) FROM public.tenants WHERE name = 'acme' AND suspended";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_of_tenants_removed_during_an_outage_are_ended() {
    let Some(mut fleet) = Fleet::start("live::fleet::tenants_that_went_meanwhile", 1).await else { return };
    let phones = fleet.phones;
    let member = &mut fleet.switches[0];
    let acme = member.call(phones);
    let mut globex = member.call_of(&member.hank, &member.ivy, phones);

    member.kill_sidecar();
    member.forget();
    suspend(&fleet.site).await;
    member.start_sidecar(&fleet.site);
    acme.ends(&*member);
    globex.is_up(&*member);
    // Their tenant may make emergency calls.
    assert!(member.is_registered(&member.alice) && member.is_registered(&member.bob));
    assert!(member.is_registered(&member.hank));

    // A tenant that is deleted, with its namespace.
    member.kill_sidecar();
    member.forget();
    fleet.site.cluster.kubectl_ok(&["delete", "tenant", "-n", "globex", "globex", "--timeout=300s"]);
    member.start_sidecar(&fleet.site);
    globex.ends(&*member);
    fleet.site.wait_for("default", "switch/a", "Drifted=False AsPlanned");
}

/// Suspends Acme, and waits until that is stored.
async fn suspend(site: &Site) {
    let patch = r#"{"spec": {"suspended": true}}"#;
    site.cluster.patch("acme", "tenant/acme", patch);
    let start = std::time::Instant::now();
    while site.count(SUSPENDED).await == 0 {
        assert!(start.elapsed() < DEADLINE, "the suspension is not stored");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
