//! Typed dialplan applications: the only source of `<action application="" data=""/>`.

use super::dial_string::DialString;
use super::legal::{DialNumber, Text, Word};
use super::names::VOICEMAIL_PROFILE;

/// An action of a dialplan answer. Its data contains nothing that FreeSWITCH expands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Action {
    /// Name of the application.
    pub application: &'static str,
    /// Argument of the application.
    pub data: String,
}

/// Channel variables that answers set. Answers contain no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The caller on whose behalf the call runs, signed.
    Call(Word),
    /// The public number by which a call came in, in E.164 form: for later requests, and for its call record.
    Called(DialNumber),
    /// Seconds the called phones ring.
    CallTimeout(i32),
    /// After which failures of a bridge the dialplan continues.
    ContinueOnFail(ContinueOnFail),
    /// Caller id name that called parties see.
    EffectiveCallerIdName(Text),
    /// Caller id number that called parties see.
    EffectiveCallerIdNumber(DialNumber),
    /// The caller wants no called party to see the number (RFC 3323).
    CallerIdNumberHidden,
    /// Starts the recording when the call is answered, not with the first media.
    RecordOnceAnswered,
    /// Plays the recording tone when the call is answered.
    ConsentToneOnceAnswered,
    /// File of the recording, below the tenant's media directory.
    Recording(Word),
    /// What a caller with early media hears while the called phone rings.
    Ringback,
    /// Marks the legs of an emergency call.
    Emergency,
    /// Variables that the legs of the call inherit: its identity and the media timeouts.
    ExportVars,
    /// The same for an emergency call, with its mark.
    ExportEmergency,
    /// Variables that the legs to a queue's agents inherit: mod_callcenter has a list of its own.
    QueueExportVars,
    /// Ends the call when its bridge ends.
    HangupAfterBridge,
    /// What a caller in an answered call hears while another phone rings.
    TransferRingback,
    /// Hold music: a local stream by name.
    HoldMusic(Word),
    /// Clears the last carrier's SIP answer, which would otherwise replace our own to the caller
    /// (mod_sofia.c, `sofia_on_hangup`).
    NoCarrierAnswer,
    /// Keeps a phone's own headers from the other leg: a carrier may bill by `P-Charge-Info` and trust
    /// `Diversion` (mod_sofia.c would copy them).
    KeepCustomHeaders,
    /// Ends a leg on hold that no longer sends media.
    MediaHoldTimeout,
    /// Ends a leg that no longer sends media: a phone that lost its power sends no BYE, and its call would
    /// never end.
    MediaTimeout,
    /// Whether `#` ends what a caller presses in a menu, as FreeSWITCH has it, or is a key like the others
    /// (switch_ivr_menu.c, `play_and_collect`).
    PoundEndsEntry(bool),
    /// Time zone of time announcements.
    TimeZone(Word),
}

/// Failures of a bridge after which the dialplan continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContinueOnFail {
    /// None: the call ends with the cause of the failure.
    Never,
    /// All.
    Always,
    /// Failures of the carrier, not of the called party.
    CarrierFailure,
}

/// Causes after which the next gateway is tried: ITU-T Q.850 causes and FreeSWITCH's own (switch_types.h).
/// `CALL_REJECTED` is not one of them: a called party who declines must not ring again.
const CARRIER_FAILURES: &str = "NORMAL_TEMPORARY_FAILURE,NETWORK_OUT_OF_ORDER,NO_ROUTE_DESTINATION,\
    NO_ROUTE_TRANSIT_NET,NORMAL_CIRCUIT_CONGESTION,SWITCH_CONGESTION,REQUESTED_CHAN_UNAVAIL,\
    RECOVERY_ON_TIMER_EXPIRE,PROGRESS_TIMEOUT,GATEWAY_DOWN,INVALID_GATEWAY,INVALID_PROFILE,\
    SERVICE_UNAVAILABLE,BEARERCAPABILITY_NOTAVAIL,DESTINATION_OUT_OF_ORDER,INCOMPATIBLE_DESTINATION,\
    SERVICE_NOT_IMPLEMENTED,NETWORK_CONGESTION,INTERWORKING";

/// Why a call ends (switch_types.h; the SIP answer is FreeSWITCH's mapping).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Cause {
    /// 404: the number does not exist.
    UnallocatedNumber,
    /// 403: the caller may not dial it.
    OutgoingCallBarred,
    /// 603: a rule of the platform blocks the call.
    CallRejected,
    /// 486: busy.
    UserBusy,
    /// 480: the phones rang without an answer.
    NoAnswer,
    /// 480: no phone is registered.
    UserNotRegistered,
    /// 503: a temporary failure.
    NormalTemporaryFailure,
    /// The call ended normally.
    NormalClearing,
}

