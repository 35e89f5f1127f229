//! Dialplan applications, typed: the only way to a `<action application="" data=""/>`.

use super::dial_string::DialString;
use super::legal::{DialNumber, Text, Word};
use super::names::VOICEMAIL_PROFILE;

/// An action of a dialplan answer. Its data holds nothing that FreeSWITCH would expand.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Action {
    /// Application.
    pub application: &'static str,
    /// Its data.
    pub data: String,
}

/// Channel variables that answers set; no other names are ever written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// Seconds the called phones ring.
    CallTimeout(i32),
    /// Whether the dialplan goes on after a bridge that failed.
    ContinueOnFail(Continue),
    /// The name called parties are shown.
    EffectiveCallerIdName(Text),
    /// The number called parties are shown.
    EffectiveCallerIdNumber(DialNumber),
    /// Whether the call ends with its bridge.
    HangupAfterBridge,
    /// What a caller hears while a call that was answered before rings elsewhere.
    TransferRingback,
    /// Hold music: a local stream by name.
    HoldMusic(Word),
    /// Time zone of time announcements.
    TimeZone(Word),
}

/// After which failures the dialplan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continue {
    /// After none: the call ends with the cause of the failure.
    Never,
    /// After all.
    Always,
    /// After those that say that the carrier, not the called party, is the reason.
    CarrierFailure,
}

/// Failures by which a gateway shows that another should be tried: ITU-T Q.850 causes and
/// FreeSWITCH's own (switch_types.h). `CALL_REJECTED` is not among them: it is also a called party who
/// declines, and must not ring again.
const CARRIER_FAILURES: &str = "NORMAL_TEMPORARY_FAILURE,NETWORK_OUT_OF_ORDER,NO_ROUTE_DESTINATION,\
    NO_ROUTE_TRANSIT_NET,NORMAL_CIRCUIT_CONGESTION,SWITCH_CONGESTION,REQUESTED_CHAN_UNAVAIL,\
    RECOVERY_ON_TIMER_EXPIRE,PROGRESS_TIMEOUT,GATEWAY_DOWN,INVALID_GATEWAY,INVALID_PROFILE,\
    SERVICE_UNAVAILABLE,BEARERCAPABILITY_NOTAVAIL,DESTINATION_OUT_OF_ORDER,INCOMPATIBLE_DESTINATION,\
    SERVICE_NOT_IMPLEMENTED,NETWORK_CONGESTION,INTERWORKING";

/// Why a call ends (switch_types.h; the SIP answer is FreeSWITCH's mapping).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Cause {
    /// 404: nobody has the number.
    UnallocatedNumber,
    /// 403: the caller may not dial it.
    OutgoingCallBarred,
    /// 603: it is refused.
    CallRejected,
    /// 486: busy.
    UserBusy,
    /// 480: nobody answered.
    NoAnswer,
    /// 480: no phone is registered.
    UserNotRegistered,
    /// 503: something is broken for now.
    NormalTemporaryFailure,
    /// The call is over.
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
pub enum App {
    Answer,
    Bridge(DialString),
    /// A bridge that counts against a limit; over it, the next action runs.
    LimitedBridge {
        realm: Word,
        most: i32,
        dial: DialString,
    },
    Callcenter {
        queue: Word,
    },
    Conference {
        room: Word,
    },
    Echo,
    /// Sets a variable on this leg and on the legs it makes.
    ExportCall(Word),
    /// Ends legs that send nothing any more, on this leg and those it makes: a phone that lost its
    /// power says no goodbye, and its call would stay for ever.
    ExportMediaTimeout,
    ExportMediaHoldTimeout,
    Hangup(Cause),
    Ivr {
        menu: Word,
    },
    /// Counts the call against a limit; over it, the call ends.
    Limit {
        realm: Word,
        most: i32,
    },
    /// Ends the call after so many seconds.
    SchedHangup {
        seconds: i32,
    },
    Set(Variable),
    /// Milliseconds of silence, so that the first syllable of what follows is heard.
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

impl App {
    /// The action.
    pub fn action(&self) -> Action {
        let (application, data) = match self {
            Self::Answer => ("answer", String::new()),
            Self::Bridge(dial) => ("bridge", dial.to_string()),
            Self::LimitedBridge { realm, most, dial } => {
                ("limit_execute", format!("hash {realm} calls {most} bridge {dial}"))
            }
            Self::Callcenter { queue } => ("callcenter", queue.to_string()),
            Self::Conference { room } => ("conference", format!("{room}@{room}")),
            Self::Echo => ("echo", String::new()),
            Self::ExportCall(token) => ("export", format!("{CALL_VARIABLE}={token}")),
            Self::ExportMediaTimeout => ("export", format!("media_timeout={MEDIA_TIMEOUT_MS}")),
            Self::ExportMediaHoldTimeout => ("export", format!("media_hold_timeout={MEDIA_HOLD_TIMEOUT_MS}")),
            Self::Hangup(cause) => ("hangup", cause.name().to_owned()),
            Self::Ivr { menu } => ("ivr", menu.to_string()),
            Self::Limit { realm, most } => {
                ("limit", format!("hash {realm} calls {most} !NORMAL_CIRCUIT_CONGESTION"))
            }
            Self::SchedHangup { seconds } => ("sched_hangup", format!("+{seconds} ALLOTTED_TIMEOUT")),
            Self::Set(variable) => ("set", variable.assignment()),
            Self::Sleep { milliseconds } => ("sleep", milliseconds.to_string()),
            Self::Transfer { destination, context } => ("transfer", format!("{destination} XML {context}")),
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
}

/// Milliseconds without media after which a leg ends: while talking, and on hold.
const MEDIA_TIMEOUT_MS: u32 = 120_000;
const MEDIA_HOLD_TIMEOUT_MS: u32 = 1_800_000;

/// The channel variable by which our dialplan knows its own calls again.
pub const CALL_VARIABLE: &str = "centrex_call";

impl Variable {
    fn assignment(&self) -> String {
        match self {
            Self::CallTimeout(seconds) => format!("call_timeout={seconds}"),
            Self::ContinueOnFail(Continue::Never) => "continue_on_fail=false".to_owned(),
            Self::ContinueOnFail(Continue::Always) => "continue_on_fail=true".to_owned(),
            Self::ContinueOnFail(Continue::CarrierFailure) => {
                format!("continue_on_fail={CARRIER_FAILURES}")
            }
            Self::EffectiveCallerIdName(name) => format!("effective_caller_id_name={}", name.as_str()),
            Self::EffectiveCallerIdNumber(number) => {
                format!("effective_caller_id_number={}", number.as_str())
            }
            Self::HangupAfterBridge => "hangup_after_bridge=true".to_owned(),
            Self::TransferRingback => "transfer_ringback=%(1000,4000,425)".to_owned(),
            Self::HoldMusic(stream) => format!("hold_music=local_stream://{stream}"),
            Self::TimeZone(zone) => format!("timezone={zone}"),
        }
    }
}
