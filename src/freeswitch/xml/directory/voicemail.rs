//! A voicemail box, for leaving and hearing messages.

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
    /// Empty: nobody enters but by the box's own phone.
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
        // Text such as `user-choose` has a meaning of its own as a password.
        let pin =
            extension.secrets.get(SecretName::Pin).filter(|pin| pin.bytes().all(|b| b.is_ascii_digit()));
        let values = Mailbox {
            domain: self.domain,
            user: &extension.number,
            enabled: extension.voicemail.is_some(),
            pin: pin.unwrap_or_default(),
            storage_dir: self.answers.media.voicemail_box(row.id, &extension.number),
            time_zone: &row.time_zone,
        };
        Ok(render::document(&self.answers.templates, "directory/voicemail.xml", &values)?)
    }
}
