//! local_stream.conf: the tenants' hold music. The lookup names no stream, so the answer has all.
//!
//! mod_local_stream does not load without any stream, and then none can be added later. Therefore a
//! placeholder of no tenant is always included; its directory need not exist.

use serde::Serialize;

use crate::freeswitch::xml::{Answer, AnswerError, Answers, render};
use crate::route::names;

/// Values of `configuration/local_stream.xml`.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct LocalStreams {
    pub streams: Vec<Stream>,
}

/// A stream, which plays the files of a directory in turn.
#[derive(Serialize)]
pub(in crate::freeswitch::xml) struct Stream {
    pub name: String,
    pub path: String,
}

/// Name of the stream that lets the module load.
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
