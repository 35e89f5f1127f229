//! A Device whose phone is gone is an event on it, and so is its return.

use std::time::Duration;

use super::Site;
use crate::wait::until;

/// Switches must report for 90 seconds before an absence is believed.
const PATIENT: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_gone_is_an_event_on_it_and_so_is_its_return() {
    let Some(site) = Site::start("operator::device_alerts").await else { return };
    let _operator = site.operator(&[]);
    let _switch = site.switch("switch-1");
    site.tenant("north", "");
    site.cluster.apply(&site.extension("north", 100));
    let device = |name: &str, mac: u8, watched: &str| {
        format!(
            "---\napiVersion: centrex.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}, namespace: north}}\n\
             spec: {{tenantRef: {{name: north}}, mac: \"80:5e:c0:12:34:{mac:02x}\", vendor: Snom{watched}, \
             lines: [{{extensionRef: {{name: e100}}}}]}}\n"
        )
    };
    let watched = ", alertWhenOffline: {minutes: 5}";
    site.cluster.apply(&(device("desk", 1, watched) + &device("other", 2, "")));
    site.wait_for("north", "device/desk", "Ready=True Ready");
    site.wait_for("north", "device/other", "Ready=True Ready");
    // As a switch records them: both were registered once.
    let seen = "INSERT INTO public.device_alerts (tenant_id, device, minutes, registered_at)
                SELECT id, device, 5, now() - interval '6 minutes'
                FROM public.tenants, unnest(ARRAY['desk', 'other']) AS d (device) WHERE name = 'north'";
    let mut admin = site.database.admin().await;
    sqlx::raw_sql(seen).execute(&mut admin).await.unwrap();
    let told = |reason: &str| {
        let told = until(PATIENT, || Some(site.events("north", reason)).filter(|events| !events.is_empty()));
        told.unwrap_or_else(|| panic!("no event {reason}"))
    };
    let gone = told("DeviceOffline");
    assert!(gone.len() == 1 && gone[0].contains("None of its lines is registered"), "{gone:?}");

    let back = "UPDATE public.device_alerts SET registered_at = now() WHERE device = 'desk'";
    sqlx::raw_sql(back).execute(&mut admin).await.unwrap();
    let back = told("DeviceOnline");
    assert!(back.len() == 1 && back[0].contains("registered again"), "{back:?}");
    assert_eq!(site.events("north", "DeviceOffline").len(), 1);
    // A Device that nobody watches is forgotten, without a word.
    let left = "SELECT count(*) FROM public.device_alerts WHERE device = 'other'";
    while site.count(left).await > 0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
