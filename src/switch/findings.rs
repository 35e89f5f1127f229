//! What a sidecar found on its FreeSWITCH.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the switch really has, as far as it was asked. Default: nothing was asked (no ESL configured).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Findings {
    /// FreeSWITCH's version as it says it, such as `1.11.2-release`; none until it was asked.
    pub version: Option<String>,
    /// Whether the event socket is connected; none where none is configured.
    pub connected: Option<bool>,
    /// Whether FreeSWITCH has not been reached for so long that nobody should wait for it.
    pub absent: bool,
    /// Whether new calls are refused, and how many are still up.
    pub draining: bool,
    /// Calls that are up.
    pub calls: u32,
    /// What differs from what should be and was not repaired, in words; at most 20.
    pub drift: Vec<String>,
    /// What could not be applied, by tenant (uuid), in words.
    pub problems: BTreeMap<Uuid, String>,
    /// What of the platform is not on the switch as it should be, by its resource: `SipProfile/name`
    /// or `Trunk/namespace/name`.
    pub held: BTreeMap<String, Held>,
    /// State of each trunk's gateways, by `namespace/name` of the Trunk and index of the gateway:
    /// FreeSWITCH's word, such as `REGED`, `NOREG`, `FAIL_WAIT`, `TRYING` (sofia_reg.c), and UP or DOWN by its pings.
    pub gateways: BTreeMap<String, Vec<GatewayState>>,
}

/// Why a resource of the platform is not on the switch as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Held {
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
