//! Renders documents from values, by template.

use bytes::Bytes;
use serde::Serialize;
use tera::Context;

use super::Answer;
use super::templates::{TemplateError, Templates};
use crate::route::Action;

/// Values of `dialplan/extension.xml`.
#[derive(Serialize)]
pub(super) struct Dialplan<'a> {
    pub context: &'a str,
    pub extension: &'a str,
    pub actions: &'a [Action],
}

/// Renders the dialplan of one call: a context with the one extension that applies, unconditionally
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
    let values = Dialplan { context, extension, actions };
    templates.render("dialplan/extension.xml", &Context::from_serialize(&values)?)
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
    Ok(Answer::Document(templates.render(name, &Context::from_serialize(values)?)?))
}
