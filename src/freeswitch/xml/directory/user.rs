//! A user by name, and the texts that every document about one places.

use super::Lookup;
use super::phones::dial_string;
use crate::freeswitch::xml::field::Field;
use crate::freeswitch::xml::templates::{CALL, USER};
use crate::freeswitch::xml::{Answer, AnswerError, render};

impl Lookup<'_> {
    /// The user's variables: `user_exists`, `set_user`, `user_data`, the count of messages.
    pub(super) fn user(&self) -> Result<Answer, AnswerError> {
        let Some(user) = self.extension() else { return Ok(Answer::NotFound) };
        Ok(render::user(&self.answers.templates, USER, &self.texts(user))?)
    }

    /// The user's phones.
    pub(super) fn user_call(&self) -> Result<Answer, AnswerError> {
        let Some(user) = self.extension() else { return Ok(Answer::NotFound) };
        let dial_string = dial_string(&self.answers.replica.platform(), user, self.domain);
        let [domain, id, tenant, context, time_zone] = self.texts(user);
        let texts = [domain, id, tenant, context, time_zone, ("dial_string", &dial_string)];
        Ok(render::user(&self.answers.templates, CALL, &texts)?)
    }

    /// The number of the extension that is asked for, by id: there are no aliases.
    pub(super) fn extension(&self) -> Option<&str> {
        if self.form.get(Field::Key).is_some_and(|key| !key.split(':').any(|key| key == "id")) {
            return None;
        }
        let (_, extension) = self.tenant.extension(&self.form.text(Field::User))?;
        Some(&extension.number)
    }

    /// What every document about a user places.
    pub(super) fn texts<'a>(&'a self, user: &'a str) -> [(&'static str, &'a str); 5] {
        [
            ("domain", self.domain),
            ("user", user),
            ("tenant", self.tenant.context()),
            ("context", self.tenant.context()),
            ("time_zone", &self.tenant.plan.tenant.time_zone),
        ]
    }
}
