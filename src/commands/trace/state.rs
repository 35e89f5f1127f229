//! The configurations that a call is asked about under: a tenant's plan, and the platform's.

use crate::resources::Kind;
use std::sync::Arc;

use super::{TraceArgs, TraceError};
use crate::compile;
use crate::compile::{CompiledPlans, Effect};
use crate::plan::{PlatformPlan, TenantPlan};
use crate::secrets::keyring::Keyring;
use crate::source::folder::Folder;
use crate::source::{Change, ResourceIndex, TenantKey};
use crate::store::{Reader, StoreOptions};

/// Most names that an error tells.
const MOST_NAMES: usize = 20;

/// A tenant under one configuration.
pub struct State {
    /// The platform's rows.
    pub platform: PlatformPlan,
    /// The tenant's.
    pub plan: TenantPlan,
}

impl State {
    /// Gives the tenant and the trunks the identities that they have in another state: a folder's
    /// are made of names, a cluster's are its own, and neither is a difference between two calls.
    pub fn align(&mut self, other: &Self) {
        self.plan.tenant.id = other.plan.tenant.id;
        for (name, trunk) in &mut self.platform.trunks {
            if let Some(same) = other.platform.trunks.get(name) {
                trunk.id = same.id;
            }
        }
    }
}

/// What a call is asked about.
pub struct States {
    /// The current state.
    pub current: Result<State, TraceError>,
    /// The proposed one, if one is proposed.
    pub proposed: Option<Result<State, TraceError>>,
    /// What of the manifests the call is asked without.
    pub notes: Vec<String>,
}

/// Reads what the options name.
///
/// # Errors
/// What cannot be read. A tenant that is in one of two states only is no error.
pub async fn read(args: &TraceArgs) -> Result<States, TraceError> {
    if let (Some(url), Some(key_file)) = (&args.database_url, &args.encryption_key_file) {
        let options = StoreOptions::from_url(url, Arc::new(Keyring::read_file(key_file)?))?;
        let current = stored(&options, &args.tenant).await?;
        let world = args.manifests.as_deref().map(|path| manifests(path, &[])).transpose()?;
        let notes = world.iter().filter_map(|world| left_out("manifests", world)).collect();
        let proposed = world.map(|world| compiled(&world, &args.tenant));
        return Ok(States { current, proposed, notes });
    }
    let path = args.manifests.as_deref().ok_or(TraceError::NoState)?;
    let current = manifests(path, &[])?;
    let world = args.proposed.as_ref().map(|over| manifests(path, &[over])).transpose()?;
    let notes = [("manifests", Some(&current)), ("proposed manifests", world.as_ref())];
    let notes = notes.into_iter().filter_map(|(of, world)| left_out(of, world?)).collect();
    let proposed = world.map(|world| compiled(&world, &args.tenant));
    Ok(States { current: compiled(&current, &args.tenant), proposed, notes })
}

/// That something of manifests is refused, and that a call is asked without it.
fn left_out(of: &str, world: &CompiledPlans) -> Option<String> {
    let mut wrong = world.problems.iter().filter(|problem| problem.effect != Effect::Waiting);
    let first = wrong.next()?;
    let more = wrong.count();
    Some(format!(
        "the call is asked without what is refused of the {of}; a running system keeps what was in force before. \
         {first}, and {more} more (centrex check tells all)"
    ))
}

/// Compiles manifests, with others applied over them.
fn manifests(path: &std::path::Path, over: &[&std::path::PathBuf]) -> Result<CompiledPlans, TraceError> {
    let mut world = ResourceIndex::default();
    for path in std::iter::once(path).chain(over.iter().map(|path| path.as_path())) {
        let reading = Folder::read_once(&[path.to_owned()])?;
        if let Some(first) = reading.problems.first() {
            // A call under half of the manifests would mislead.
            return Err(TraceError::Manifests { count: reading.problems.len(), first: first.to_string() });
        }
        reading.changes.into_iter().for_each(|change: Change| drop(world.apply(change)));
    }
    Ok(compile::world(&world))
}

fn compiled(compiled: &CompiledPlans, key: &TenantKey) -> Result<State, TraceError> {
    if let Some((_, plan)) = compiled.tenants.iter().find(|(tenant, _)| tenant == key) {
        return Ok(State { platform: compiled.platform.clone(), plan: plan.clone() });
    }
    let refused = compiled.problems.iter().find(|problem| {
        let resource = &problem.resource;
        problem.effect == Effect::Refused
            && resource.kind == Kind::Tenant
            && resource.namespace.as_ref() == Some(&key.namespace)
            && resource.name == key.name
    });
    Err(match refused {
        Some(problem) => TraceError::TenantRefused(problem.to_string()),
        None => unknown(key, compiled.tenants.iter().map(|(key, _)| key.to_string())),
    })
}

/// What the store has of a tenant: the plan that the switches answer from.
async fn stored(options: &StoreOptions, key: &TenantKey) -> Result<Result<State, TraceError>, TraceError> {
    let reader = Reader::lazy(options);
    // Says clearly when it is away, of another version or sealed with other keys.
    reader.signing_key().await?;
    let known = reader.tenants().await?;
    let live = known.iter().filter(|tenant| !tenant.retained);
    let found = live.clone().find(|tenant| tenant.namespace == key.namespace && tenant.name == key.name);
    let loaded = match found {
        Some(tenant) => reader.load_tenant(tenant.id).await?,
        None => None,
    };
    let Some((_, plan)) = loaded else {
        return Ok(Err(unknown(key, live.map(|tenant| format!("{}/{}", tenant.namespace, tenant.name)))));
    };
    let (_, platform) = reader.load_platform().await?;
    Ok(Ok(State { platform, plan }))
}

fn unknown(key: &TenantKey, known: impl Iterator<Item = String>) -> TraceError {
    TraceError::UnknownTenant { tenant: key.to_string(), known: names(known) }
}

/// Names for a message; how many more there are where there are too many.
pub fn names(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    names.sort();
    names.truncate(MOST_NAMES);
    match (names.as_slice(), more) {
        ([], _) => "none".to_owned(),
        (names, 0) => names.join(", "),
        (names, more) => format!("{} and {more} more", names.join(", ")),
    }
}
