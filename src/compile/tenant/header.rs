//! The tenant itself: profile, domains, identity, time zone.

use super::compiler::TenantCompiler;
use super::{emergency, schedule};
use crate::compile::claims::{domains, tenant_id};
use crate::compile::countries::unknown_country;
use crate::compile::platform_last_good::least;
use crate::compile::problem::RefError;
use crate::compile::{Problem, Reason};
use crate::numbers::Country;
use crate::plan::TenantRow;
use crate::resources::Kind;
use crate::resources::media_file::MediaUsage;
use crate::source::ObjectKey;
use crate::source::index::key_of;
use crate::util::domain::canonical;

/// Most characters of a tenant's domain: it is a part of words of at most 200 (`route::legal`).
const MAX_DOMAIN: usize = 190;

/// The tenant's row; `None` when the tenant as a whole is refused.
pub fn tenant_row(compiler: &mut TenantCompiler) -> Option<TenantRow> {
    let tenant = compiler.snapshot.tenant.clone();
    let spec = &tenant.spec;
    let me = key_of(&tenant)?;
    let key = compiler.tenant_key();
    let refuse = |compiler: &mut TenantCompiler, field: &str, reason, message: String| {
        compiler.problems.push(Problem::refused(key.clone(), field, reason, message));
        None
    };
    if let Some(reference) = &spec.profile_ref {
        match compiler.platform_snapshot.tenant_profiles.get(&reference.name) {
            Some(profile) => compiler.profile = Some(profile),
            None => {
                let message = format!("there is no TenantProfile {}", reference.name);
                let profile =
                    ObjectKey { kind: Kind::TenantProfile, namespace: None, name: reference.name.clone() };
                let field = "spec.profileRef.name";
                let problem =
                    Problem::refused(key.clone(), field, Reason::RefNotFound, message).about(profile);
                compiler.problems.push(problem);
                return None;
            }
        }
    }
    let Some(id) = tenant_id(&tenant) else {
        return refuse(compiler, "metadata.uid", Reason::InvalidValue, "the UID must be a UUID".to_owned());
    };
    if let Some(holder) = compiler.claims.identity(id)
        && *holder != me
    {
        let holds = compiler.tenant_as_seen(holder);
        let message = format!("{holds} has this identity; leave tenantId out for one of your own");
        let problem = Problem::refused(key, "spec.tenantId", Reason::Conflict, message);
        compiler.problems.push(problem.held_by(holder.object()));
        return None;
    }
    let time_zone = spec.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
    if let Err(message) = schedule::known_zone(&time_zone) {
        return refuse(compiler, "spec.timeZone", Reason::InvalidValue, message);
    }
    if let Some(country) = spec.country.as_deref().filter(|code| Country::by_code(code).is_none()) {
        return refuse(compiler, "spec.country", Reason::InvalidValue, unknown_country(country));
    }
    let mut domains = Vec::new();
    for (index, written) in spec.domains.iter().enumerate() {
        let field = format!("spec.domains[{index}]");
        let Some(domain) = canonical(written).filter(|domain| domain.len() <= MAX_DOMAIN) else {
            let message = format!(
                "{written:?} is no domain name that DNS can have (RFC 5890), or is longer than {MAX_DOMAIN} characters"
            );
            compiler.problems.push(Problem::degraded(key.clone(), field, Reason::InvalidValue, message));
            continue;
        };
        let domain = &*domain;
        match compiler.claims.domain(domain) {
            Some(holder) if *holder != me => {
                let message = format!("{} holds the domain {domain}", compiler.tenant_as_seen(holder));
                let problem = Problem::degraded(key.clone(), field, Reason::Conflict, message);
                compiler.problems.push(problem.held_by(holder.object()));
            }
            // Sofia keeps profiles and the domains that are their aliases in one table (sofia_glue.c).
            _ if compiler.platform.sip_profiles.contains_key(domain) => {
                let message = format!("SipProfile {domain} has this name; a domain needs another");
                let holder = ObjectKey { kind: Kind::SipProfile, namespace: None, name: domain.to_owned() };
                let problem = Problem::degraded(key.clone(), field, Reason::Conflict, message);
                compiler.problems.push(problem.held_by(holder));
            }
            // Another spelling of one before it.
            _ if domains.iter().any(|before| before == domain) => {}
            _ => domains.push(domain.to_owned()),
        }
    }
    if domains.is_empty() {
        let message = "none of its domains is free; a tenant needs one".to_owned();
        return refuse(compiler, "spec.domains", Reason::Conflict, message);
    }
    let emergency = emergency::row(compiler);
    let music_on_hold = spec.music_on_hold.as_ref().and_then(|source| {
        match compiler.media(source, MediaUsage::MusicOnHold) {
            Ok(path) => Some(path),
            Err(RefError { reason, message, about }) => {
                let field = "spec.musicOnHold.mediaFileRef.name";
                let problem = Problem::degraded(key.clone(), field, reason, message);
                compiler.problems.push(Problem { about, ..problem });
                None
            }
        }
    });
    let profile = compiler.profile.map(|profile| &profile.spec);
    let max_calls_abroad_per_day = profile.and_then(|profile| profile.max_calls_abroad_per_day);
    Some(TenantRow {
        id,
        namespace: me.namespace,
        display_name: spec.display_name.clone().unwrap_or_else(|| me.name.clone()),
        name: me.name,
        owner_uid: tenant.metadata.uid.clone().unwrap_or_default(),
        domains,
        suspended: spec.suspended.unwrap_or(false),
        time_zone,
        country: spec.country.clone(),
        caller_id: spec.caller_id.clone(),
        emergency,
        max_concurrent_calls: profile.and_then(|profile| profile.max_concurrent_calls),
        max_call_duration_seconds: profile.and_then(|profile| profile.max_call_duration_seconds),
        max_calls_abroad_per_day,
        music_on_hold,
        recording_tone: profile.and_then(|profile| profile.recording_tone).unwrap_or(false),
        cdr_days: profile.and_then(|profile| profile.retention.as_ref()?.cdr_days),
        deletion_policy: spec.deletion_policy.unwrap_or_default(),
    })
}

