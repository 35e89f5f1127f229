//! Users and domains. Who asks for what, and how they are told apart, is in contract §2.2.

mod group;
mod phones;
mod sip_auth;
mod user;
mod voicemail;

pub(super) use group::{Group, Member};
pub(super) use sip_auth::Credentials;
pub(super) use user::{Callee, User};
pub(super) use voicemail::Mailbox;

use serde::Serialize;

use super::field::Field;
use super::form::Form;
use super::{Answer, AnswerError, Answers, render};
use crate::route::TenantView;

/// A domain, with the ids of its users where they are asked for.
#[derive(Serialize)]
pub(super) struct Domain<'a> {
    pub domain: &'a str,
    pub users: Vec<&'a str>,
}

/// Answers a directory lookup.
///
/// # Errors
/// See [`Answers::answer`].
pub fn answer(form: &Form<'_>, answers: &Answers) -> Result<Answer, AnswerError> {
    // Channel data comes with lookups for a call that nothing authenticated (blind
    // authentication, ACL tokens), where a phone's headers are fields too, and with a change of a
    // PIN, to which a miss is no objection. Nothing may be learned from either.
    if form.has(Field::ChannelState) {
        return Ok(Answer::NotFound);
    }
    let Some(domain) = domain(form) else { return Ok(Answer::NotFound) };
    let Some(tenant) = answers.replica.by_domain(&domain) else { return Ok(Answer::NotFound) };
    let lookup = Lookup { form, domain: &domain, tenant: &tenant, answers };
    match form.get(Field::Action).as_deref() {
        Some("sip_auth") => lookup.sip_auth(),
        Some("user_call") => lookup.user_call(),
        Some("voicemail-lookup") => lookup.mailbox(),
        Some("message-count") => lookup.user(),
        Some("group_call") => lookup.group(),
        // Phones that challenge us get no credentials of ours (reverse-auth-lookup); nobody logs
        // in to the switch itself (event_socket_auth, jsonrpc-authenticate).
        Some(_) => Ok(Answer::NotFound),
        None => lookup.without_action(),
    }
}

/// The domain that is asked for: what the phone wrote and FreeSWITCH posts raw as `key_value` must
/// be what it posts encoded as `domain`, and a host name, or somebody put fields of his own into
/// the request (contract §1.3).
fn domain<'a>(form: &Form<'a>) -> Option<std::borrow::Cow<'a, str>> {
    let value = form.text(Field::KeyValue);
    let asked = form.is(Field::TagName, "domain")
        && form.is(Field::KeyName, "name")
        && (form.is(Field::Domain, &value) || !form.has(Field::Domain))
        && is_host_name(&value);
    asked.then_some(value)
}

/// Small letters, digits, hyphens and dots, as every tenant's domain is written.
fn is_host_name(text: &str) -> bool {
    text.len() <= 253
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
}

/// A lookup in a tenant's domain.
struct Lookup<'a> {
    form: &'a Form<'a>,
    domain: &'a str,
    tenant: &'a TenantView,
    answers: &'a Answers,
}

impl Lookup<'_> {
    fn without_action(&self) -> Result<Answer, AnswerError> {
        match self.form.get(Field::Purpose).as_deref() {
            // Gateways are in sofia.conf, networks in acl.conf.
            Some("gateways" | "network-list") => return self.domain(Vec::new()),
            Some("publish-vm") => return self.mailbox(),
            Some(_) => return Ok(Answer::NotFound),
            None => {}
        }
        if self.form.has(Field::GroupName) {
            return self.group();
        }
        if self.form.has(Field::NumberAlias) {
            return Ok(Answer::NotFound); // mod_xml_rpc wants a password
        }
        if self.form.has(Field::User) {
            return self.user();
        }
        // With a `domain` field only the domain is meant (domain_exists, domain_data); without
        // one its users are listed (list_users, mod_directory).
        if self.form.has(Field::Domain) {
            return self.domain(Vec::new());
        }
        let extensions = self.tenant.plan.extensions.values();
        self.domain(extensions.map(|extension| extension.number.as_str()).collect())
    }

    fn domain(&self, users: Vec<&str>) -> Result<Answer, AnswerError> {
        let values = Domain { domain: self.domain, users };
        Ok(render::document(&self.answers.templates, "directory/domain.xml", &values)?)
    }
}
