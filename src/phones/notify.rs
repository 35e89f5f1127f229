//! The events of NOTIFY requests that make a phone read its configuration again, or restart.

use super::models::{self, Series};
use crate::plan::DeviceRow;

/// What NOTIFY makes a phone do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// Read its configuration, without a restart if the change allows it.
    Resync,
    /// Restart, and read its configuration then.
    Reboot,
}

/// The value of the `Event` header; `None` for softphones, which have no such event.
///
/// It is text of this table and nothing else: FreeSWITCH writes it into the request as it is (mod_sofia.c,
/// `general_event_handler`). Sources are in docs/phones.md; the reboot of Cisco's MPP phones is not verified.
fn event(series: Series, what: Notify) -> Option<&'static str> {
    let (resync, reboot) = match series {
        Series::Yealink | Series::YealinkDect | Series::Snom => {
            ("check-sync;reboot=false", "check-sync;reboot=true")
        }
        // Its `checkSync.alwaysReboot` is 0: it restarts only if what changed needs it.
        Series::Poly => ("check-sync", "check-sync"),
        // A plain check-sync reboots it.
        Series::GrandstreamItems | Series::GrandstreamPValues => ("resync", "check-sync;reboot=true"),
        Series::Fanvil => ("check-sync", "check-sync;reboot=true"),
        Series::CiscoMpp | Series::CiscoSpa => ("resync", "reboot"),
        Series::CiscoEnterprise | Series::Linphone | Series::Acrobits | Series::MicroSip => return None,
    };
    Some(match what {
        Notify::Resync => resync,
        Notify::Reboot => reboot,
    })
}

/// The same of a Device's phone.
pub fn event_for(device: &DeviceRow, what: Notify) -> Option<&'static str> {
    event(models::find(device.vendor, device.model.as_deref()).series, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::models;
    use crate::resources::device::Vendor;

    #[test]
    fn the_event_that_changes_configuration_is_not_the_one_that_reboots() {
        for (vendor, model, resync) in [
            (Vendor::Yealink, Some("T54W"), "check-sync;reboot=false"),
            (Vendor::Snom, Some("D785"), "check-sync;reboot=false"),
            (Vendor::Grandstream, Some("GRP2614"), "resync"),
            (Vendor::Grandstream, None, "resync"),
            (Vendor::Fanvil, Some("X4U"), "check-sync"),
            (Vendor::Cisco, Some("8841"), "resync"),
            (Vendor::Cisco, Some("SPA504G"), "resync"),
        ] {
            let series = models::find(vendor, model).series;
            assert_eq!(event(series, Notify::Resync), Some(resync), "{model:?}");
            assert_ne!(event(series, Notify::Reboot), Some(resync), "{model:?}");
        }
        assert_eq!(event(Series::Linphone, Notify::Resync), None);
    }

    #[test]
    fn events_have_only_characters_that_a_header_takes_as_they_are() {
        for series in Series::ALL {
            for what in [Notify::Resync, Notify::Reboot] {
                let event = event(series, what).unwrap_or_default();
                assert!(event.chars().all(|c| c.is_ascii_alphanumeric() || "=;_.-".contains(c)), "{event}");
            }
        }
    }
}
