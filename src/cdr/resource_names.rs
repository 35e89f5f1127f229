//! Names of resources in place of what FreeSWITCH knows: the trunk of a gateway, or of the number
//! that somebody outside dialled; the extension of a number. They are as the switch has them now: a
//! resource that went while the call was up has left its number only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::record::{Cdr, Leg};
use crate::plan::PlatformPlan;
use crate::replica::tenants::Replica;
use crate::route::token::Caller;
use crate::route::{TenantView, digits};
use crate::secrets::signing_key::SigningKey;

/// Names of trunks by those of their gateways.
type Trunks = HashMap<String, String>;

/// Looks names up.
#[derive(Debug)]
pub struct ResourceNames {
    replica: Arc<Replica>,
    /// Gateways' names and their trunks, as of a plan.
    gateways: Mutex<(Arc<PlatformPlan>, Arc<Trunks>)>,
}

impl ResourceNames {
    /// Of the platform and the tenants that are held.
    pub fn new(replica: Arc<Replica>) -> Self {
        Self { replica, gateways: Mutex::default() }
    }

    /// Puts the names into a record of a tenant.
    pub fn put(&self, key: &SigningKey, tenant: Uuid, caller: &Caller, cdr: &mut Cdr) {
        let platform = self.replica.platform();
        let held = self.replica.held(tenant);
        let view = held.as_ref().map(|held| held.view.as_ref());
        if cdr.leg == Leg::B
            && let Some((name, _)) =
                view.zip(cdr.extension.as_ref()).and_then(|(view, number)| view.extension(number))
        {
            cdr.extension = Some(name.to_owned());
        }
        let gateways = self.gateways(key, &platform);
        cdr.trunk = cdr.gateway.as_ref().and_then(|gateway| gateways.get(gateway).cloned()).or_else(|| {
            let from_outside = cdr.leg == Leg::A && *caller == Caller::Outside;
            brings(&platform, view.filter(|_| from_outside)?, cdr.destination.as_deref()?)
        });
    }

    fn gateways(&self, key: &SigningKey, platform: &Arc<PlatformPlan>) -> Arc<Trunks> {
        let mut known = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known.0, platform) {
            let names = platform
                .trunks
                .iter()
                .flat_map(|(name, trunk)| key.gateway_names(trunk).map(|gateway| (gateway, name.clone())));
            *known = (platform.clone(), Arc::new(names.collect()));
        }
        known.1.clone()
    }
}

/// The trunk that brings a number, written as its carrier does.
fn brings(platform: &PlatformPlan, view: &TenantView, dialled: &str) -> Option<String> {
    let by = |name: &&String| {
        let Some(trunk) = platform.trunks.get(*name) else { return false };
        digits::from_carrier(dialled, trunk.number_format, trunk.national.as_ref())
            .is_some_and(|number| view.brought_by(name, &number).is_some())
    };
    view.plan.numbers.values().map(|row| &row.trunk).find(by).cloned()
}
