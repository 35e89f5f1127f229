//! What a call does.

use super::{Answer, AnswerError, Answers};
use crate::switch::form::Form;

/// Answers a dialplan lookup.
///
/// # Errors
/// See [`Answers::answer`].
pub fn answer(_form: &Form<'_>, _answers: &Answers) -> Result<Answer, AnswerError> {
    Ok(Answer::NotFound)
}
