//! Which calls are recorded, and how a recording begins.
//!
//! A recording belongs to the leg that called, is begun once, and lasts as long as that leg,
//! transfers included. Emergency calls, feature codes and voicemail boxes are never recorded.

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

/// What begins a recording of a call to a destination, if one is wanted: by whoever calls, by
/// whoever is called, or by the public number it came in by.
pub(super) fn of_target(call: &Call, target: &Target, by_number: bool) -> Actions {
    let plan = &call.view.plan;
    let row = |name: &String| plan.extensions.get(name);
    let wanted = match target.kind {
        DestinationKind::Voicemail => return Some(Vec::new()),
        DestinationKind::Extension => row(&target.name).is_some_and(takes),
        // Who will answer is not known yet: one who is to be recorded is enough.
        DestinationKind::RingGroup => plan
            .ring_groups
            .get(&target.name)
            .is_some_and(|group| group.members.iter().filter_map(|m| row(&m.extension)).any(takes)),
        DestinationKind::Queue => plan
            .queues
            .get(&target.name)
            .is_some_and(|queue| queue.agents.iter().filter_map(|a| row(&a.extension)).any(takes)),
        _ => false,
    };
    if wanted {
        let why = || format!("the call is recorded: {target} takes recorded calls");
        call.listener.hears(|| Step { resource: call.view.target_key(target), matched: true, why: why() });
    }
    if wanted || by_number { begin(call) } else { of_caller(call) }
}

/// What begins a recording of a call that leaves, if whoever makes it is recorded.
pub(super) fn of_caller(call: &Call) -> Actions {
    let Caller::Extension(name) = &call.caller else { return Some(Vec::new()) };
    if !call.extension.is_some_and(|row| matches!(row.recording, Recording::Outbound | Recording::Always)) {
        return Some(Vec::new());
    }
    let why = || "the call is recorded: the calls it makes are".to_owned();
    call.listener.hears(|| Step {
        resource: call.view.key(Kind::Extension, name),
        matched: true,
        why: why(),
    });
    begin(call)
}

fn takes(row: &ExtensionRow) -> bool {
    matches!(row.recording, Recording::Inbound | Recording::Always)
}

fn begin(call: &Call) -> Actions {
    let tenant = &call.view.plan.tenant;
    // FreeSWITCH names legs by UUIDs; what is none still gets a file of its own, with a name of ours.
    let leg = Uuid::try_parse(&call.leg).unwrap_or_else(|_| Uuid::new_v5(&tenant.id, call.leg.as_bytes()));
    let month = call.now.to_zoned(TimeZone::UTC);
    let file = MediaPath(format!("recordings/{:04}/{:02}/{leg}.wav", month.year(), month.month()));
    let path = Word::new(call.media.file(tenant.id, &file)?)?;
    // It takes media, so that FreeSWITCH does not pass on that the called phone rings.
    let mut actions =
        vec![DialplanApp::Set(Variable::Recording(Word::new(file.0)?)), DialplanApp::Set(Variable::Ringback)];
    // What nobody answers leaves no file. A call that comes back to the dialplan has heard the tone.
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
