//! One tenant: its resources judged together, and what stands compiled to rows.
//!
//! The steps, in order: the tenant itself; numbers nobody else may hold; limits; secrets that must
//! be there; references, again and again until nothing more falls; circles between destinations.
//! What stands then becomes rows, and routing tests ask them.

mod draft;
mod emergency;
mod header;
mod limits;
mod links;
mod loops;
mod numbers;
mod outbound;
mod routing_tests;
mod rows;
mod schedule;

use super::{Claims, Compiled};
use crate::plan::{PlatformPlan, TenantPlan};
use crate::source::{PlatformSnapshot, TenantSnapshot};
use draft::Draft;

/// Circles that end resources are cut one after the other so many times, for others may end with one.
/// Then all are: a tenant with thousands of them is not worth that the others wait.
const SPARING: usize = 64;

/// Compiles a tenant. Without a plan the tenant as a whole is refused, and what is stored of it
/// stays as it is.
pub fn tenant(
    snapshot: &TenantSnapshot,
    platform_snapshot: &PlatformSnapshot,
    platform: &PlatformPlan,
    claims: &Claims,
) -> Compiled<Option<TenantPlan>> {
    let mut draft = Draft::new(snapshot, platform_snapshot, platform, claims);
    let Some(row) = header::tenant_row(&mut draft) else {
        draft.all_wait();
        draft.problems.sort();
        return Compiled { plan: None, problems: draft.problems };
    };
    numbers::settle(&mut draft);
    outbound::settle(&mut draft);
    limits::apply(&mut draft);
    rows::withhold_unprotected(&mut draft);
    let mut required = links::Required::new(&draft);
    for pass in 0usize.. {
        required.check(&mut draft);
        let Some(cannot_stand) = loops::cut(&mut draft, pass < SPARING) else { break };
        required.look_again(cannot_stand);
    }
    let mut plan = rows::build(&mut draft, row);
    emergency::complete(&mut draft, &mut plan);
    let plan = routing_tests::run(&mut draft, plan);
    draft.problems.sort();
    draft.problems.dedup();
    Compiled { plan: Some(plan), problems: draft.problems }
}
