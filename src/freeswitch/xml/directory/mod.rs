//! Users and domains. Contract §2.2 lists FreeSWITCH's directory lookups and how to distinguish them.

mod group;
mod phones;
mod sip_auth;
mod user;
mod voicemail;

pub(super) use group::{Group, Member};
pub(super) use sip_auth::Credentials;
pub(super) use user::{Callee, User};
pub(super) use voicemail::Mailbox;

use std::borrow::Cow;

use serde::Serialize;

use super::field::Field;
use super::form::Form;
use super::{Answer, AnswerError, Answers, render};
use crate::plan::Service;
use crate::route::TenantView;
use crate::secrets::a1_hash::REALM;
use crate::util::domain::canonical;

/// The action of a lookup for the credentials of a phone.
const SIP_AUTH: &str = "sip_auth";

/// Values of `directory/domain.xml`. `users` is empty unless the lookup lists them.
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
    // Lookups with channel data are for a call that nothing authenticated (blind authentication, ACL
    // tokens), where a phone's headers are fields too, or for a change of a PIN, which works without an
    // answer. Neither may disclose anything.
    if form.has(Field::ChannelState) {
        return Ok(Answer::NotFound);
    }
    let Some(asked) = asked(form) else { return Ok(Answer::NotFound) };
    let Some(domain) = domain(form) else { return Ok(Answer::NotFound) };
    let Some(tenant) = answers.replica.of_phones(&domain) else { return Ok(Answer::NotFound) };
    let lookup = Lookup { form, asked: &asked, domain: &domain, tenant: &tenant, answers };
    let action = form.get(Field::Action);
    if tenant.plan.tenant.service() != Service::Full {
        // Only what an emergency call needs.
        let calls = form.is(Field::SipAuthMethod, "REGISTER") || form.is(Field::SipAuthMethod, "INVITE");
        let is_needed = calls && action.as_deref() == Some(SIP_AUTH);
        return if is_needed { lookup.sip_auth() } else { Ok(Answer::NotFound) };
    }
    match action.as_deref() {
        Some(SIP_AUTH) => lookup.sip_auth(),
        Some("user_call") => lookup.user_call(),
        Some("voicemail-lookup") => lookup.mailbox(),
        Some("message-count") => lookup.user(),
        Some("group_call") => lookup.group(),
        // Phones that challenge us get no credentials (reverse-auth-lookup), and users cannot log in to the
        // switch itself (event_socket_auth, jsonrpc-authenticate).
        Some(_) => Ok(Answer::NotFound),
        None => lookup.without_action(),
    }
}

/// What FreeSWITCH asks for: a domain as a phone or a command spells it, or [`REALM`]. FreeSWITCH posts the phone's
/// text unencoded as `key_value` and encoded as `domain`: both must be the same, else the phone injected fields
/// (contract §1.3).
fn asked<'a>(form: &Form<'a>) -> Option<Cow<'a, str>> {
    let value = form.text(Field::KeyValue);
    let valid = form.is(Field::TagName, "domain")
        && form.is(Field::KeyName, "name")
        && (form.is(Field::Domain, &value) || !form.has(Field::Domain));
    valid.then_some(value)
}

/// The domain of a lookup, in its canonical form: that of a phone that answers to [`REALM`] is the one in From.
pub(super) fn domain(form: &Form<'_>) -> Option<String> {
    let asked = asked(form)?;
    let is_phone = asked == REALM && form.is(Field::Action, SIP_AUTH);
    let named = if is_phone { form.text(Field::SipFromHost) } else { asked };
    canonical(&named).map(Cow::into_owned)
}

/// A lookup in a tenant's domain.
struct Lookup<'a> {
    form: &'a Form<'a>,
    /// The domain as FreeSWITCH asks for it, and expects it in the answer.
    asked: &'a str,
    /// The domain in its canonical form.
    domain: &'a str,
    tenant: &'a TenantView,
    answers: &'a Answers,
}

impl Lookup<'_> {
    fn without_action(&self) -> Result<Answer, AnswerError> {
        match self.form.get(Field::Purpose).as_deref() {
            // Gateways are in sofia.conf and networks in acl.conf.
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
        // A `domain` field asks for the domain alone (domain_exists, domain_data); without it the lookup
        // lists the users (list_users, mod_directory).
        if self.form.has(Field::Domain) {
            return self.domain(Vec::new());
        }
        let extensions = self.tenant.plan.extensions.values();
        self.domain(extensions.map(|extension| extension.number.as_str()).collect())
    }

    fn domain(&self, users: Vec<&str>) -> Result<Answer, AnswerError> {
        let values = Domain { domain: self.asked, users };
        Ok(render::document(&self.answers.templates, "directory/domain.xml", &values)?)
    }
}