impl Cause {
    /// FreeSWITCH's name of the cause.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnallocatedNumber => "UNALLOCATED_NUMBER",
            Self::OutgoingCallBarred => "OUTGOING_CALL_BARRED",
            Self::CallRejected => "CALL_REJECTED",
            Self::UserBusy => "USER_BUSY",
            Self::NoAnswer => "NO_ANSWER",
            Self::UserNotRegistered => "USER_NOT_REGISTERED",
            Self::NormalTemporaryFailure => "NORMAL_TEMPORARY_FAILURE",
            Self::NormalClearing => "NORMAL_CLEARING",
        }
    }
}

/// An application with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DialplanApp {
    Answer,
    Bridge(DialString),
    /// A bridge that counts against limits: most at one time, most that begin within a second. Over a limit,
    /// the next action runs.
    LimitedBridge {
        realm: Word,
        most: Option<i32>,
        per_second: Option<i32>,
        dial: DialString,
    },
    Callcenter {
        queue: Word,
    },
    Conference {
        room: Word,
    },
    /// A tone that says that the call is recorded.
    ConsentTone,
    Echo,
    Hangup(Cause),
    Ivr {
        menu: Word,
    },
    /// Counts the call against a limit. Over the limit, the call ends.
    Limit {
        realm: Word,
        most: i32,
    },
    /// Counts the call against a limit per 24 hours, which begin with the first call. Over the limit, the
    /// call ends.
    LimitPerDay {
        realm: Word,
        most: i32,
    },
    /// Records the call to a file; a recording to that file that runs already continues.
    RecordSession {
        path: Word,
    },
    /// Ends the call after so many seconds.
    SchedHangup {
        seconds: i32,
    },
    Set(Variable),
    /// Silence, so that the first syllable of the next prompt is heard.
    Sleep {
        milliseconds: i32,
    },
    Transfer {
        destination: Word,
        context: Word,
    },
    ValetPark {
        lot: Word,
        place: Word,
    },
    VoicemailCheck {
        domain: Word,
        id: Word,
        without_pin: bool,
    },
    VoicemailLeave {
        domain: Word,
        id: Word,
    },
}

impl DialplanApp {
    /// Renders the application and its data.
    pub fn action(&self) -> Action {
        let (application, data) = match self {
            Self::Answer => ("answer", String::new()),
            Self::Bridge(dial) => ("bridge", dial.text()),
            Self::LimitedBridge { realm, most, per_second, dial } => {
                let mut applications = Vec::new();
                applications.extend(per_second.map(|most| format!("hash {realm} rate {most}/1")));
                applications.extend(most.map(|most| format!("hash {realm} calls {most}")));
                match applications.is_empty() {
                    true => ("bridge", dial.text()),
                    false => {
                        let limits = applications.join(" limit_execute ");
                        ("limit_execute", format!("{limits} bridge {dial}"))
                    }
                }
            }
            Self::Callcenter { queue } => ("callcenter", queue.to_string()),
            Self::Conference { room } => ("conference", format!("{room}@{room}")),
            Self::ConsentTone => ("playback", CONSENT_TONE.to_owned()),
            Self::Echo => ("echo", String::new()),
            Self::Hangup(cause) => ("hangup", cause.name().to_owned()),
            Self::Ivr { menu } => ("ivr", menu.to_string()),
            Self::Limit { realm, most } => {
                ("limit", format!("hash {realm} calls {most} !NORMAL_CIRCUIT_CONGESTION"))
            }
            Self::LimitPerDay { realm, most } => {
                ("limit", format!("hash {realm} abroad {most}/86400 !OUTGOING_CALL_BARRED"))
            }
            Self::RecordSession { path } => ("record_session", path.to_string()),
            Self::SchedHangup { seconds } => ("sched_hangup", format!("+{seconds} ALLOTTED_TIMEOUT")),
            Self::Set(variable) => return variable.action(),
            Self::Sleep { milliseconds } => ("sleep", milliseconds.to_string()),
            Self::Transfer { destination, context } => {
                ("transfer", [destination.as_str(), " XML ", context.as_str()].concat())
            }
            Self::ValetPark { lot, place } => ("valet_park", format!("{lot} {place}")),
            Self::VoicemailCheck { domain, id, without_pin } => {
                let auth = if *without_pin { "auth " } else { "" };
                ("voicemail", format!("check {auth}{VOICEMAIL_PROFILE} {domain} {id}"))
            }
            Self::VoicemailLeave { domain, id } => {
                ("voicemail", format!("{VOICEMAIL_PROFILE} {domain} {id}"))
            }
        };
        Action { application, data }
    }

