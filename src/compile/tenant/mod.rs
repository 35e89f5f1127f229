//! One tenant: its resources judged together, and what stands compiled to rows.
//!
//! The steps, in order: the tenant itself; numbers nobody else may hold; limits; secrets that must
//! be there; references, again and again until nothing more falls; circles between destinations.
//! What stands then becomes rows; rows from before are put back for what became invalid by mistake; and
//! routing tests ask what is in force then.

mod compiler;
mod credentials;
mod emergency;
mod header;
mod last_good;
mod limits;
mod loops;
mod numbers;
mod outbound;
mod required_refs;
mod routing_tests;
mod rows;
mod schedule;
mod without_rows;

use super::{Claims, Compiled};
use crate::plan::{InForce, PlatformPlan, TenantPlan};
use crate::secrets::a1_hash::hash_passwords;
use crate::source::{PlatformSnapshot, TenantSnapshot};
use compiler::TenantCompiler;
use last_good::Restored;

/// Circles that end resources are cut one after the other so many times, for others may end with one.
/// Then all are: a tenant with thousands of them is not worth that the others wait.
const SPARING: usize = 64;

/// Compiles a tenant. Without a plan the tenant as a whole is refused.
pub fn tenant(
    snapshot: &TenantSnapshot,
    platform_snapshot: &PlatformSnapshot,
    platform: &PlatformPlan,
    claims: &Claims,
) -> Compiled<Option<TenantPlan>> {
    tenant_after(snapshot, platform_snapshot, platform, claims, None)
}

/// The same, where it is known what was in force before, at least of the resources that have a problem:
/// it stays in force, where the problem takes no right away. The plan of a tenant that is refused as a whole
/// is what stays of all that was in force; there is none where nothing was.
pub fn tenant_after(
    snapshot: &TenantSnapshot,
    platform_snapshot: &PlatformSnapshot,
    platform: &PlatformPlan,
    claims: &Claims,
    before: Option<&InForce<TenantPlan>>,
) -> Compiled<Option<TenantPlan>> {
    let mut rounds = last_good::Rounds::default();
    loop {
        let mut draft =
            TenantCompiler::new(snapshot, platform_snapshot, platform, claims, (before, &rounds.kept));
        let Some(mut plan) = judged(&mut draft) else {
            draft.all_wait();
            let stays = before.and_then(|before| last_good::without_tenant(&mut draft, before));
            let (mut plan, kept) = stays.map_or((None, Vec::new()), |(plan, kept)| (Some(plan), kept));
            plan.iter_mut().for_each(hash_passwords);
            draft.problems.sort();
            return Compiled { plan, problems: draft.problems, kept };
        };
        let kept = match before.map(|before| last_good::put_back(&draft, &mut plan, before, &rounds)) {
            None => Vec::new(),
            Some(Restored::All(kept)) => kept,
            Some(Restored::Other { put, fallen }) => {
                drop(draft);
                rounds.take_in(put, fallen);
                continue;
            }
        };
        emergency::complete(&mut draft, &mut plan);
        hash_passwords(&mut plan);
        let plan = routing_tests::run(&mut draft, plan);
        draft.problems.sort();
        draft.problems.dedup();
        return Compiled { plan: Some(plan), problems: draft.problems, kept };
    }
}

/// Judges everything of a tenant, and makes rows of what stands; none when the tenant is refused.
fn judged(draft: &mut TenantCompiler) -> Option<TenantPlan> {
    let row = header::tenant_row(draft)?;
    numbers::settle(draft);
    outbound::settle(draft);
    limits::apply(draft);
    rows::withhold_unprotected(draft);
    let mut required = required_refs::Required::new(draft);
    for pass in 0usize.. {
        required.check(draft);
        let Some(cannot_stand) = loops::cut(draft, pass < SPARING) else { break };
        required.look_again(cannot_stand);
    }
    without_rows::check(draft);
    Some(rows::build(draft, row))
}
