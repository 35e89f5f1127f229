//! A user by name, and the values that every document about one is made of.

use tera::{Context, Value};

use super::Lookup;
use super::phones::dial_string;
use crate::route::TenantView;
use crate::switch::field::Field;
use crate::switch::xml::{Answer, AnswerError};

impl Lookup<'_> {
    /// The user's variables: `user_exists`, `set_user`, `user_data`, the count of messages.
    pub(super) fn user(&self) -> Result<Answer, AnswerError> {
        let Some(user) = self.extension() else { return Ok(Answer::NotFound) };
        let values = user_context(self.domain, user, self.tenant);
        Ok(Answer::Found(self.answers.templates.render("directory/user.xml", &values)?))
    }

    /// The user's phones.
    pub(super) fn user_call(&self) -> Result<Answer, AnswerError> {
        let Some(user) = self.extension() else { return Ok(Answer::NotFound) };
        let dial_string = dial_string(&self.answers.replica.platform(), user, self.domain);
        let values = call_context(self.domain, user, self.tenant, &dial_string);
        Ok(Answer::Found(self.answers.templates.render("directory/call.xml", &values)?))
    }

    /// The number of the extension that is asked for, by id: there are no aliases.
    pub(super) fn extension(&self) -> Option<&str> {
        if self.form.get(Field::Key).is_some_and(|key| !key.split(':').any(|key| key == "id")) {
            return None;
        }
        let (_, extension) = self.tenant.extension(&self.form.text(Field::User))?;
        Some(&extension.number)
    }
}

/// Values of `directory/user.xml`.
pub(in crate::switch::xml) fn user_context(domain: &str, user: &str, tenant: &TenantView) -> Context {
    let row = &tenant.plan.tenant;
    let context = row.context();
    let mut values = Context::new();
    values.insert_value("domain", Value::from(domain));
    values.insert_value("user", Value::from(user));
    values.insert_value("tenant", Value::from(context.as_str()));
    values.insert_value("context", Value::from(context));
    values.insert_value("time_zone", Value::from(row.time_zone.as_str()));
    values
}

/// Values of `directory/auth.xml`.
pub(in crate::switch::xml) fn auth_context(
    domain: &str,
    user: &str,
    tenant: &TenantView,
    a1_hash: &str,
) -> Context {
    let mut values = user_context(domain, user, tenant);
    values.insert_value("a1_hash", Value::from(a1_hash));
    values
}

/// Values of `directory/call.xml`.
pub(in crate::switch::xml) fn call_context(
    domain: &str,
    user: &str,
    tenant: &TenantView,
    dial_string: &str,
) -> Context {
    let mut values = user_context(domain, user, tenant);
    values.insert_value("dial_string", Value::from(dial_string));
    values
}
