//! What a sidecar reports of its FreeSWITCH: applied revisions, and the state that it found.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A FreeSWITCH whose event socket is unreachable for this long has ended, and its calls with it.
pub const FREESWITCH_GONE_AFTER: Duration = Duration::from_secs(3);

/// The state of a switch as its sidecar found it. The default is that of a sidecar without an event socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SwitchReport {
    /// FreeSWITCH's version, such as `1.11.2-release`; `None` until it is known.
    pub version: Option<String>,
    /// Whether the event socket is connected; `None` when none is configured.
    pub connected: Option<bool>,
    /// Whether FreeSWITCH is unreachable for so long that resources no longer wait for it.
    pub absent: bool,
    /// Whether the switch is drained: new calls are refused.
    pub draining: bool,
    /// Whether the drain is only due to the end of the pod. Not stored: known to this process only.
    #[serde(skip)]
    pub ending: bool,
    /// Whether FreeSWITCH listens for SIP: first with every profile, and from then on with at least one.
    /// Not stored: known to this process only.
    #[serde(skip)]
    pub listening: bool,
    /// Number of calls in progress.
    pub calls: u32,
    /// Differences from the desired state that were not repaired, in words; at most 20.
    pub drift: Vec<String>,
    /// Errors of applying, in words, by tenant (UUID).
    pub problems: BTreeMap<Uuid, String>,
    /// Resources of the platform that are not applied, by `SipProfile/name` or `Trunk/namespace/name`.
    pub held: BTreeMap<String, NotApplied>,
    /// State of each trunk's gateways, by `namespace/name` of the Trunk and index of the gateway:
    /// FreeSWITCH's registration state, such as `REGED`, `NOREG`, `FAIL_WAIT`, `TRYING` (sofia_reg.c), and
    /// whether the gateway is up.
    pub gateways: BTreeMap<String, Vec<GatewayState>>,
}

impl SwitchReport {
    /// Why the switch is not ready for new calls, in words; empty when it is. The end of its pod is no
    /// reason: its Service already excludes the pod, which must stay reachable for its calls.
    pub fn missing(&self) -> Vec<&'static str> {
        let reasons = [
            (self.connected != Some(true), "the event socket of FreeSWITCH is not connected"),
            (!self.listening, "FreeSWITCH does not listen with its SIP profiles yet"),
            (self.draining && !self.ending, "the switch is drained (centrex switch resume ends that)"),
        ];
        reasons.into_iter().filter_map(|(missing, why)| missing.then_some(why)).collect()
    }
}

/// Why a resource of the platform is not applied on the switch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NotApplied {
    /// Whether nothing failed, and the switch waits for calls to end or for a person.
    pub waits: bool,
    /// The reason, in words.
    pub why: String,
}

/// The state of a trunk's gateway on one switch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayState {
    /// FreeSWITCH's registration state.
    pub state: String,
    /// Whether FreeSWITCH sends calls by the gateway: it is registered since its last failure, or answers
    /// pings.
    pub up: bool,
}

/// Transient states (`sofia_gateway_state` in mod_sofia.h): a gateway passes through them with every
/// renewal of its registration, and stays registered at the carrier meanwhile.
const TRANSIENT_STATES: [&str; 3] = ["UNREGED", "TRYING", "REGISTER"];

impl GatewayState {
    /// Whether the state is transient.
    pub fn is_transient(&self) -> bool {
        TRANSIENT_STATES.contains(&self.state.as_str())
    }
}

/// Whether calls can leave by a trunk with these gateways; `None` while that is unknown, or they register
/// for the first time.
pub fn usable(gateways: &[GatewayState]) -> Option<bool> {
    if gateways.iter().any(|gateway| gateway.up) {
        return Some(true);
    }
    let settled = !gateways.is_empty() && !gateways.iter().any(GatewayState::is_transient);
    settled.then_some(false)
}

/// Revisions that are applied on the switch and verified there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Revision of the platform's rows.
    pub platform: i64,
    /// Revisions of tenants.
    pub tenants: BTreeMap<Uuid, i64>,
}

/// The identity of a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchInfo {
    /// Name of the switch; only one sidecar reports under it.
    pub name: String,
    /// Host that the switch runs on.
    pub hostname: Option<String>,
}

/// The applied revisions of a switch, and its report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchState {
    /// Revision of the platform's rows.
    pub platform: i64,
    /// Revisions of tenants.
    pub tenants: HashMap<Uuid, i64>,
    /// The last report of its sidecar, without short-lived states.
    pub findings: SwitchReport,
}

/// A change of the switches' reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    /// All switches: at the start, and after a lost connection.
    Reset {
        /// Switches with a heartbeat, and their state.
        reporting: Vec<(SwitchInfo, SwitchState)>,
        /// Switches without a heartbeat that are not gone yet.
        silent: Vec<SwitchInfo>,
    },
    /// A switch is new, restarted, or reports again.
    Appeared(SwitchInfo, SwitchState),
    /// Applied revisions of a switch changed.
    Revisions {
        /// Name of the switch.
        switch: String,
        /// Revision of the platform's rows, if it changed.
        platform: Option<i64>,
        /// Changed revisions of tenants; `None` for a tenant that the switch no longer has.
        tenants: Vec<(Uuid, Option<i64>)>,
    },
    /// The report of a switch changed.
    Report {
        /// Name of the switch.
        switch: String,
        /// The new report.
        findings: SwitchReport,
    },
    /// A switch missed heartbeats, and still counts.
    Late(String),
    /// A switch sent no heartbeat for [`SILENT_AFTER`], and no longer counts.
    Silent(String),
    /// A switch ended, or was silent for too long.
    Gone(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_calls_are_sent_to_a_switch_that_listens_and_is_not_drained() {
        let good = SwitchReport { connected: Some(true), listening: true, ..SwitchReport::default() };
        assert!(good.missing().is_empty());
        let ending = SwitchReport { draining: true, ending: true, ..good.clone() };
        assert!(ending.missing().is_empty(), "its pod ends: whoever has a call there must still reach it");
        for bad in [
            SwitchReport { connected: Some(false), ..good.clone() },
            SwitchReport { connected: None, ..good.clone() },
            SwitchReport { listening: false, ..good.clone() },
            SwitchReport { draining: true, ..good.clone() },
        ] {
            assert_eq!(bad.missing().len(), 1, "{bad:?}");
        }
    }
}
