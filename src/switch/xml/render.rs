//! Documents from values, by template.

use bytes::Bytes;
use serde::Serialize;
use tera::{Context, Value};

use super::Answer;
use super::templates::{TemplateError, Templates};
use crate::route::Action;

/// The dialplan of one call: a context with the one extension that applies, unconditionally
/// (contract §3.3).
///
/// # Errors
/// See [`Templates::render`].
pub fn dialplan(
    templates: &Templates,
    context: &str,
    extension: &str,
    actions: &[Action],
) -> Result<Bytes, TemplateError> {
    templates.render("dialplan/extension.xml", &dialplan_context(context, extension, actions))
}

pub(super) fn dialplan_context(context: &str, extension: &str, actions: &[Action]) -> Context {
    let mut values = Context::new();
    values.insert_value("context", Value::from(context));
    values.insert_value("extension", Value::from(extension));
    values.insert("actions", actions);
    values
}

/// Renders a document from a serialisable value.
///
/// # Errors
/// See [`Templates::render`].
pub(super) fn document<T: Serialize>(
    templates: &Templates,
    name: &'static str,
    values: &T,
) -> Result<Answer, TemplateError> {
    Ok(Answer::Found(templates.render(name, &Context::from_serialize(values)?)?))
}