    fn variable(&self) -> Option<&Variable> {
        match self {
            Self::Set(variable) => Some(variable),
            _ => None,
        }
    }
}

/// Milliseconds without media after which a leg ends, in a conversation.
const MEDIA_TIMEOUT_MS: &str = "120000";
/// Milliseconds without media after which a leg on hold ends.
const MEDIA_HOLD_TIMEOUT_MS: &str = "1800000";

/// A ringing tone: 425 Hz, one second in five (ITU-T E.180).
const RINGBACK: &str = "%(1000,4000,425)";

/// Half a second of 1400 Hz, the tone of recorders (47 CFR 64.501; ITU-T E.180), and a little silence.
const CONSENT_TONE: &str = "tone_stream://%(500,250,1400)";

/// The channel variable by which the dialplan recognises its own calls.
pub const CALL_VARIABLE: &str = "centrex_call";

/// The channel variable by which the legs of an emergency call are known: a suspension does not end them.
pub const EMERGENCY_VARIABLE: &str = "centrex_emergency";

/// The channel variable with the public number by which a call came in.
pub const CALLED_VARIABLE: &str = "centrex_called";

/// Variables that the legs of a call inherit, in the form of FreeSWITCH's `export_vars`.
const EXPORT_VARS: &str = "centrex_call,media_timeout,media_hold_timeout";

/// The same for emergency calls.
const EXPORT_EMERGENCY: &str = "centrex_call,centrex_emergency,media_timeout,media_hold_timeout";

/// Separates the variables of one `multiset`; no [`Word`], [`DialNumber`] or [`Text`] that fits lists contains it.
const SEPARATOR: char = ';';

/// Renders applications in order. Consecutive variables are set by one `multiset`, each once, to its last
/// value: FreeSWITCH then runs one application instead of ten. A name that would break a list, such as O'Brien, is
/// set by an action of its own.
pub fn actions(apps: &[DialplanApp]) -> Vec<Action> {
    let mut actions = Vec::with_capacity(apps.len());
    for run in apps.chunk_by(|app, next| app.variable().is_some() && next.variable().is_some()) {
        let (listed, alone): (Vec<&Variable>, Vec<&Variable>) =
            last_values(run).into_iter().partition(|variable| variable.fits_lists());
        match listed.as_slice() {
            [] => {}
            [one] => actions.push(one.action()),
            several => actions.push(Action { application: "multiset", data: assignments(several) }),
        }
        actions.extend(alone.into_iter().map(Variable::action));
        actions.extend(run.iter().filter(|app| app.variable().is_none()).map(DialplanApp::action));
    }
    actions
}

/// The variables that a run of applications sets, each once, in the order of their last values.
fn last_values(run: &[DialplanApp]) -> Vec<&Variable> {
    let mut variables = run.iter().filter_map(DialplanApp::variable);
    let mut last = Vec::new();
    while let Some(variable) = variables.next() {
        let same = |later| std::mem::discriminant::<Variable>(later) == std::mem::discriminant(variable);
        if !variables.clone().any(same) {
            last.push(variable);
        }
    }
    last
}

/// Renders `^^;a=1;b=2`, a list that declares its separator.
fn assignments(variables: &[&Variable]) -> String {
    let mut data = String::with_capacity(512);
    data.push_str("^^");
    for variable in variables {
        data.push(SEPARATOR);
        variable.assign(&mut data);
    }
    data
}

impl Variable {
    /// The `set` of this variable.
    fn action(&self) -> Action {
        let mut data = String::new();
        self.assign(&mut data);
        Action { application: "set", data }
    }

    /// Whether its value can be an item of a list.
    fn fits_lists(&self) -> bool {
        match self {
            Self::EffectiveCallerIdName(name) => name.fits_lists(),
            _ => true,
        }
    }