/// The previous row of a tenant that is refused as a whole, with the present value of `suspended`, without
/// domains that others hold now, and with limits that were lowered since. `None` when the row belongs to
/// another Tenant object, or another tenant holds the identity.
pub fn last_good_row(compiler: &TenantCompiler, before: &TenantRow) -> Option<TenantRow> {
    let (tenant, spec) = (&compiler.snapshot.tenant, &compiler.snapshot.tenant.spec);
    let me = key_of(tenant).filter(|_| tenant.metadata.uid.as_ref() == Some(&before.owner_uid))?;
    // A tenant that lost its identity writes nothing: the stored rows belong to the new holder.
    compiler.claims.identity(before.id).is_none_or(|holder| *holder == me).then_some(())?;
    let is_free = |domain: &String| {
        compiler.claims.domain(domain).is_none_or(|holder| *holder == me)
            && !compiler.platform.sip_profiles.contains_key(domain)
    };
    let given_back = domains(tenant).filter(|domain| !before.domains.contains(domain));
    let domains = before.domains.iter().cloned().chain(given_back).filter(is_free).collect();
    let mut row = TenantRow { suspended: spec.suspended.unwrap_or(false), domains, ..before.clone() };
    if let Some(profile) = compiler.profile.map(|profile| &profile.spec) {
        row.max_concurrent_calls = least(row.max_concurrent_calls, profile.max_concurrent_calls);
        row.max_call_duration_seconds =
            least(row.max_call_duration_seconds, profile.max_call_duration_seconds);
        row.max_calls_abroad_per_day = least(row.max_calls_abroad_per_day, profile.max_calls_abroad_per_day);
        row.recording_tone |= profile.recording_tone.unwrap_or(false);
    }
    Some(row)
}
