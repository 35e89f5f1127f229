//! Limits of the tenant's profile: the oldest resources are accepted.

use super::compiler::{ByAge, TenantCompiler, name_of};
use crate::compile::Reason;
use crate::resources::Kind;

/// Refuses the youngest resources of each kind beyond the profile's limit.
pub fn apply(compiler: &mut TenantCompiler) {
    let Some(profile) = compiler.profile.map(|profile| profile.spec.clone()) else { return };
    let snapshot = compiler.snapshot;
    macro_rules! limit {
        ($($kind:ident, $list:ident, $limit:ident, $field:literal;)*) => {
            $(if let Some(most) = profile.$limit {
                let names = snapshot.$list.iter().map(|object| name_of(&**object));
                refuse_over(compiler, Kind::$kind, names.collect(), most, $field);
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

fn refuse_over(compiler: &mut TenantCompiler, kind: Kind, names: Vec<&str>, most: i32, field: &str) {
    let most = usize::try_from(most).unwrap_or(0);
    if names.len() <= most {
        return;
    }
    let mut accepted: Vec<ByAge> = names
        .iter()
        .filter(|name| compiler.is_accepted(kind, name))
        .map(|name| compiler.aged(kind, name))
        .collect();
    accepted.sort();
    let profile = compiler.profile.map(name_of).unwrap_or_default().to_owned();
    for aged in accepted.into_iter().skip(most) {
        let message = format!("TenantProfile {profile} allows {most} ({field}); the oldest are kept");
        compiler.refuse(aged.id, "metadata.name", (Reason::LimitExceeded, message));
    }
}
