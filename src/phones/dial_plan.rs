//! What a phone must know of its tenant's numbers.

use serde::Serialize;

use crate::numbers::known_emergency_numbers;
use crate::route::view::TenantView;

/// Numbers that a phone treats in a way of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DialPlan {
    /// Emergency numbers: they can be dialled while the phone is locked.
    pub emergency: Vec<String>,
    /// Those of them that are sent as soon as they are complete: no internal number and no feature code begins with them.
    pub at_once: Vec<String>,
}

impl DialPlan {
    /// The dial plan of a tenant's phones.
    pub fn of(view: &TenantView) -> Self {
        let tenant = &view.plan.tenant;
        let Some(row) = &tenant.emergency else { return Self::default() };
        let of_country = known_emergency_numbers(tenant.country.as_deref()).iter().copied();
        let mut emergency: Vec<String> = row.numbers.clone();
        // A number of the country that the tenant does not list may be an internal one.
        let unlisted = of_country.filter(|number| view.number(number).is_none());
        emergency.extend(unlisted.map(str::to_owned));
        emergency.sort_unstable();
        emergency.dedup();
        let begins_another = |number: &str| {
            let codes = view.plan.feature_codes.values().map(|row| row.code.as_str());
            let mut others = view.numbers().chain(codes).chain(emergency.iter().map(String::as_str));
            others.any(|other| other != number && other.starts_with(number))
        };
        let at_once = emergency.iter().filter(|number| !begins_another(number)).cloned().collect();
        Self { emergency, at_once }
    }
}
