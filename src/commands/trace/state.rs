//! The configurations of a trace: a tenant's plan and the platform's.

use std::sync::Arc;

use super::{TraceArgs, TraceError};
use crate::compile;
use crate::compile::{CompiledPlans, Effect, Problem, Reason};
use crate::plan::{PlatformPlan, TenantPlan};
use crate::resources::Kind;
use crate::secrets::keyring::Keyring;
use crate::source::folder::Folder;
use crate::source::{Change, ResourceIndex, TenantKey};
use crate::store::{Reader, StoreOptions};

/// Most names in an error message.
const MAX_NAMES: usize = 20;

/// A tenant under one configuration.
pub struct State {
    /// The platform's rows.
    pub platform: PlatformPlan,
    /// The tenant's rows.
    pub plan: TenantPlan,
}

impl State {
    /// Copies the ids of the tenant and of the trunks from another state. Ids of a folder are derived from
    /// names, ids of a cluster are its own: neither is a difference between two calls.
    pub fn copy_identities(&mut self, other: &Self) {
        self.plan.tenant.id = other.plan.tenant.id;
        for (name, trunk) in &mut self.platform.trunks {
            if let Some(same) = other.platform.trunks.get(name) {
                trunk.id = same.id;
            }
        }
    }
}

/// The one or two states that a call is traced under.
pub struct States {
    /// The current state.
    pub current: Result<State, TraceError>,
    /// The proposed state, if there is one.
    pub proposed: Option<Result<State, TraceError>>,
    /// Notes about refused resources, which the trace does without.
    pub notes: Vec<String>,
}

/// Where the state of a tenant is read from: Postgres if its options are given, else manifests.
pub struct Source<'a> {
    /// Folder of manifests, or a file.
    pub manifests: Option<&'a std::path::Path>,
    /// Postgres.
    pub database_url: Option<&'a str>,
    /// Its keys.
    pub encryption_key_file: Option<&'a std::path::Path>,
}

impl Source<'_> {
    /// Reads the state of a tenant.
    ///
    /// # Errors
    /// Manifests or the database cannot be read, or there is no such tenant.
    pub async fn read(&self, tenant: &TenantKey) -> Result<State, TraceError> {
        if let (Some(url), Some(key_file)) = (self.database_url, self.encryption_key_file) {
            let options = StoreOptions::from_url(url, Arc::new(Keyring::read_file(key_file)?))?;
            return stored(&options, tenant).await?;
        }
        compiled(&manifests(self.manifests.ok_or(TraceError::NoState)?, &[])?, tenant)
    }
}

/// Reads the states that the options name.
///
/// # Errors
/// When manifests or the database cannot be read. A tenant that is missing in one of two states is no error.
pub async fn read(args: &TraceArgs) -> Result<States, TraceError> {
    if let (Some(url), Some(key_file)) = (&args.database_url, &args.encryption_key_file) {
        let options = StoreOptions::from_url(url, Arc::new(Keyring::read_file(key_file)?))?;
        let current = stored(&options, &args.tenant).await?;
        let plans = args.manifests.as_deref().map(|path| manifests(path, &[])).transpose()?;
        let notes = plans.iter().filter_map(|plans| refused_note("manifests", plans)).collect();
        let proposed = plans.map(|plans| compiled(&plans, &args.tenant));
        return Ok(States { current, proposed, notes });
    }
    let path = args.manifests.as_deref().ok_or(TraceError::NoState)?;
    let current = manifests(path, &[])?;
    let plans = args.proposed.as_ref().map(|over| manifests(path, &[over])).transpose()?;
    let notes = [("manifests", Some(&current)), ("proposed manifests", plans.as_ref())];
    let notes = notes.into_iter().filter_map(|(of, plans)| refused_note(of, plans?)).collect();
    let proposed = plans.map(|plans| compiled(&plans, &args.tenant));
    Ok(States { current: compiled(&current, &args.tenant), proposed, notes })
}

/// A note that resources of manifests are refused; `None` if all are accepted.
fn refused_note(of: &str, plans: &CompiledPlans) -> Option<String> {
    // A routing test that fails keeps nothing out.
    let is_refused = |problem: &&Problem| problem.effect.is_mistake() && problem.reason != Reason::TestFailed;
    let mut wrong = plans.problems.iter().filter(is_refused);
    let first = wrong.next()?;
    let more = match wrong.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Some(format!(
        "the call is traced without the refused resources of the {of}; a running system would keep their \
         previous versions in force. {first}{more} (centrex check shows all)"
    ))
}

/// Compiles manifests, with others applied over them.
fn manifests(path: &std::path::Path, over: &[&std::path::PathBuf]) -> Result<CompiledPlans, TraceError> {
    let mut index = ResourceIndex::default();
    for path in std::iter::once(path).chain(over.iter().map(|path| path.as_path())) {
        let reading = Folder::read_once(&[path.to_owned()])?;
        if let Some(first) = reading.problems.first() {
            // A trace under a part of the manifests would mislead.
            return Err(TraceError::Manifests { count: reading.problems.len(), first: first.to_string() });
        }
        reading.changes.into_iter().for_each(|change: Change| drop(index.apply(change)));
    }
    Ok(compile::all(&index))
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

/// The stored plan of a tenant, which the switches answer from.
async fn stored(options: &StoreOptions, key: &TenantKey) -> Result<Result<State, TraceError>, TraceError> {
    let reader = Reader::lazy(options);
    // Fails with a clear error when Postgres cannot be reached, has another schema version, or other keys.
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

/// Names for a message: sorted, and the number of further ones beyond [`MAX_NAMES`].
pub fn names(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(MAX_NAMES);
    names.sort();
    names.truncate(MAX_NAMES);
    match (names.as_slice(), more) {
        ([], _) => "none".to_owned(),
        (names, 0) => names.join(", "),
        (names, more) => format!("{} and {more} more", names.join(", ")),
    }
}
