//! An emergency call is an event on its Tenant, once.

use super::Site;
use crate::program::recorded;
use crate::wait::{DEADLINE, until};

/// The tenant's id in the recorded requests.
const ACME: &str = "a759cfa5-43e1-52fd-b127-20cc0fb653e5";

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_call_is_one_event_on_its_tenant() {
    let Some(site) = Site::start("operator::emergency").await else { return };
    let operator = site.operator(&[]);
    let switch = site.switch("switch-1");
    site.apply_samples();
    site.samples_ready();
    let acme = site.get("acme", "tenant/acme").unwrap();
    let id = acme["status"]["tenantId"].as_str().unwrap().to_owned();
    let calls = || {
        let recorded = String::from_utf8(recorded("acme-dial-112")).unwrap();
        let (status, answer) = switch.send(recorded.replace(ACME, &id).as_bytes());
        assert!(status == 200 && answer.contains("sofia/gateway/"), "{status} {answer}");
    };
    calls();
    let events = || Some(site.events("acme", "EmergencyCall")).filter(|events| !events.is_empty());
    let told = until(DEADLINE, events).expect("an event");
    assert_eq!(told.len(), 1, "{told:?}");
    for part in [
        "Extension alice (1001) called 112",
        "from berlin (Invalidenstr. 1, Berlin",
        "showing +493023125000",
        "switch-1",
    ] {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
    let announced = "SELECT count(*) FROM public.emergency_calls WHERE announced_at IS NOT NULL";
    while site.count(announced).await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    // The next leader raises no second one, not even if the first did not come to say so; and FreeSWITCH may ask
    // again about the same leg.
    operator.end("-TERM");
    let mut admin = site.database.admin().await;
    sqlx::raw_sql("UPDATE public.emergency_calls SET announced_at = NULL").execute(&mut admin).await.unwrap();
    let _next = site.operator(&[]);
    calls();
    while site.count(announced).await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(site.events("acme", "EmergencyCall").len(), 1);
    assert_eq!(site.count("SELECT count(*) FROM public.emergency_calls").await, 1);

    // A tenant that lists no emergency numbers is Ready, and says so.
    site.tenant("north", ", country: US");
    site.cluster.apply(
        "apiVersion: centrex.dev/v1alpha1\nkind: Trunk\nmetadata: {name: own, namespace: north}\n\
         spec: {sipProfileRef: {name: external}, gateways: [{host: 198.51.100.77}]}\n---\n\
         apiVersion: centrex.dev/v1alpha1\nkind: OutboundRoute\nmetadata: {name: all, namespace: north}\n\
         spec: {tenantRef: {name: north}, priority: 1, match: [{prefix: \"1\"}], trunks: [{name: own}]}\n",
    );
    site.wait_for("north", "tenant/north", "Degraded=True EmergencyNotListed");
    site.wait_for("north", "tenant/north", "Ready=True Ready");
}
