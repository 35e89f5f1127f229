//! Documents from values, by template.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use tera::value::Key;
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
    values.insert_value("actions", Value::from(actions.iter().map(action).collect::<Vec<_>>()));
    values
}

/// Made by hand: serde takes several times as long, and every call waits for it. Tera makes a map of its
/// own from any it is given, its own too.
fn action(action: &Action) -> Value {
    let fields = [("application", action.application), ("data", &action.data)];
    Value::from(BTreeMap::from(fields.map(|(name, value)| (Key::Str(name), Value::from(value)))))
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
