//! Puts names of resources into records, in place of FreeSWITCH's names: the trunk of a gateway or of the
//! number that an outside caller dialled, and the extension of a number. Names come from the present state of
//! the replica; if a resource was removed during the call, the record keeps the number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::record::{Cdr, Leg};
use crate::plan::PlatformPlan;
use crate::replica::tenants::Replica;
use crate::route::TenantView;
use crate::route::token::Caller;
use crate::secrets::signing_key::SigningKey;

/// Names of trunks, by the names of their gateways.
type Trunks = HashMap<String, String>;

/// Resolves names of resources.
#[derive(Debug)]
pub struct ResourceNames {
    replica: Arc<Replica>,
    /// Trunks by gateway, with the plan that they were computed from.
    gateways: Mutex<(Arc<PlatformPlan>, Arc<Trunks>)>,
}

impl ResourceNames {
    /// Resolves names in a replica.
    pub fn new(replica: Arc<Replica>) -> Self {
        Self { replica, gateways: Mutex::default() }
    }

    /// Fills in the extension and the trunk of a tenant's record, and writes an outside caller's number in E.164 form. A
    /// Device's call shows the number of its extension, not the SIP user of its line.
    pub fn fill_in(&self, key: &SigningKey, tenant: Uuid, caller: &Caller, cdr: &mut Cdr) {
        let platform = self.replica.platform();
        let held = self.replica.held(tenant);
        let view = held.as_ref().map(|held| held.view.as_ref());
        if cdr.leg == Leg::B
            && let Some((name, _)) =
                view.zip(cdr.extension.as_ref()).and_then(|(view, number)| view.extension(number))
        {
            cdr.extension = Some(name.to_owned());
        }
        if let Some(view) = view {
            for user in [&mut cdr.caller_number, &mut cdr.caller_name, &mut cdr.destination] {
                if let Some(line) = user.as_deref().and_then(|user| view.sip_user(user))
                    && line.device.is_some()
                {
                    *user = Some(line.row.number.clone());
                }
            }
        }
        let gateways = self.gateways(key, &platform);
        let from_outside = cdr.leg == Leg::A && *caller == Caller::Outside;
        cdr.trunk = cdr.gateway.as_ref().and_then(|gateway| gateways.get(gateway).cloned()).or_else(|| {
            inbound_trunk(&platform, view.filter(|_| from_outside)?, cdr.destination.as_deref()?)
        });
        let trunk = cdr.trunk.as_ref().filter(|_| from_outside).and_then(|name| platform.trunks.get(name));
        if let Some((trunk, number)) = trunk.zip(cdr.caller_number.as_ref())
            && let Some(number) = trunk.carrier_format().read_caller(number)
        {
            cdr.caller_number = Some(number.to_string());
        }
    }

    fn gateways(&self, key: &SigningKey, platform: &Arc<PlatformPlan>) -> Arc<Trunks> {
        let mut cached = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&cached.0, platform) {
            let names = platform
                .trunks
                .iter()
                .flat_map(|(name, trunk)| key.gateway_names(trunk).map(|gateway| (gateway, name.clone())));
            *cached = (platform.clone(), Arc::new(names.collect()));
        }
        cached.1.clone()
    }
}

/// The trunk by which a number comes in, with the number as the trunk's carrier writes it.
fn inbound_trunk(platform: &PlatformPlan, view: &TenantView, dialled: &str) -> Option<String> {
    let by = |name: &&String| {
        let Some(trunk) = platform.trunks.get(*name) else { return false };
        let numbers = trunk.carrier_format().read(dialled);
        numbers.iter().any(|number| view.inbound_number(name, number.as_str()).is_some())
    };
    view.plan.numbers.values().map(|row| &row.trunk).find(by).cloned()
}
