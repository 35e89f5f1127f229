//! One tenant: checks its resources against each other, and compiles the accepted ones to rows.
//!
//! The steps, in order: the tenant itself; unique numbers and codes; outbound routes; limits; required
//! secrets; required references and loops between destinations, until no further resource is refused. The
//! accepted resources become rows; previous rows are restored for resources that became invalid by mistake;
//! routing tests run against the result.

mod compiler;
mod credentials;
mod devices;
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

pub use devices::provisioning_user;

use super::{Claims, Compiled};
use crate::plan::{InForce, PlatformPlan, TenantPlan};
use crate::secrets::a1_hash::hash_passwords;
use crate::source::{PlatformSnapshot, TenantSnapshot};
use compiler::TenantCompiler;
use last_good::Restored;
use loops::LoopPolicy;

/// Passes that refuse one resource of a loop at a time, because that may break other loops too. After them
/// all loops are broken at once, so that a tenant with thousands of loops does not delay other tenants.
const MAX_SINGLE_BREAKS: usize = 64;

/// Compiles a tenant without previous rows. `plan` is `None` when the tenant as a whole is refused.
pub fn tenant(
    snapshot: &TenantSnapshot,
    platform_snapshot: &PlatformSnapshot,
    platform: &PlatformPlan,
    claims: &Claims,
) -> Compiled<Option<TenantPlan>> {
    tenant_after(snapshot, platform_snapshot, platform, claims, None)
}

/// Like [`tenant`], with the rows that are in force, at least those of resources that have a problem. A
/// previous row stays in force where the problem does not withdraw a right. The plan of a tenant that is
/// refused as a whole consists of its previous rows; it is `None` when nothing was in force.
pub fn tenant_after(
    snapshot: &TenantSnapshot,
    platform_snapshot: &PlatformSnapshot,
    platform: &PlatformPlan,
    claims: &Claims,
    before: Option<&InForce<TenantPlan>>,
) -> Compiled<Option<TenantPlan>> {
    let mut rounds = last_good::Rounds::default();
    loop {
        let mut compiler =
            TenantCompiler::new(snapshot, platform_snapshot, platform, claims, (before, &rounds.restored));
        let Some(mut plan) = compile_rows(&mut compiler) else {
            compiler.mark_all_waiting();
            let last_good = before.and_then(|before| last_good::without_tenant(&mut compiler, before));
            let (mut plan, kept) = last_good.map_or((None, Vec::new()), |(plan, kept)| (Some(plan), kept));
            plan.iter_mut().for_each(hash_passwords);
            compiler.problems.sort();
            return Compiled { plan, problems: compiler.problems, kept };
        };
        let kept = match before.map(|before| last_good::restore(&compiler, &mut plan, before, &rounds)) {
            None => Vec::new(),
            Some(Restored::Complete(kept)) => kept,
            Some(Restored::CompileAgain { restored, unrestorable }) => {
                drop(compiler);
                rounds.record(restored, unrestorable);
                continue;
            }
        };
        emergency::complete(&mut compiler, &mut plan);
        hash_passwords(&mut plan);
        let plan = routing_tests::run(&mut compiler, plan);
        compiler.problems.sort();
        compiler.problems.dedup();
        return Compiled { plan: Some(plan), problems: compiler.problems, kept };
    }
}

/// Checks all resources of a tenant and compiles the accepted ones; `None` when the tenant is refused.
fn compile_rows(compiler: &mut TenantCompiler) -> Option<TenantPlan> {
    let row = header::tenant_row(compiler)?;
    numbers::assign(compiler);
    outbound::refuse_conflicts(compiler);
    devices::refuse_conflicts(compiler);
    limits::apply(compiler);
    rows::exclude_unprotected(compiler);
    let mut required = required_refs::RequiredRefs::new(compiler);
    for pass in 0usize.. {
        required.check(compiler);
        let policy = if pass < MAX_SINGLE_BREAKS { LoopPolicy::StopAtRequired } else { LoopPolicy::BreakAll };
        let Some(lost_required_link) = loops::break_loops(compiler, policy) else { break };
        required.requeue(lost_required_link);
    }
    without_rows::check(compiler);
    Some(rows::build(compiler, row))
}
