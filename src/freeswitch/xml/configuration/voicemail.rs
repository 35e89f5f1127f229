//! voicemail.conf: one profile for all boxes.

use serde::Serialize;

use crate::freeswitch::xml::{Answer, AnswerError, Answers, render};
use crate::route::names;

/// Values of `configuration/voicemail.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Voicemail {
    pub profile: &'static str,
    pub context: &'static str,
    pub storage_dir: String,
}

pub(super) fn answer(answers: &Answers) -> Result<Answer, AnswerError> {
    let values = Voicemail {
        profile: names::VOICEMAIL_PROFILE,
        context: names::UNROUTED_CONTEXT,
        storage_dir: answers.media.stray_voicemail(),
    };
    Ok(render::document(&answers.templates, "configuration/voicemail.xml", &values)?)
}
