//! Which calls are recorded, and the applications that start a recording.
//!
//! A recording belongs to the calling leg, starts once, and lasts as long as that leg, including transfers.
//! Emergency calls, feature codes and voicemail boxes are never recorded.

use crate::resources::Kind;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::app::{DialplanApp, Variable};
use super::call::{Actions, Call};
use super::explain::Step;
use super::legal::Word;
use super::token::Caller;
use crate::plan::{ExtensionRow, MediaPath, Target};
use crate::resources::common::{DestinationKind, Recording};

/// Starts a recording of a call to a target if the caller, the called extension or the public number asks
/// for one.
pub(super) fn of_target(call: &Call, target: &Target, by_number: bool) -> Actions {
    let plan = &call.view.plan;
    let row = |name: &String| plan.extensions.get(name);
    let wanted =
        match target.kind {
            DestinationKind::Voicemail => return Some(Vec::new()),
            DestinationKind::Extension => row(&target.name).is_some_and(records_inbound),
            // The member that will answer is unknown: one member with recording is enough.
            DestinationKind::RingGroup => plan.ring_groups.get(&target.name).is_some_and(|group| {
                group.members.iter().filter_map(|m| row(&m.extension)).any(records_inbound)
            }),
            DestinationKind::Queue => plan.queues.get(&target.name).is_some_and(|queue| {
                queue.agents.iter().filter_map(|a| row(&a.extension)).any(records_inbound)
            }),
            _ => false,
        };
    if wanted {
        let why = || format!("the call is recorded: {target} takes recorded calls");
        call.tracer.record(|| Step { resource: call.view.target_key(target), matched: true, why: why() });
    }
    if wanted || by_number { begin(call) } else { of_caller(call) }
}

/// Starts a recording of a call if the caller's outbound calls are recorded.
pub(super) fn of_caller(call: &Call) -> Actions {
    let Caller::Extension(name) = &call.caller else { return Some(Vec::new()) };
    if !call.extension.is_some_and(|row| matches!(row.recording, Recording::Outbound | Recording::Always)) {
        return Some(Vec::new());
    }
    let why = || "the call is recorded: the calls it makes are".to_owned();
    call.tracer.record(|| Step { resource: call.view.key(Kind::Extension, name), matched: true, why: why() });
    begin(call)
}

/// Whether the calls that an extension receives are recorded.
fn records_inbound(row: &ExtensionRow) -> bool {
    matches!(row.recording, Recording::Inbound | Recording::Always)
}

fn begin(call: &Call) -> Actions {
    let tenant = &call.view.plan.tenant;
    // FreeSWITCH names legs by UUIDs; any other name is hashed to one.
    let leg = Uuid::try_parse(&call.leg).unwrap_or_else(|_| Uuid::new_v5(&tenant.id, call.leg.as_bytes()));
    let month = call.now.to_zoned(TimeZone::UTC);
    let file = MediaPath(format!("recordings/{:04}/{:02}/{leg}.wav", month.year(), month.month()));
    let path = Word::new(call.media.file(tenant.id, &file)?)?;
    // Recording handles media, so FreeSWITCH does not pass on the called phone's ringing.
    let mut actions =
        vec![DialplanApp::Set(Variable::Recording(Word::new(file.0)?)), DialplanApp::Set(Variable::Ringback)];
    // An unanswered call leaves no file. A call that returns to the dialplan has already played the tone.
    let tone = tenant.recording_tone && !call.is_recorded;
    if tone && !call.is_answered {
        actions.push(DialplanApp::Set(Variable::ConsentToneOnceAnswered));
    }
    actions.extend([DialplanApp::Set(Variable::RecordOnceAnswered), DialplanApp::RecordSession { path }]);
    if tone && call.is_answered {
        actions.push(DialplanApp::ConsentTone);
    }
    Some(actions)
}
