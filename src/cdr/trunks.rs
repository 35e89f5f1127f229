//! The trunk of a call: by the name that its gateway has on the switches, or by the number that
//! somebody outside dialled. It is as the switch knows it now: a call outlives no trunk for long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::record::Cdr;
use crate::plan::PlatformPlan;
use crate::route::token::Caller;
use crate::route::{SigningKey, digits};
use crate::switch::replica::Replica;

/// Looks trunks up.
#[derive(Debug)]
pub struct Trunks {
    replica: Arc<Replica>,
    /// Gateways' names and their trunks, as of a plan.
    gateways: Mutex<(Arc<PlatformPlan>, Arc<HashMap<String, String>>)>,
}

impl Trunks {
    /// Of the platform and the tenants that are held.
    pub fn new(replica: Arc<Replica>) -> Self {
        Self { replica, gateways: Mutex::default() }
    }

    /// The trunk of a record, as `namespace/name`; none when it had none, or has it no more.
    pub fn of(&self, key: &SigningKey, tenant: Uuid, caller: &Caller, cdr: &Cdr) -> Option<String> {
        let platform = self.replica.platform();
        let by_gateway = cdr.gateway.as_ref().and_then(|gateway| {
            let gateways = self.gateways(key, &platform);
            gateways.get(gateway).cloned()
        });
        let from_outside = cdr.leg == "a" && *caller == Caller::Outside;
        by_gateway.or_else(|| from_outside.then(|| self.by_number(&platform, tenant, cdr))?)
    }

    /// The trunk that brings the number which was dialled, as its carrier writes it.
    fn by_number(&self, platform: &PlatformPlan, tenant: Uuid, cdr: &Cdr) -> Option<String> {
        let dialled = cdr.destination.as_deref()?;
        let held = self.replica.held(tenant)?;
        let brings = |name: &&String| {
            let Some(trunk) = platform.trunks.get(*name) else { return false };
            digits::from_carrier(dialled, trunk.number_format, trunk.national.as_ref())
                .is_some_and(|number| held.view.brought_by(name, &number).is_some())
        };
        held.view.plan.numbers.values().map(|row| &row.trunk).find(brings).cloned()
    }

    fn gateways(&self, key: &SigningKey, platform: &Arc<PlatformPlan>) -> Arc<HashMap<String, String>> {
        let mut known = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known.0, platform) {
            let trunks = platform.trunks.iter();
            let names = trunks.flat_map(|(name, trunk)| {
                let of = |index| (key.gateway_name(trunk.id, index), name.clone());
                (0..trunk.gateways.len()).map(of)
            });
            *known = (platform.clone(), Arc::new(names.collect()));
        }
        known.1.clone()
    }
}
