//! Answers about one user: variables, and the phones to call.

use serde::Serialize;

use super::Lookup;
use crate::freeswitch::xml::field::Field;
use crate::freeswitch::xml::{Answer, AnswerError, render};

/// Values of `directory/user.xml`, which every document about a user has.
#[derive(Clone, Copy, Serialize)]
pub(in crate::freeswitch::xml) struct User<'a> {
    pub domain: &'a str,
    /// SIP user.
    pub user: &'a str,
    /// Number of its extension.
    pub extension: &'a str,
    pub tenant: &'a str,
    pub context: &'a str,
    pub time_zone: &'a str,
}

/// Values of `directory/call.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Callee<'a> {
    #[serde(flatten)]
    pub user: User<'a>,
    pub dial_string: String,
}

impl Lookup<'_> {
    /// Answers with the user's variables, for `user_exists`, `set_user`, `user_data` and message counts.
    pub(super) fn user(&self) -> Result<Answer, AnswerError> {
        let Some(user) = self.extension() else { return Ok(Answer::NotFound) };
        Ok(render::document(&self.answers.templates, "directory/user.xml", &self.values(user))?)
    }

    /// Answers with the dial string of the user's phones.
    pub(super) fn user_call(&self) -> Result<Answer, AnswerError> {
        let Some(user) = self.extension() else { return Ok(Answer::NotFound) };
        let dial_string = self.dial_string(user);
        let values = Callee { user: self.values(user), dial_string };
        Ok(render::document(&self.answers.templates, "directory/call.xml", &values)?)
    }

    /// The number of the extension that the lookup names by id; there are no aliases.
    pub(super) fn extension(&self) -> Option<&str> {
        if self.form.get(Field::Key).is_some_and(|key| !key.split(':').any(|key| key == "id")) {
            return None;
        }
        let (_, extension) = self.tenant.extension(&self.form.text(Field::User))?;
        Some(&extension.number)
    }

    /// The values of every document about an extension's own user, by the extension's number.
    pub(super) fn values<'a>(&'a self, extension: &'a str) -> User<'a> {
        User {
            domain: self.asked,
            user: extension,
            extension,
            tenant: self.tenant.context(),
            context: self.tenant.context(),
            time_zone: &self.tenant.plan.tenant.time_zone,
        }
    }
}
