//! Tells the phone of a Device to read its configuration before its registration goes because its password changed:
//! once the registration has gone, no request reaches the phone, and it would try the old password until it polls.

use std::collections::HashMap;

use tracing::{info, warn};

use super::change::{Change, Changes};
use crate::freeswitch::esl::{Client, EslError, Notify};
use crate::freeswitch::registrations::Registrations;
use crate::phones::notify::{Notify as Request, event_for};
use crate::replica::tenants::Snapshot;
use crate::util::domain::canonical;

/// Sends the requests for the changes that flush one registration. A phone that cannot be told is flushed all the same.
///
/// # Errors
/// The session ended.
pub async fn tell(
    client: &Client,
    changes: &Changes,
    replica: &Snapshot,
    registrations: &Registrations,
) -> Result<(), EslError> {
    for notify in requests(changes, replica, registrations) {
        match client.notify(notify.clone()).await {
            Ok(()) => info!(%notify, "the password changed: the phone was told to read its configuration"),
            Err(cause) if cause.ends_session() => return Err(cause),
            Err(cause) => warn!(%notify, %cause, "the password changed, and the phone could not be told"),
        }
    }
    Ok(())
}

fn requests(changes: &Changes, replica: &Snapshot, registrations: &Registrations) -> Vec<Notify> {
    // The domain as the phone spells it is in its registration.
    let mut flushed = HashMap::new();
    for change in changes {
        if let Change::FlushRegistration { tenant: Some(tenant), user, domain } = change
            && let Some(view) = replica.tenants.get(tenant).map(|entry| &entry.view)
            && let Some((_, device)) = view.sip_user(user).and_then(|found| found.device)
            && view.a1_hash(user, domain).is_some()
            && let Some(event) = event_for(device, Request::Resync)
        {
            flushed.insert((user.as_str(), domain.as_str()), event);
        }
    }
    if flushed.is_empty() {
        return Vec::new();
    }
    let current = registrations.current(jiff::Timestamp::now());
    let told = current.iter().filter_map(|(profile, user, _)| {
        let domain = canonical(&user.host)?;
        let event = *flushed.get(&(user.user.as_str(), &*domain))?;
        registrations.notify(profile, user, event)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use jiff::{SignedDuration, Timestamp};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::freeswitch::registrations::{Registration, SipUser};
    use crate::plan::{TenantPlan, TenantRow};
    use crate::replica::tenants::TenantEntry;
    use crate::route::TenantView;

    const TENANT: Uuid = Uuid::from_u128(7);

    /// Acme with a Yealink, a softphone and a disabled phone; each has a line and a password.
    fn replica() -> Snapshot {
        let tenant: TenantRow = serde_json::from_value(json!({
            "id": TENANT, "namespace": "acme", "name": "acme", "ownerUid": "u", "displayName": "Acme",
            "domains": ["acme.example.com"], "suspended": false, "timeZone": "UTC", "recordingTone": false,
            "deletionPolicy": "Retain"
        }))
        .unwrap();
        let mut plan = TenantPlan::empty(tenant);
        let alice = json!({"number": "1001", "displayName": "a", "ringSeconds": 20, "recording": "Never"});
        plan.extensions.insert("alice".to_owned(), serde_json::from_value(alice).unwrap());
        for (name, vendor, disabled) in
            [("desk", "Yealink", false), ("soft", "Linphone", false), ("off", "Yealink", true)]
        {
            let user = format!("1001-{name}");
            let device = json!({
                "mac": "80:5e:c0:00:00:01", "vendor": vendor, "dtmf": "Rfc2833", "registerSeconds": 300, "timeZone": "UTC",
                "provisioningUser": "d-1", "pollHours": 24, "disabled": disabled,
                "lines": [{"position": 1, "extension": "alice", "user": user}]
            });
            let mut device: crate::plan::DeviceRow = serde_json::from_value(device).unwrap();
            let hash = (user.as_str(), "acme.example.com", "0".repeat(32));
            device.secrets.replace_a1_hashes([hash].into_iter());
            plan.devices.insert(name.to_owned(), device);
        }
        let entry = TenantEntry { revision: 1, view: Arc::new(TenantView::new(plan)) };
        Snapshot { tenants: BTreeMap::from([(TENANT, entry)]), ..Snapshot::default() }
    }

    #[test]
    fn a_phone_is_told_that_has_another_password_and_an_event_and_is_registered() {
        let registrations = Registrations::default();
        let users = ["1001-desk", "1001-soft", "1001-off", "1001"];
        for user in users {
            let registered_at = Timestamp::now();
            let registration = Registration {
                call_id: Some(format!("call-of-{user}")),
                address: None,
                port: None,
                user_agent: String::new(),
                transport: String::new(),
                registered_at,
                expires_at: registered_at + SignedDuration::from_secs(300),
            };
            // As the phone spells its domain.
            let user = SipUser { user: user.to_owned(), host: "Acme.Example.com".to_owned() };
            registrations.registered("internal", user, registration);
        }
        let flush = |tenant, user: &str| Change::FlushRegistration {
            tenant,
            user: user.to_owned(),
            domain: "acme.example.com".to_owned(),
        };
        let told = |tenant, users: &[&str]| {
            let changes = users.iter().map(|user| flush(tenant, user)).collect();
            let told = requests(&changes, &replica(), &registrations);
            told.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let expected = "sendevent NOTIFY check-sync;reboot=false to 1001-desk@Acme.Example.com at internal";
        assert_eq!(told(Some(TENANT), &users), [expected]);
        assert!(told(None, &users).is_empty(), "a user of no tenant");
        assert!(told(Some(TENANT), &["1001-other"]).is_empty());
    }
}