    /// Writes `name=value`.
    fn assign(&self, out: &mut String) {
        let seconds;
        let (name, value) = match self {
            Self::Call(token) => ("centrex_call=", token.as_str()),
            Self::Called(number) => ("centrex_called=", number.as_str()),
            Self::CallTimeout(most) => {
                seconds = Word::from(*most);
                ("call_timeout=", seconds.as_str())
            }
            Self::ConsentToneOnceAnswered => ("execute_on_answer=playback ", CONSENT_TONE),
            Self::ContinueOnFail(ContinueOnFail::Never) => ("continue_on_fail=", "false"),
            Self::ContinueOnFail(ContinueOnFail::Always) => ("continue_on_fail=", "true"),
            Self::ContinueOnFail(ContinueOnFail::CarrierFailure) => ("continue_on_fail=", CARRIER_FAILURES),
            Self::EffectiveCallerIdName(name) => ("effective_caller_id_name=", name.as_str()),
            Self::EffectiveCallerIdNumber(number) => ("effective_caller_id_number=", number.as_str()),
            Self::CallerIdNumberHidden => ("effective_caller_id_number=", "anonymous"),
            Self::Emergency => ("centrex_emergency=", "true"),
            Self::ExportVars => ("export_vars=", EXPORT_VARS),
            Self::ExportEmergency => ("export_vars=", EXPORT_EMERGENCY),
            Self::QueueExportVars => ("cc_export_vars=", EXPORT_VARS),
            Self::HangupAfterBridge => ("hangup_after_bridge=", "true"),
            Self::HoldMusic(stream) => ("hold_music=local_stream://", stream.as_str()),
            Self::KeepCustomHeaders => ("sip_copy_custom_headers=", "false"),
            Self::NoCarrierAnswer => ("last_bridge_proto_specific_hangup_cause=", ""),
            Self::MediaHoldTimeout => ("media_hold_timeout=", MEDIA_HOLD_TIMEOUT_MS),
            Self::MediaTimeout => ("media_timeout=", MEDIA_TIMEOUT_MS),
            Self::PoundEndsEntry(true) => ("ivr_menu_terminator=", "#"),
            // A list of keys that end it, in which no letter is a key of a phone; an empty one means `#`.
            Self::PoundEndsEntry(false) => ("ivr_menu_terminator=", "none"),
            Self::RecordOnceAnswered => ("RECORD_ANSWER_REQ=", "true"),
            Self::Recording(file) => ("centrex_recording=", file.as_str()),
            Self::Ringback => ("ringback=", RINGBACK),
            Self::TimeZone(zone) => ("timezone=", zone.as_str()),
            Self::TransferRingback => ("transfer_ringback=", RINGBACK),
        };
        out.push_str(name);
        out.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_variables_are_set_together_with_their_last_values() {
        let apps = [
            DialplanApp::Set(Variable::ContinueOnFail(ContinueOnFail::Never)),
            DialplanApp::Set(Variable::EffectiveCallerIdName(Text::new("Ann; a=b"))),
            DialplanApp::Set(Variable::ContinueOnFail(ContinueOnFail::Always)),
            DialplanApp::Answer,
            DialplanApp::Set(Variable::CallTimeout(20)),
            DialplanApp::Hangup(Cause::UserBusy),
        ];
        let said: Vec<_> = actions(&apps).into_iter().map(|a| (a.application, a.data)).collect();
        let expected = [
            ("set", "continue_on_fail=true"),
            ("set", "effective_caller_id_name=Ann; a=b"),
            ("answer", ""),
            ("set", "call_timeout=20"),
            ("hangup", "USER_BUSY"),
        ];
        assert_eq!(said, expected.map(|(application, data)| (application, data.to_owned())));
    }

    #[test]
    fn no_text_of_a_tenant_contains_the_separator() {
        let hostile = "a;b=c";
        assert!(Word::new(hostile).is_none());
        assert!(DialNumber::new(hostile).is_none());
        assert!(!Text::new(hostile).fits_lists());
        assert!(Text::new("R&D, UK").fits_lists());
    }

    #[test]
    fn names_that_fit_lists_are_set_with_the_others() {
        let apps = [
            DialplanApp::Set(Variable::EffectiveCallerIdName(Text::new("O'Brien"))),
            DialplanApp::Set(Variable::CallTimeout(20)),
            DialplanApp::Set(Variable::EffectiveCallerIdName(Text::new("Smith, John"))),
        ];
        let said: Vec<_> = actions(&apps).into_iter().map(|a| (a.application, a.data)).collect();
        let expected = [("multiset", "^^;call_timeout=20;effective_caller_id_name=Smith, John")];
        assert_eq!(said, expected.map(|(application, data)| (application, data.to_owned())));
    }
}
