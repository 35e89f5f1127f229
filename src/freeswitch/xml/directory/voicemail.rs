//! Voicemail boxes.

use crate::plan::SecretName;
use serde::Serialize;

use super::Lookup;
use crate::freeswitch::xml::field::Field;
use crate::freeswitch::xml::{Answer, AnswerError, render};

/// Values of `directory/voicemail.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Mailbox<'a> {
    pub domain: &'a str,
    pub user: &'a str,
    pub enabled: bool,
    /// Empty if only the box's own phone may open it.
    pub pin: &'a str,
    pub storage_dir: String,
    pub time_zone: &'a str,
}

impl Lookup<'_> {
    pub(super) fn mailbox(&self) -> Result<Answer, AnswerError> {
        let Some((_, extension)) = self.tenant.extension(&self.form.text(Field::User)) else {
            return Ok(Answer::NotFound);
        };
        let row = &self.tenant.plan.tenant;
        // FreeSWITCH gives passwords such as `user-choose` a special meaning: only digits are passed on.
        let pin =
            extension.secrets.get(SecretName::Pin).filter(|pin| pin.bytes().all(|b| b.is_ascii_digit()));
        let values = Mailbox {
            domain: self.asked,
            user: &extension.number,
            enabled: extension.voicemail.is_some(),
            pin: pin.unwrap_or_default(),
            storage_dir: self.answers.media.voicemail_box(row.id, &extension.number),
            time_zone: &row.time_zone,
        };
        Ok(render::document(&self.answers.templates, "directory/voicemail.xml", &values)?)
    }
}
