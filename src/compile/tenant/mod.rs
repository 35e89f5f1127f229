//! One tenant: its resources judged together, and what stands compiled to rows.
//!
//! The steps, in order: the tenant itself; numbers nobody else may hold; limits; secrets that must
//! be there; references, again and again until nothing more falls; circles between destinations.
//! What stands then becomes rows, and routing tests ask them.

mod draft;
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
    loop {
        let fell = links::check_required(&mut draft) || loops::cut(&mut draft);
        if !fell {
            break;
        }
    }
    let plan = rows::build(&mut draft, row);
    let plan = routing_tests::run(&mut draft, plan);
    draft.problems.sort();
    draft.problems.dedup();
    Compiled { plan: Some(plan), problems: draft.problems }
}
