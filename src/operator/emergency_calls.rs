//! An event on the Tenant for each emergency call that a switch recorded.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tracing::warn;

use super::events::publish_once;
use crate::reconcile::Note;
use crate::resources::{API_VERSION, Kind};
use crate::store::Reader;
use crate::store::emergency_calls::{CHANNEL, UnannouncedCall};
use crate::store::error::{PgContext, StoreError, lost_connection};
use crate::util::backoff::Backoff;

/// Pauses between connections to Postgres.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
/// Interval at which the calls are read without a notification: an event that the API server did not take is
/// written again.
const POLL: Duration = Duration::from_secs(30);

/// Raises the events of recorded calls, those from before the start first. Never returns.
pub async fn announce(reader: Reader, client: Client, instance: String) {
    let mut backoff = BACKOFF;
    loop {
        let Err(cause) = follow(&reader, &client, &instance, &mut backoff).await;
        warn!(category = cause.category(), %cause, "emergency calls cannot be followed; retrying");
        tokio::time::sleep(backoff.pause()).await;
    }
}

async fn follow(
    reader: &Reader,
    client: &Client,
    instance: &str,
    backoff: &mut Backoff,
) -> Result<std::convert::Infallible, StoreError> {
    // Listens before it reads, so that no notification is missed between the two.
    let mut listener = reader.listen(CHANNEL).await?;
    loop {
        for call in reader.unannounced_emergency_calls().await? {
            announce_one(reader, client, instance, call).await?;
        }
        backoff.reset();
        if let Ok(received) = tokio::time::timeout(POLL, listener.try_recv()).await
            && received.context("listening to emergency calls")?.is_none()
        {
            return Err(lost_connection());
        }
    }
}

/// Raises the event of a call, and records that. The event's name has the call's identity, so that a process that
/// ends between the two raises no second one.
async fn announce_one(
    reader: &Reader,
    client: &Client,
    instance: &str,
    call: UnannouncedCall,
) -> Result<(), StoreError> {
    if let Some((namespace, name, uid)) = call.tenant.clone() {
        let regarding = ObjectReference {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some(Kind::Tenant.to_string()),
            namespace: Some(namespace),
            name: Some(name),
            uid: Some(uid),
            ..ObjectReference::default()
        };
        let id = format!("{}-{}", call.call.uuid, call.call.number);
        if let Err(cause) = publish_once(client.clone(), instance, regarding, note(&call), &id).await {
            warn!(call = %call.call.uuid, %cause, "the event of an emergency call could not be written; retrying");
            return Ok(());
        }
    }
    reader.emergency_call_announced(call.call.uuid, &call.call.number).await
}

fn note(UnannouncedCall { call, switch, .. }: &UnannouncedCall) -> Note {
    let mut text = format!("Extension {}", call.extension);
    if let Some(internal) = &call.internal {
        text.push_str(&format!(" ({internal})"));
    }
    text.push_str(&format!(" called {} at {:.0}", call.number, call.called_at));
    if let Some(location) = &call.location {
        text.push_str(&format!(" from {}", location.name));
        if let Some(address) = &location.address {
            text.push_str(&format!(" ({address})"));
        }
    }
    match &call.shown {
        Some(shown) => text.push_str(&format!(", showing {shown}")),
        None => text.push_str(", showing no number"),
    }
    text.push_str(&format!("; switch {switch}, call {}", call.uuid));
    Note { warning: true, reason: "EmergencyCall".to_owned(), text }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::resources::emergency::{CivicAddress, EmergencyLocation};
    use crate::store::emergency_calls::EmergencyCallRecord;

    #[test]
    fn the_event_says_who_calls_from_where_and_what_is_shown() {
        let address = CivicAddress {
            country: Some("US".to_owned()),
            state: Some("MA".to_owned()),
            city: "Boston".to_owned(),
            postal_code: Some("02108".to_owned()),
            street: "Beacon Street".to_owned(),
            house_number: Some("24".to_owned()),
            building: None,
            floor: Some("3rd floor".to_owned()),
            room: None,
        };
        let location = EmergencyLocation {
            name: "boston".to_owned(),
            caller_id_number: None,
            address: Some(address),
            notify: None,
        };
        let call = EmergencyCallRecord {
            uuid: Uuid::nil(),
            number: "911".to_owned(),
            called_at: "2026-11-30T12:00:00.75Z".parse().unwrap(),
            tenant: Uuid::nil(),
            extension: "desk".to_owned(),
            internal: Some("617".to_owned()),
            shown: Some("+16175550100".to_owned()),
            location: Some(location),
        };
        let said = note(&UnannouncedCall { call, switch: "sw-0".to_owned(), tenant: None });
        assert_eq!(
            said.text,
            "Extension desk (617) called 911 at 2026-11-30T12:00:00Z from boston (3rd floor, Beacon Street 24, \
             Boston, MA, 02108, US), showing +16175550100; switch sw-0, call 00000000-0000-0000-0000-000000000000"
        );
        assert!(said.warning && said.reason == "EmergencyCall");
    }
}
