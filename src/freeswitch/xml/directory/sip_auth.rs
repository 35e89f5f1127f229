//! A phone authenticates: registers, calls, subscribes, sends a message.

use serde::Serialize;

use super::Lookup;
use super::user::User;
use crate::freeswitch::xml::field::Field;
use crate::freeswitch::xml::{Answer, AnswerError, render};
use crate::resources::sip_profile::Role;

/// Longest Call-ID of a phone, in bytes. FreeSWITCH keeps that of a REGISTER as it is, and lists it with
/// every registration; no honest phone has a longer one.
const MAX_CALL_ID: usize = 256;

/// Values of `directory/auth.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Credentials<'a> {
    #[serde(flatten)]
    pub user: User<'a>,
    pub a1_hash: &'a str,
}

impl Lookup<'_> {
    /// The credentials' hash, if every name the phone gave is the same one. FreeSWITCH compares
    /// none of them: it looks up whom the phone says to be and in what realm, registers whom it
    /// names as To (contract §2.3), and tells it of the calls of whom it subscribes to.
    pub(super) fn sip_auth(&self) -> Result<Answer, AnswerError> {
        let user = self.form.text(Field::User);
        let call_id_fits = !self.form.is_longer(Field::SipCallId, MAX_CALL_ID);
        if !self.names_agree(&user) || !self.comes_from_phones() || !call_id_fits {
            return Ok(Answer::NotFound);
        }
        // None without a password: FreeSWITCH lets a user in whose hash is empty.
        let Some(hash) = self.tenant.a1_hash(&user, self.domain) else { return Ok(Answer::NotFound) };
        let values = Credentials { user: self.values(&user), a1_hash: hash };
        Ok(render::document(&self.answers.templates, "directory/auth.xml", &values)?)
    }

    fn names_agree(&self, user: &str) -> bool {
        let is = |field, value| self.form.is(field, value);
        is(Field::SipAuthUsername, user)
            && is(Field::SipAuthRealm, self.domain)
            && is(Field::SipFromHost, self.domain)
            && match self.form.text(Field::SipAuthMethod).as_ref() {
                "REGISTER" => is(Field::SipToHost, self.domain) && is(Field::SipToUser, user),
                // A call goes where its request says, by the dialplan.
                "INVITE" => true,
                _ => is(Field::SipToHost, self.domain) && !self.to_names_a_host(),
            }
    }

    /// Whether the user part of To names a host: of `sip+1001+b.test@a.test`, and of `sip+1001@b.test`
    /// before the host, FreeSWITCH takes b.test for the host that is subscribed to
    /// (sofia_presence.c, sofia_presence_handle_sip_i_subscribe). `park+5` has a protocol and a user.
    fn to_names_a_host(&self) -> bool {
        let user = self.form.text(Field::SipToUser);
        user.contains('@') || user.matches('+').count() > 1
    }

    /// Whether the request came by a profile for phones: carriers are known by their addresses.
    fn comes_from_phones(&self) -> bool {
        let platform = self.answers.replica.platform();
        let profile = self.form.text(Field::SipProfile);
        platform.sip_profiles.get(profile.as_ref()).is_some_and(|profile| profile.role == Role::Phones)
    }
}
