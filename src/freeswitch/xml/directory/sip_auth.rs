//! Credentials of a phone that registers, calls, subscribes or sends a message.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

use super::Lookup;
use super::user::User;
use crate::freeswitch::registrations::MAX_CALL_ID;
use crate::freeswitch::xml::field::Field;
use crate::freeswitch::xml::{Answer, AnswerError, render};
use crate::resources::sip_profile::Role;
use crate::secrets::a1_hash::a1_hash;
use crate::secrets::digest::DigestAnswer;
use crate::secrets::web_password;
use crate::util::domain::canonical;

/// Values of `directory/auth.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Credentials<'a> {
    #[serde(flatten)]
    pub user: User<'a>,
    /// Name of the Device whose line it is; empty for the extension's own user.
    pub device: &'a str,
    pub a1_hash: &'a str,
    /// The user's domain in its canonical form.
    pub domain_name: &'a str,
    /// Whether it is a browser.
    pub is_browser: bool,
}

impl Lookup<'_> {
    /// Answers with the hash of the credentials, if all names in the request agree. FreeSWITCH compares none
    /// of them: it looks up the user and realm that the phone claims, registers the user in To (contract
    /// §2.3), and shows the phone the calls of whomever it subscribes to.
    pub(super) fn sip_auth(&self) -> Result<Answer, AnswerError> {
        let user = self.form.text(Field::User);
        let call_id_fits = !self.form.is_longer(Field::SipCallId, MAX_CALL_ID);
        let Some(is_browser) = self.comes_from_browsers() else { return Ok(Answer::NotFound) };
        if !self.names_agree(&user) || !call_id_fits {
            return Ok(Answer::NotFound);
        }
        // FreeSWITCH admits a user whose hash is empty, so an extension without a password is not found.
        // Nor is a browser then: who withdraws the password shuts out all that registers as the extension.
        let Some(hash) = self.tenant.a1_hash(&user, self.asked) else { return Ok(Answer::NotFound) };
        let hash = match is_browser {
            // A line of a Device is no browser.
            true => match self.tenant.extension(&user) {
                Some((name, _)) => Cow::Owned(self.web_hash(name, &user)?),
                None => return Ok(Answer::NotFound),
            },
            false => Cow::Borrowed(hash),
        };
        let Some(found) = self.tenant.sip_user(&user) else { return Ok(Answer::NotFound) };
        if self.form.is(Field::SipAuthMethod, "REGISTER") {
            let host = self.form.text(Field::SipToHost);
            self.answers.replica.spellings.claimed(self.domain, &user, &host);
        }
        let device = found.device.map_or("", |(name, _)| name);
        let user = User { user: &user, ..self.values(&found.row.number) };
        let values = Credentials { user, device, a1_hash: &hash, domain_name: self.domain, is_browser };
        Ok(render::document(&self.answers.templates, "directory/auth.xml", &values)?)
    }

    fn names_agree(&self, user: &str) -> bool {
        let is = |field, value| self.form.is(field, value);
        is(Field::SipAuthUsername, user)
            && is(Field::SipAuthRealm, self.asked)
            && self.is_own_host(Field::SipFromHost)
            && match self.form.text(Field::SipAuthMethod).as_ref() {
                "REGISTER" => self.is_own_host(Field::SipToHost) && is(Field::SipToUser, user),
                // The dialplan decides the destination of a call, not To.
                "INVITE" => true,
                _ => self.is_own_host(Field::SipToHost) && !self.to_names_a_host(),
            }
    }

    /// Whether a host is a spelling of the domain.
    fn is_own_host(&self, field: Field) -> bool {
        canonical(&self.form.text(field)).is_some_and(|host| host == self.domain)
    }

    /// Whether the user part of To names a host. FreeSWITCH subscribes to b.test for the user parts
    /// `sip+1001+b.test` and `sip+1001@b.test`, whatever the host of To (sofia_presence.c,
    /// sofia_presence_handle_sip_i_subscribe). `park+5` is a protocol and a user, without a host.
    fn to_names_a_host(&self) -> bool {
        let user = self.form.text(Field::SipToUser);
        user.contains('@') || user.matches('+').count() > 1
    }

    /// Whether the request came in by a profile for browsers. `None` for one that is not for phones: carriers are
    /// identified by address only.
    fn comes_from_browsers(&self) -> Option<bool> {
        let platform = self.answers.replica.platform();
        let profile = platform.sip_profiles.get(self.form.text(Field::SipProfile).as_ref())?;
        (profile.role == Role::Phones).then_some(profile.ws_port.is_some())
    }

    /// The hash of the extension's web password that the browser knows, this hour's or the last one's. FreeSWITCH refuses a browser
    /// that knows neither, because its digest is not that of this hour's.
    fn web_hash(&self, name: &str, user: &str) -> Result<String, AnswerError> {
        let tenant = self.tenant.plan.tenant.id;
        let passwords = web_password::accepted(self.answers.key()?, tenant, name, Timestamp::now());
        let [current, previous] = passwords.map(|password| a1_hash(user, self.asked, &password));
        let text = |field| self.form.text(field);
        let answer = DigestAnswer {
            method: &text(Field::SipAuthMethod),
            uri: &text(Field::SipAuthUri),
            nonce: &text(Field::SipAuthNonce),
            qop: &text(Field::SipAuthQop),
            cnonce: &text(Field::SipAuthCnonce),
            nc: &text(Field::SipAuthNc),
            response: &text(Field::SipAuthResponse),
        };
        Ok(if answer.is_by(&previous) { previous } else { current })
    }
}
