//! fifo.conf: there are no FIFO queues.

use tera::Context;

use crate::freeswitch::xml::{Answer, AnswerError, Answers};

pub(super) fn answer(answers: &Answers) -> Result<Answer, AnswerError> {
    Ok(Answer::Document(answers.templates.render("configuration/fifo.xml", &Context::new())?))
}
