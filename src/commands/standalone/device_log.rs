//! Logs Devices with `alertWhenOffline` that go offline or come back: standalone has no events.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::operator::device_alerts::note;
use crate::replica::tenants::Replica;
use crate::store::device_alerts::{DeviceAlert, DeviceAlerts};
use crate::store::{Reader, StoreError};

/// Interval at which the records are read.
const POLL: Duration = Duration::from_secs(15);

/// Logs until dropped.
pub async fn run(reader: Reader, replica: Arc<Replica>) {
    let mut alerts = DeviceAlerts::default();
    let mut failing = false;
    loop {
        match log_due(&mut alerts, &reader, &replica).await {
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

async fn log_due(alerts: &mut DeviceAlerts, reader: &Reader, replica: &Replica) -> Result<(), StoreError> {
    for alert in alerts.due(reader).await? {
        if is_watched(replica, &alert) {
            let (said, device) = (note(&alert), format!("{}/{}", alert.namespace, alert.device));
            match said.warning {
                true => warn!(device, reason = said.reason, "{}", said.text),
                false => info!(device, reason = said.reason, "{}", said.text),
            }
            reader.device_announced(&alert).await?;
        } else {
            reader.forget_device(&alert).await?;
        }
    }
    Ok(())
}

fn is_watched(replica: &Replica, alert: &DeviceAlert) -> bool {
    let held = replica.held(alert.tenant_id);
    let device = held.as_ref().and_then(|held| held.view.plan.devices.get(&alert.device));
    device.is_some_and(|device| device.offline_alert_minutes.is_some() && !device.disabled)
}
