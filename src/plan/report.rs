//! What a sidecar reports of its FreeSWITCH: revisions that are applied, and what was found on it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A FreeSWITCH whose event socket is not reached for so long has ended, and its calls with it.
pub const GONE: Duration = Duration::from_secs(3);

/// After how long a switch that is not heard is named: two of its signs of life are missing.
pub const LATE: Duration = Duration::from_secs(12);
/// How long a switch that is not heard still counts. Longer than the pause between its signs of
/// life, and than a sidecar needs to start again.
pub const SILENT: Duration = Duration::from_secs(30);
/// What the switch really has, as far as it was asked. Default: nothing was asked (no ESL configured).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SwitchReport {
    /// FreeSWITCH's version as it says it, such as `1.11.2-release`; none until it was asked.
    pub version: Option<String>,
    /// Whether the event socket is connected; none where none is configured.
    pub connected: Option<bool>,
    /// Whether FreeSWITCH has not been reached for so long that nobody should wait for it.
    pub absent: bool,
    /// Whether new calls are refused, and how many are still up.
    pub draining: bool,
    /// Whether they are refused because the pod ends: no more than that was asked for. Of this process.
    #[serde(skip)]
    pub ending: bool,
    /// Whether it listens for SIP: with every profile that it should have, and when it once did, with one
    /// of them at least. Of this process.
    #[serde(skip)]
    pub listening: bool,
    /// Calls that are up.
    pub calls: u32,
    /// What differs from what should be and was not repaired, in words; at most 20.
    pub drift: Vec<String>,
    /// What could not be applied, by tenant (uuid), in words.
    pub problems: BTreeMap<Uuid, String>,
    /// What of the platform is not on the switch as it should be, by its resource: `SipProfile/name`
    /// or `Trunk/namespace/name`.
    pub held: BTreeMap<String, NotApplied>,
    /// State of each trunk's gateways, by `namespace/name` of the Trunk and index of the gateway:
    /// FreeSWITCH's word, such as `REGED`, `NOREG`, `FAIL_WAIT`, `TRYING` (sofia_reg.c), and UP or DOWN by its pings.
    pub gateways: BTreeMap<String, Vec<GatewayState>>,
}

impl SwitchReport {
    /// Why no new calls should be sent to the switch, in words; nothing when they may. One whose pod
    /// ends is left by its Service for that reason already, and is where its calls are.
    pub fn missing(&self) -> Vec<&'static str> {
        let told = [
            (self.connected != Some(true), "the event socket of FreeSWITCH is not connected"),
            (!self.listening, "FreeSWITCH does not listen with its SIP profiles yet"),
            (self.draining && !self.ending, "the switch is drained (centrex switch resume ends that)"),
        ];
        told.into_iter().filter_map(|(missing, why)| missing.then_some(why)).collect()
    }
}

/// Why a resource of the platform is not on the switch as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NotApplied {
    /// True where nothing failed: a profile's calls, or a person, are waited for.
    pub waits: bool,
    /// In words.
    pub why: String,
}

/// How a trunk's gateway is on one switch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayState {
    /// State of its registration, as FreeSWITCH says it.
    pub state: String,
    /// Whether FreeSWITCH sends calls by it: one that registers has been registered since it failed
    /// last, one that is pinged answers.
    pub up: bool,
}

/// States on the way from one to another (`sofia_gateway_state` in mod_sofia.h): a gateway goes
/// through them with every renewal of its registration, and is registered at the carrier meanwhile.
const BETWEEN: [&str; 3] = ["UNREGED", "TRYING", "REGISTER"];

impl GatewayState {
    /// Whether its state is one on the way from one to another.
    pub fn is_passing(&self) -> bool {
        BETWEEN.contains(&self.state.as_str())
    }
}

/// Whether calls can leave by a trunk whose gateways these are; none where that is not known, or they
/// register for the first time.
pub fn usable(gateways: &[GatewayState]) -> Option<bool> {
    if gateways.iter().any(|gateway| gateway.up) {
        return Some(true);
    }
    let settled = !gateways.is_empty() && !gateways.iter().any(GatewayState::is_passing);
    settled.then_some(false)
}

/// How far the switch is: what was applied to it and checked there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Revision of the platform's rows.
    pub platform: i64,
    /// Revisions of tenants.
    pub tenants: BTreeMap<Uuid, i64>,
}

/// A switch, as its sidecar knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchInfo {
    /// Its name: one of them reports under it.
    pub name: String,
    /// Host it runs on.
    pub hostname: Option<String>,
}

/// What a switch holds, and what was found on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchState {
    /// Revision of the platform's rows.
    pub platform: i64,
    /// Revisions of tenants.
    pub tenants: HashMap<Uuid, i64>,
    /// What its sidecar found on it, as far as that lasts.
    pub findings: SwitchReport,
}

/// News of the switches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ack {
    /// All there are: at the start, and after a connection was lost.
    Reset {
        /// Those that are heard, and what they hold.
        reporting: Vec<(SwitchInfo, SwitchState)>,
        /// Those that are not heard, and not yet gone.
        silent: Vec<SwitchInfo>,
    },
    /// A switch that is new, began anew, or is heard again.
    Appeared(SwitchInfo, SwitchState),
    /// What a switch holds differs.
    Revisions {
        /// Its name.
        switch: String,
        /// Revision of the platform's rows, when that differs.
        platform: Option<i64>,
        /// Revisions of tenants that differ; none for one it no longer holds.
        tenants: Vec<(Uuid, Option<i64>)>,
    },
    /// What was found on a switch differs.
    Found {
        /// Its name.
        switch: String,
        /// All that is found now.
        findings: SwitchReport,
    },
    /// It should have been heard by now, and counts still.
    Late(String),
    /// It has not been heard for a while, and counts no more.
    Silent(String),
    /// It has ended, or was silent for too long.
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
