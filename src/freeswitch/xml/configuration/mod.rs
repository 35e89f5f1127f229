//! Configuration of modules, one file each. Modules that are not listed here have static files on the
//! switch; their lookups are not found (contract §4.1).

mod acl;
mod callcenter;
mod conference;
mod fifo;
mod gateway;
mod ivr;
mod local_stream;
mod sofia;
mod voicemail;

pub(super) use acl::AccessControl;
pub(in crate::freeswitch) use callcenter::CallCenter;
pub(super) use callcenter::{Agent, Queue, Tier};
pub(super) use conference::{Conferences, Room};
pub(super) use gateway::NextHop;
pub(in crate::freeswitch) use gateway::{Gateway, of_profile as gateways_of};
pub(super) use ivr::{Entry, Menu};
pub(super) use local_stream::{LocalStreams, Stream};
pub(super) use sofia::{Profile, Sofia};
pub(super) use voicemail::Voicemail;

use super::field::Field;
use super::form::Form;
use super::{Answer, AnswerError, Answers};

/// Answers a configuration lookup.
///
/// # Errors
/// See [`Answers::answer`].
pub fn answer(form: &Form<'_>, answers: &Answers) -> Result<Answer, AnswerError> {
    if !form.is(Field::TagName, "configuration") || !form.is(Field::KeyName, "name") {
        return Ok(Answer::NotFound);
    }
    match form.text(Field::KeyValue).as_ref() {
        "sofia.conf" => sofia::answer(form, answers),
        "acl.conf" => acl::answer(answers),
        "ivr.conf" => ivr::answer(form, answers),
        "callcenter.conf" => callcenter::answer(form, answers),
        "conference.conf" => conference::answer(form, answers),
        "local_stream.conf" => local_stream::answer(answers),
        "voicemail.conf" => voicemail::answer(answers),
        "fifo.conf" => fifo::answer(answers),
        _ => Ok(Answer::NotFound),
    }
}
