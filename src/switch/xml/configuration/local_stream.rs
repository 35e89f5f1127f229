//! local_stream.conf: the tenants' hold music. The request names no stream, so all are answered.

use serde::Serialize;

use crate::route::names;
use crate::switch::xml::{Answer, AnswerError, Answers, render};

/// Values of `configuration/local_stream.xml`.
#[derive(Serialize)]
pub(in crate::switch::xml) struct LocalStreams {
    pub streams: Vec<Stream>,
    /// Directory of the stream that is nobody's.
    pub fallback: String,
}

/// One stream: every file of a directory, in turn.
#[derive(Serialize)]
pub(in crate::switch::xml) struct Stream {
    pub name: String,
    pub path: String,
}

pub(super) fn answer(answers: &Answers) -> Result<Answer, AnswerError> {
    let streams = answers.replica.served().into_iter().filter_map(|tenant| {
        let row = &tenant.plan.tenant;
        let path = answers.media.directory_of(row.id, row.music_on_hold.as_ref()?)?;
        Some(Stream { name: names::music_stream(row.id), path })
    });
    let values = LocalStreams { streams: streams.collect(), fallback: answers.media.no_music() };
    Ok(render::document(&answers.templates, "configuration/local_stream.xml", &values)?)
}
