//! Documents from values, by template.

use bytes::Bytes;
use serde::Serialize;
use tera::Context;

use super::Answer;
use super::templates::{DIALPLAN, TemplateError, Templates};
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
    match templates.dialplan() {
        Some(cut) => Ok(cut.render(context, extension, actions)),
        None => templates.render(DIALPLAN, &dialplan_context(context, extension, actions)?),
    }
}

pub(super) fn dialplan_context(
    context: &str,
    extension: &str,
    actions: &[Action],
) -> Result<Context, tera::Error> {
    #[derive(Serialize)]
    struct Values<'a> {
        context: &'a str,
        extension: &'a str,
        actions: &'a [Action],
    }
    Context::from_serialize(&Values { context, extension, actions })
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
