//! Documents from values, by template.

use bytes::Bytes;
use serde::Serialize;
use tera::{Context, Value};

use super::Answer;
use super::templates::{DIALPLAN, TemplateError, Templates};
use crate::route::Action;

/// Texts, by the names under which templates place them.
pub(super) type Texts<'a> = [(&'static str, &'a str)];

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
    place(templates, DIALPLAN, &[("context", context), ("extension", extension)], Some(actions))
}

/// A document of one user.
///
/// # Errors
/// See [`Templates::render`].
pub(super) fn user(
    templates: &Templates,
    name: &'static str,
    texts: &Texts<'_>,
) -> Result<Answer, TemplateError> {
    Ok(Answer::Found(place(templates, name, texts, None)?))
}

/// A document of texts, and of a call's actions.
fn place(
    templates: &Templates,
    name: &'static str,
    texts: &Texts<'_>,
    actions: Option<&[Action]>,
) -> Result<Bytes, TemplateError> {
    let placed = templates.cut(name).and_then(|cut| cut.render(texts, actions.unwrap_or_default()));
    placed.map_or_else(|| templates.render(name, &context(texts, actions)?), Ok)
}

/// What Tera makes such a document of.
pub(super) fn context(texts: &Texts<'_>, actions: Option<&[Action]>) -> Result<Context, tera::Error> {
    let mut values = Context::new();
    for (name, text) in texts {
        values.insert_value(*name, Value::from(*text));
    }
    if let Some(actions) = actions {
        values.insert_value("actions", Value::try_from_serializable(actions)?);
    }
    Ok(values)
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
