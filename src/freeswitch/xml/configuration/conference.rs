//! conference.conf: a profile per room, asked for when somebody enters it.

use crate::plan::SecretName;
use serde::Serialize;

use crate::freeswitch::xml::field::Field;
use crate::freeswitch::xml::form::Form;
use crate::freeswitch::xml::{Answer, AnswerError, Answers, render};
use crate::route::TenantView;
use crate::route::names;

/// Values of `configuration/conference.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Conferences<'a> {
    pub rooms: Vec<Room<'a>>,
}

/// A room, and the profile of its name.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Room<'a> {
    pub name: &'a str,
    pub max_members: i32,
    /// Empty: anybody may enter.
    pub pin: &'a str,
    /// What somebody hears who is alone; empty: nothing.
    pub music: String,
}

/// One room's profile for who enters it; no rooms, with the callers' keys, for whoever asks for
/// those or for none in particular (at load, and for `request-controls`).
pub(super) fn answer(form: &Form<'_>, answers: &Answers) -> Result<Answer, AnswerError> {
    let name = form.text(Field::ProfileName);
    if name.is_empty() {
        return document(answers, Vec::new());
    }
    let Some((conference, tenant)) = names::parse_room(&name) else { return Ok(Answer::NotFound) };
    let Some(tenant) = answers.replica.by_id(tenant) else { return Ok(Answer::NotFound) };
    let Some(room) = room(&tenant, conference, &name) else { return Ok(Answer::NotFound) };
    document(answers, vec![room])
}

fn room<'a>(tenant: &'a TenantView, conference: &str, name: &'a str) -> Option<Room<'a>> {
    let plan = &tenant.plan;
    let row = plan.conferences.get(conference)?;
    let music = plan.tenant.music_on_hold.as_ref();
    Some(Room {
        name,
        max_members: row.max_members,
        pin: row.secrets.get(SecretName::Pin).unwrap_or_default(),
        music: music
            .map(|_| format!("local_stream://{}", names::music_stream(plan.tenant.id)))
            .unwrap_or_default(),
    })
}

fn document(answers: &Answers, rooms: Vec<Room<'_>>) -> Result<Answer, AnswerError> {
    Ok(render::document(&answers.templates, "configuration/conference.xml", &Conferences { rooms })?)
}
