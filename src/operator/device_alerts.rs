//! An event on a Device with `alertWhenOffline` when none of its lines is registered for so many minutes, and one when
//! it is back. A Device that was never registered since it has `alertWhenOffline` is not announced: a phone still in its
//! box is not lost.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::Api;
use kube::{Client, ResourceExt};
use tracing::warn;

use super::events::publish_once;
use crate::reconcile::Note;
use crate::resources::{API_VERSION, Device, Kind};
use crate::store::device_alerts::{DeviceAlert, DeviceAlerts, Presence};
use crate::store::{Reader, StoreError};

/// Interval at which the records are read.
const POLL: Duration = Duration::from_secs(15);

/// Announces Devices that went offline or came back. Never returns.
pub async fn announce(reader: Reader, client: Client, instance: String) {
    let mut alerts = DeviceAlerts::default();
    let mut failing = false;
    loop {
        match announce_due(&mut alerts, &reader, &client, &instance).await {
            Ok(()) => failing = false,
            Err(cause) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(category = cause.category(), %cause, "Devices that are offline cannot be read; retrying");
                }
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn announce_due(
    alerts: &mut DeviceAlerts,
    reader: &Reader,
    client: &Client,
    instance: &str,
) -> Result<(), StoreError> {
    for alert in alerts.due(reader).await? {
        let api: Api<Device> = Api::namespaced(client.clone(), &alert.namespace);
        let device = match api.get_opt(&alert.device).await {
            Ok(device) => device,
            Err(cause) => {
                warn!(device = alert.device, %cause, "a Device that is offline cannot be read; retrying");
                continue;
            }
        };
        // Who shuts a phone out, or watches it no longer, does not want to hear of it.
        let watched = device.filter(|device| {
            device.spec.alert_when_offline.is_some() && !device.spec.disabled.unwrap_or(false)
        });
        let Some(device) = watched else {
            reader.forget_device(&alert).await?;
            continue;
        };
        let regarding = ObjectReference {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some(Kind::Device.to_string()),
            namespace: Some(alert.namespace.clone()),
            name: Some(alert.device.clone()),
            uid: device.uid(),
            ..ObjectReference::default()
        };
        let note = note(&alert);
        let id = format!("{}-{:x}", note.reason.to_ascii_lowercase(), alert.registered_at.as_second());
        match publish_once(client.clone(), instance, regarding, note, &id).await {
            Ok(()) => reader.device_announced(&alert).await?,
            Err(cause) => {
                warn!(device = alert.device, %cause, "the event of a Device could not be written; retrying");
            }
        }
    }
    Ok(())
}

/// What is announced of a Device.
pub fn note(alert: &DeviceAlert) -> Note {
    let at = format!("{:.0}", alert.registered_at);
    let (warning, reason, text) = match alert.presence {
        Presence::Offline => {
            (true, "DeviceOffline", format!("None of its lines is registered; one was last at {at}"))
        }
        Presence::Online => (false, "DeviceOnline", format!("One of its lines is registered again, at {at}")),
    };
    Note { warning, reason: reason.to_owned(), text }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_event_says_when_the_phone_was_there_last() {
        let alert = |presence| DeviceAlert {
            tenant_id: Uuid::nil(),
            namespace: "acme".to_owned(),
            device: "desk".to_owned(),
            presence,
            registered_at: "2026-11-30T12:00:00.5Z".parse().unwrap(),
        };
        let offline = note(&alert(Presence::Offline));
        assert_eq!(offline.text, "None of its lines is registered; one was last at 2026-11-30T12:00:00Z");
        assert!(offline.warning && offline.reason == "DeviceOffline");
        let online = note(&alert(Presence::Online));
        assert!(!online.warning && online.reason == "DeviceOnline");
    }
}
