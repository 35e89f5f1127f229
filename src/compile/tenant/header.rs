//! The tenant itself: profile, domains, identity, time zone.

use super::compiler::TenantCompiler;
use super::{emergency, schedule};
use crate::compile::claims::tenant_id;
use crate::compile::platform_last_good::least;
use crate::compile::problem::RefError;
use crate::compile::{Problem, Reason, countries};
use crate::plan::TenantRow;
use crate::resources::Kind;
use crate::resources::media_file::MediaUsage;
use crate::source::ObjectKey;
use crate::source::index::key_of;

/// The tenant's row; `None` when the tenant as a whole is refused.
pub fn tenant_row(draft: &mut TenantCompiler) -> Option<TenantRow> {
    let tenant = draft.snapshot.tenant.clone();
    let spec = &tenant.spec;
    let me = key_of(&tenant)?;
    let key = draft.tenant_key();
    let refuse = |draft: &mut TenantCompiler, field: &str, reason, message: String| {
        draft.problems.push(Problem::refused(key.clone(), field, reason, message));
        None
    };
    if let Some(reference) = &spec.profile_ref {
        match draft.platform_snapshot.tenant_profiles.get(&reference.name) {
            Some(profile) => draft.profile = Some(profile),
            None => {
                let message = format!("there is no TenantProfile {}", reference.name);
                let profile =
                    ObjectKey { kind: Kind::TenantProfile, namespace: None, name: reference.name.clone() };
                let field = "spec.profileRef.name";
                let problem =
                    Problem::refused(key.clone(), field, Reason::RefNotFound, message).about(profile);
                draft.problems.push(problem);
                return None;
            }
        }
    }
    let Some(id) = tenant_id(&tenant) else {
        return refuse(draft, "metadata.uid", Reason::InvalidValue, "the UID must be a UUID".to_owned());
    };
    if let Some(holder) = draft.claims.identity(id)
        && *holder != me
    {
        let holds = draft.tenant_as_seen(holder);
        let message = format!("{holds} has this identity; leave tenantId out for one of your own");
        let problem = Problem::refused(key, "spec.tenantId", Reason::Conflict, message);
        draft.problems.push(problem.held_by(holder.object()));
        return None;
    }
    let time_zone = spec.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
    if let Err(message) = schedule::known_zone(&time_zone) {
        return refuse(draft, "spec.timeZone", Reason::InvalidValue, message);
    }
    let mut domains = Vec::new();
    for (index, domain) in spec.domains.iter().enumerate() {
        let field = format!("spec.domains[{index}]");
        match draft.claims.domain(domain) {
            Some(holder) if *holder != me => {
                let message = format!("{} holds the domain {domain}", draft.tenant_as_seen(holder));
                let problem = Problem::degraded(key.clone(), field, Reason::Conflict, message);
                draft.problems.push(problem.held_by(holder.object()));
            }
            // Sofia keeps profiles and the domains that are their aliases in one table (sofia_glue.c).
            _ if draft.platform.sip_profiles.contains_key(domain) => {
                let message = format!("SipProfile {domain} has this name; a domain needs another");
                let holder = ObjectKey { kind: Kind::SipProfile, namespace: None, name: domain.clone() };
                let problem = Problem::degraded(key.clone(), field, Reason::Conflict, message);
                draft.problems.push(problem.held_by(holder));
            }
            _ => domains.push(domain.clone()),
        }
    }
    if domains.is_empty() {
        let message = "none of its domains is free; a tenant needs one".to_owned();
        return refuse(draft, "spec.domains", Reason::Conflict, message);
    }
    let emergency = emergency::row(draft);
    let music_on_hold =
        spec.music_on_hold.as_ref().and_then(|source| match draft.media(source, MediaUsage::MusicOnHold) {
            Ok(path) => Some(path),
            Err(RefError { reason, message, about }) => {
                let field = "spec.musicOnHold.mediaFileRef.name";
                let problem = Problem::degraded(key.clone(), field, reason, message);
                draft.problems.push(Problem { about, ..problem });
                None
            }
        });
    let profile = draft.profile.map(|profile| &profile.spec);
    let max_calls_abroad_per_day = profile.and_then(|profile| profile.max_calls_abroad_per_day);
    let dialling = spec.country.as_deref().and_then(countries::dialling);
    if let (Some(country), None, Some(_)) = (&spec.country, &dialling, max_calls_abroad_per_day) {
        let message = format!(
            "how numbers are dialled in {country} is not known, so that all that begin with + or 00 count as calls abroad; known are {}",
            countries::known()
        );
        draft.problems.push(Problem::degraded(key.clone(), "spec.country", Reason::InvalidValue, message));
    }
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
        dialling,
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

/// The row of a tenant that is refused as a whole: as it was before, but that it is suspended or not, who has
/// its domains, and limits that were lowered are heeded at once. None where it is another tenant's row.
pub fn row_from_before(draft: &TenantCompiler, before: &TenantRow) -> Option<TenantRow> {
    let (tenant, spec) = (&draft.snapshot.tenant, &draft.snapshot.tenant.spec);
    let me = key_of(tenant).filter(|_| tenant.metadata.uid.as_ref() == Some(&before.owner_uid))?;
    // Whose identity another has by now writes nothing: what is stored is the other's.
    draft.claims.identity(before.id).is_none_or(|holder| *holder == me).then_some(())?;
    let is_free = |domain: &&String| {
        draft.claims.domain(domain).is_none_or(|holder| *holder == me)
            && !draft.platform.sip_profiles.contains_key(*domain)
    };
    let given_back = spec.domains.iter().filter(|domain| !before.domains.contains(domain));
    let domains = before.domains.iter().chain(given_back).filter(is_free).cloned().collect();
    let mut row = TenantRow { suspended: spec.suspended.unwrap_or(false), domains, ..before.clone() };
    if let Some(profile) = draft.profile.map(|profile| &profile.spec) {
        row.max_concurrent_calls = least(row.max_concurrent_calls, profile.max_concurrent_calls);
        row.max_call_duration_seconds =
            least(row.max_call_duration_seconds, profile.max_call_duration_seconds);
        row.max_calls_abroad_per_day = least(row.max_calls_abroad_per_day, profile.max_calls_abroad_per_day);
        row.recording_tone |= profile.recording_tone.unwrap_or(false);
    }
    Some(row)
}
