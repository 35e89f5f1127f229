//! Registrations of switches, and Devices that go offline and come back.

use std::collections::BTreeMap;
use std::time::Duration;

use centrex::store::device_alerts::{DeviceAlerts, Presence};
use centrex::store::registrations::{RegistrationKey, RegistrationRow, WatchedDevice};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::plans;
use crate::postgres::{Database, keyring};

fn row(tenant_id: Uuid, user: &str) -> (RegistrationKey, RegistrationRow) {
    let key = RegistrationKey {
        profile: "internal".to_owned(),
        sip_user: user.to_owned(),
        domain: "acme.example.com".to_owned(),
    };
    let now = Timestamp::now();
    let row = RegistrationRow {
        tenant_id,
        extension: "bob".to_owned(),
        device: Some("desk".to_owned()),
        address: Some("2001:db8::7".to_owned()),
        port: Some(5060),
        user_agent: "'; DROP TABLE public.registrations; -- \"\\u0000\\".to_owned(),
        transport: "tls".to_owned(),
        call_id: Some("c'1\"@x".to_owned()),
        registered_at: now,
        expires_at: now + SignedDuration::from_secs(300),
    };
    (key, row)
}

#[tokio::test]
async fn a_switch_writes_its_own_registrations_and_removes_no_others() {
    let Some(database) = Database::start("store: registrations").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    let reader = store.reader();
    let tenant = Uuid::from_u128(7);
    let all: BTreeMap<_, _> = ["1001", "1002"].map(|user| row(tenant, user)).into();
    for switch in ["a", "b"] {
        reader.replace_registrations(switch, &all).await.unwrap();
    }
    let (key, mut changed) = row(tenant, "1001");
    changed.user_agent = "Phone/2".to_owned();
    let (gone, _) = row(tenant, "1002");
    reader.change_registrations("a", &[(&key, &changed)], &[&gone]).await.unwrap();
    assert_eq!(reader.count_registrations("a").await.unwrap(), 1);
    assert_eq!(reader.count_registrations("b").await.unwrap(), 2);
    let mut admin = database.admin().await;
    let agents: Vec<(String, String)> = sqlx::query_as(
        "SELECT switch || ' ' || sip_user, user_agent FROM public.registrations ORDER BY switch, sip_user",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let hostile = row(tenant, "").1.user_agent;
    let expected = [("a 1001", "Phone/2"), ("b 1001", &hostile), ("b 1002", &hostile)]
        .map(|(a, b)| (a.into(), b.into()));
    assert_eq!(agents, expected);
    // Switch b is gone for hours.
    sqlx::query("UPDATE public.registrations SET expires_at = now() - interval '2 hours' WHERE switch = 'b'")
        .execute(&mut admin)
        .await
        .unwrap();
    reader.replace_registrations("a", &BTreeMap::new()).await.unwrap();
    assert_eq!(reader.count_registrations("a").await.unwrap(), 0);
    assert_eq!(reader.count_registrations("b").await.unwrap(), 0);
}

#[tokio::test]
async fn an_absence_is_announced_once_and_so_is_the_return() {
    let Some(database) = Database::start("store: Devices offline").await else { return };
    let store = database.store(&keyring(&[(1, 'a')])).await;
    store.write_tenant(&plans::tenant("first")).await.unwrap();
    let reader = store.reader();
    let mut admin = database.admin().await;
    let tenant_id: Uuid =
        sqlx::query_scalar("SELECT id FROM public.tenants").fetch_one(&mut admin).await.unwrap();
    let desk = WatchedDevice { tenant_id, device: "desk".to_owned(), minutes: 5 };
    // A Device of a tenant that was dropped keeps no other out.
    let lost = WatchedDevice { tenant_id: Uuid::from_u128(1), device: "desk".to_owned(), minutes: 5 };
    reader.record_watched_devices(&[lost, desk.clone()]).await.unwrap();
    let away = "UPDATE public.device_alerts SET registered_at = registered_at - interval '6 minutes',
                       announced_at = announced_at - interval '6 minutes'";
    sqlx::query(away).execute(&mut admin).await.unwrap();

    let mut alerts = DeviceAlerts::default();
    assert_eq!(alerts.due(reader).await.unwrap(), [], "no switch reports");
    let later = Duration::from_secs(100);
    let wait = async |length| {
        tokio::time::pause();
        tokio::time::advance(length).await;
        tokio::time::resume();
    };
    wait(later).await;
    let switch = "INSERT INTO public.switches (name, instance) VALUES ('a', gen_random_uuid())
                  ON CONFLICT (name) DO UPDATE SET last_seen = now()";
    sqlx::query(switch).execute(&mut admin).await.unwrap();
    assert_eq!(alerts.due(reader).await.unwrap(), [], "a switch reports since just now");
    wait(later).await;
    sqlx::query(switch).execute(&mut admin).await.unwrap();
    let due = alerts.due(reader).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].device.as_str(), due[0].presence), ("desk", Presence::Offline));
    reader.device_announced(&due[0]).await.unwrap();
    assert_eq!(alerts.due(reader).await.unwrap(), []);

    sqlx::query(away).execute(&mut admin).await.unwrap();
    reader.record_watched_devices(&[desk]).await.unwrap();
    let due = alerts.due(reader).await.unwrap();
    assert_eq!(due.iter().map(|due| due.presence).collect::<Vec<_>>(), [Presence::Online]);
    reader.device_announced(&due[0]).await.unwrap();
    assert_eq!(alerts.due(reader).await.unwrap(), []);
    // Silence of all switches is no absence of all phones.
    sqlx::query(away).execute(&mut admin).await.unwrap();
    sqlx::query("UPDATE public.switches SET last_seen = now() - interval '1 minute'")
        .execute(&mut admin)
        .await
        .unwrap();
    assert_eq!(alerts.due(reader).await.unwrap(), []);
    sqlx::query(switch).execute(&mut admin).await.unwrap();
    assert_eq!(alerts.due(reader).await.unwrap(), [], "not at once");
}
