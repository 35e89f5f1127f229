//! local_stream.conf: the tenants' hold music. The request names no stream, so all are answered.
//!
//! mod_local_stream refuses to load without any stream, and then none can be added later. So one
//! of no tenant is always there; its directory need not exist.

use serde::Serialize;

use crate::freeswitch::xml::{Answer, AnswerError, Answers, render};
use crate::route::names;

/// Values of `configuration/local_stream.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct LocalStreams {
    pub streams: Vec<Stream>,
}

/// One stream: every file of a directory, in turn.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Stream {
    pub name: String,
    pub path: String,
}

/// The stream that is there so that the module loads.
const PLACEHOLDER: &str = "none";

pub(super) fn answer(answers: &Answers) -> Result<Answer, AnswerError> {
    let streams = answers.replica.served().into_iter().filter_map(|tenant| {
        let row = &tenant.plan.tenant;
        let path = answers.media.directory_of(row.id, row.music_on_hold.as_ref()?)?;
        Some(Stream { name: names::music_stream(row.id), path })
    });
    let placeholder = Stream { name: PLACEHOLDER.to_owned(), path: answers.media.placeholder() };
    let values = LocalStreams { streams: std::iter::once(placeholder).chain(streams).collect() };
    Ok(render::document(&answers.templates, "configuration/local_stream.xml", &values)?)
}
