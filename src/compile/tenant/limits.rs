//! The limits of the tenant's profile: counted, and the oldest stay.

use super::compiler::{ByAge, TenantCompiler, name_of};
use crate::compile::Reason;
use crate::resources::Kind;

/// Refuses what is over the limits of the profile.
pub fn apply(draft: &mut TenantCompiler) {
    let Some(profile) = draft.profile.map(|profile| profile.spec.clone()) else { return };
    let snapshot = draft.snapshot;
    macro_rules! limit {
        ($($kind:ident, $list:ident, $limit:ident, $field:literal;)*) => {
            $(if let Some(most) = profile.$limit {
                let names = snapshot.$list.iter().map(|object| name_of(&**object));
                over(draft, Kind::$kind, names.collect(), most, $field);
            })*
        };
    }
    limit!(
        Extension, extensions, max_extensions, "maxExtensions";
        Device, devices, max_devices, "maxDevices";
        Queue, queues, max_queues, "maxQueues";
        Conference, conferences, max_conferences, "maxConferences";
        RingGroup, ring_groups, max_ring_groups, "maxRingGroups";
        IvrMenu, ivr_menus, max_ivr_menus, "maxIvrMenus";
        Number, numbers, max_numbers, "maxNumbers";
    );
}

fn over(draft: &mut TenantCompiler, kind: Kind, names: Vec<&str>, most: i32, field: &str) {
    let most = usize::try_from(most).unwrap_or(0);
    if names.len() <= most {
        return;
    }
    let mut standing: Vec<ByAge> =
        names.iter().filter(|name| draft.stands(kind, name)).map(|name| draft.aged(kind, name)).collect();
    standing.sort();
    let profile = draft.profile.map(name_of).unwrap_or_default().to_owned();
    for aged in standing.into_iter().skip(most) {
        let message = format!("TenantProfile {profile} allows {most} ({field}); the oldest are kept");
        draft.refuse(aged.id, "metadata.name", (Reason::LimitExceeded, message));
    }
}
