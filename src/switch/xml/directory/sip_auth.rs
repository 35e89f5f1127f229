//! A phone authenticates: registers, calls, subscribes, sends a message.

use super::Lookup;
use super::user::auth_context;
use crate::resources::sip_profile::Role;
use crate::switch::field::Field;
use crate::switch::xml::{Answer, AnswerError};

impl Lookup<'_> {
    /// The credentials' hash, if every name the phone gave is the same one. FreeSWITCH compares
    /// none of them: it looks up whom the phone says to be and in what realm, and registers whom
    /// it names as To (contract §2.3).
    pub(super) fn sip_auth(&self) -> Result<Answer, AnswerError> {
        let user = self.form.text(Field::User);
        if !self.names_agree(&user) || !self.comes_from_phones() {
            return Ok(Answer::NotFound);
        }
        // None without a password: FreeSWITCH lets a user in whose hash is empty.
        let Some(hash) = self.tenant.a1_hash(&user, self.domain) else { return Ok(Answer::NotFound) };
        let values = auth_context(self.domain, &user, self.tenant, &hash);
        Ok(Answer::Found(self.answers.templates.render("directory/auth.xml", &values)?))
    }

    fn names_agree(&self, user: &str) -> bool {
        let is = |field, value: &str| self.form.get(field).is_some_and(|text| text == value);
        let registers = is(Field::SipAuthMethod, "REGISTER");
        is(Field::SipAuthUsername, user)
            && is(Field::SipAuthRealm, self.domain)
            && is(Field::SipFromHost, self.domain)
            && (!registers || is(Field::SipToHost, self.domain) && is(Field::SipToUser, user))
    }

    /// Whether the request came by a profile for phones: carriers are known by their addresses.
    fn comes_from_phones(&self) -> bool {
        let platform = self.answers.replica.platform();
        let profile = self.form.text(Field::SipProfile);
        platform.sip_profiles.get(profile.as_ref()).is_some_and(|profile| profile.role == Role::Phones)
    }
}
