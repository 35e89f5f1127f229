//! sofia.conf: SIP profiles, with the tenants' domains and the trunks' gateways.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::gateway;
use super::gateway::Gateway;
use crate::freeswitch::xml::field::Field;
use crate::freeswitch::xml::form::Form;
use crate::freeswitch::xml::{Answer, AnswerError, Answers, render};
use crate::plan::SipProfileRow;
use crate::resources::sip_profile::Role;
use crate::route::TenantView;
use crate::route::names;
use crate::secrets::a1_hash::REALM;

/// Values of `configuration/sofia.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Sofia<'a> {
    pub profiles: Vec<Profile<'a>>,
}

/// A profile.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Profile<'a> {
    pub name: &'a str,
    /// Whether the answer has settings and domains, not only gateways.
    pub settings: bool,
    pub phones: bool,
    pub context: &'static str,
    /// The realm in which phones are asked for credentials.
    pub realm: &'static str,
    pub acl: &'static str,
    pub sip_port: i32,
    pub tls_port: Option<i32>,
    /// Port of SIP over WebSocket on 127.0.0.1, for browsers.
    pub ws_port: Option<i32>,
    pub bind_address: Option<&'a str>,
    /// Whether that is an IPv6 address.
    pub is_ipv6: bool,
    pub external_address: Option<&'a str>,
    pub codecs: String,
    pub domains: Vec<&'a str>,
    pub gateways: Vec<Gateway<'a>>,
}

/// Answers with all profiles or the named one; for `startgw` with only its gateways or one of them (contract
/// §4.1).
pub(super) fn answer(form: &Form<'_>, answers: &Answers) -> Result<Answer, AnswerError> {
    let platform = answers.replica.platform();
    let wanted = form.get(Field::Profile).filter(|name| !name.is_empty());
    let gateway = form.get(Field::Gateway).filter(|name| !name.is_empty());
    let key = answers.key()?;
    let tenants = if gateway.is_none() { answers.replica.with_phones() } else { Vec::new() };
    // Each domain must be an alias of exactly one profile, else events for it leak a lock (contract §5.6).
    let main = platform.main_profile();
    // A rescan does not make a profile listen elsewhere; a start or restart does.
    let running = match form.get(Field::Reconfig) {
        Some(_) => answers.running.all(),
        None => BTreeMap::new(),
    };
    let profiles = platform
        .sip_profiles
        .iter()
        .filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == *name))
        .map(|(name, row)| Profile {
            settings: gateway.is_none(),
            domains: if main == Some(name.as_str()) { domains(&tenants) } else { Vec::new() },
            gateways: gateway::of_profile(
                &platform,
                name,
                gateway.as_deref().filter(|name| *name != "_all_"),
                key,
            ),
            ..profile(name, running.get(name).unwrap_or(row))
        })
        .collect();
    Ok(render::document(&answers.templates, "configuration/sofia.xml", &Sofia { profiles })?)
}

fn domains(tenants: &[Arc<TenantView>]) -> Vec<&str> {
    tenants.iter().flat_map(|tenant| tenant.plan.tenant.domains.iter().map(String::as_str)).collect()
}

fn profile<'a>(name: &'a str, row: &'a SipProfileRow) -> Profile<'a> {
    let phones = row.role == Role::Phones;
    Profile {
        name,
        settings: true,
        phones,
        // The context of a call comes from its user or its gateway, so the profile's own context matches nothing.
        context: if phones { names::UNROUTED_CONTEXT } else { names::INBOUND_CONTEXT },
        realm: REALM,
        acl: names::TRUNKS_ACL,
        sip_port: row.sip_port,
        tls_port: row.tls_port,
        ws_port: row.ws_port,
        bind_address: row.bind_address.as_deref(),
        is_ipv6: row.bind_address.as_deref().is_some_and(|address| address.contains(':')),
        external_address: row.external_address.as_deref(),
        codecs: row.codecs.join(","),
        domains: Vec::new(),
        gateways: Vec::new(),
    }
}
