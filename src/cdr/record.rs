//! A call record with types: a row of the table `cdrs`, whose columns have these names.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::document::Document;
use super::row::put;
use crate::route::token::Caller;

/// What a record lacks that it cannot be kept without.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has no usable {0}")]
pub struct Incomplete(&'static str);

/// Declares the record: its fields are the columns of a row, in their order.
macro_rules! columns {
    ($($column:ident: $type:ty,)*) => {
        /// One leg of a call. Times are as the switch's clock had them.
        #[derive(Clone, Debug)]
        #[allow(missing_docs)] // the columns' comments say it: migrations/tenant/0002_cdrs.sql
        pub struct Cdr {
            $(pub $column: $type,)*
        }

        impl Cdr {
            /// Names of the columns.
            pub const COLUMNS: &[&str] = &[$(stringify!($column)),*];

            /// Writes the row (see [`super::row`]).
            pub(super) fn write(&self, row: &mut Vec<u8>) {
                $(put(&self.$column, row);)*
            }
        }
    };
}

columns! {
    uuid: Uuid,
    leg: &'static str,
    started_at: Timestamp,
    progress_at: Option<Timestamp>,
    answered_at: Option<Timestamp>,
    bridged_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    received_at: Timestamp,
    clock_skewed: bool,
    switch: Option<String>,
    direction: Option<String>,
    caller_name: Option<String>,
    caller_number: Option<String>,
    callee_name: Option<String>,
    callee_number: Option<String>,
    destination: Option<String>,
    context: Option<String>,
    extension: Option<String>,
    trunk: Option<String>,
    gateway: Option<String>,
    network_address: Option<String>,
    duration_ms: Option<i64>,
    billed_ms: Option<i64>,
    waited_ms: Option<i64>,
    held_ms: Option<i64>,
    hangup_cause: Option<String>,
    hangup_cause_q850: Option<i32>,
    hangup_disposition: Option<String>,
    originate_disposition: Option<String>,
    sip_status: Option<i32>,
    sip_call_id: Option<String>,
    bridged_uuid: Option<Uuid>,
    originating_uuid: Option<Uuid>,
    queue: Option<String>,
    recording: Option<String>,
    mos: Option<f32>,
    quality_percent: Option<f32>,
    jitter_min_variance: Option<f32>,
    jitter_max_variance: Option<f32>,
    packets_in: Option<i64>,
    packets_lost: Option<i64>,
    xml: Option<String>,
}

/// How far behind the time it is received a call may have started, and ahead, before its clock is
/// called wrong.
const BEHIND: SignedDuration = SignedDuration::from_hours(24);
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

impl Cdr {
    /// The record of a document. `caller` is on whose behalf the call ran; `received` is now, or
    /// when FreeSWITCH wrote the file it was left in.
    ///
    /// # Errors
    /// It has no uuid, or did not begin at any time.
    pub fn new(document: &Document<'_>, caller: &Caller, received: Timestamp) -> Result<Self, Incomplete> {
        let text = |name: &str| document.variable(name).map(Cow::into_owned);
        let profile = |name: &str| document.profile(name).map(Cow::into_owned);
        let uuid = |name: &str| document.variable(name).and_then(|text| Uuid::try_parse(&text).ok());
        let started_at = time(document, "start_uepoch", "created_time").ok_or(Incomplete("start"))?;
        let ended_at = time(document, "end_uepoch", "hangup_time");
        let last = ended_at.unwrap_or(started_at);
        // A B leg is one that FreeSWITCH called; for a queue's agent mod_callcenter says for whom.
        let is_b = document.variable("direction").as_deref() == Some("outbound");
        let for_whom = ["originating_leg_uuid", "originator", "cc_member_session_uuid"];
        let extension = match caller {
            _ if is_b => text("dialed_user"),
            Caller::Extension(name) => Some(name.clone()),
            Caller::Outside => None,
        };
        Ok(Self {
            uuid: uuid("uuid").ok_or(Incomplete("uuid"))?,
            leg: if is_b { "b" } else { "a" },
            started_at,
            progress_at: time(document, "progress_uepoch", "progress_time"),
            answered_at: time(document, "answer_uepoch", "answered_time"),
            bridged_at: time(document, "bridge_uepoch", "bridged_time"),
            ended_at,
            received_at: received,
            clock_skewed: last > received + AHEAD || last < received - BEHIND,
            switch: document.switch.clone(),
            direction: text("direction"),
            caller_name: profile("caller_id_name"),
            caller_number: profile("caller_id_number"),
            callee_name: profile("callee_id_name"),
            callee_number: profile("callee_id_number"),
            // A user of the directory is rung as `user%domain`.
            destination: match (document.dialled(), is_b) {
                (Some(rung), true) => rung.split('%').next().map(str::to_owned),
                (dialled, _) => dialled.map(Cow::into_owned),
            },
            context: profile("context"),
            extension,
            trunk: None,
            gateway: text("sip_gateway_name").or_else(|| text("sip_gateway")),
            network_address: profile("network_addr"),
            duration_ms: number(document, "mduration"),
            billed_ms: number(document, "billmsec"),
            waited_ms: number(document, "waitmsec"),
            held_ms: number(document, "hold_accum_ms"),
            hangup_cause: text("hangup_cause"),
            hangup_cause_q850: number(document, "hangup_cause_q850"),
            hangup_disposition: text("sip_hangup_disposition"),
            originate_disposition: text("originate_disposition"),
            sip_status: number(document, "sip_term_status"),
            sip_call_id: text("sip_call_id"),
            bridged_uuid: uuid("bridge_uuid").or_else(|| uuid("last_bridge_to")),
            originating_uuid: for_whom.into_iter().find_map(uuid).filter(|_| is_b),
            queue: text("cc_queue"),
            recording: text("centrex_recording").filter(|path| is_recording(path)),
            mos: figure(document, "rtp_audio_in_mos"),
            quality_percent: figure(document, "rtp_audio_in_quality_percentage"),
            jitter_min_variance: figure(document, "rtp_audio_in_jitter_min_variance"),
            jitter_max_variance: figure(document, "rtp_audio_in_jitter_max_variance"),
            packets_in: number(document, "rtp_audio_in_packet_count"),
            packets_lost: number(document, "rtp_audio_in_skip_packet_count"),
            xml: None,
        })
    }
}

/// A path that our dialplan writes: nothing else may ever be opened for it.
fn is_recording(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    path.starts_with("recordings/") && path.len() <= 200 && path.chars().all(plain) && !path.contains("..")
}

/// A time in µs; 0 is never. One that no calendar of Postgres' has is none.
fn time(document: &Document<'_>, variable: &str, profile: &str) -> Option<Timestamp> {
    let text = document.variable(variable).or_else(|| document.time(profile))?;
    let micros: i64 = text.parse().ok().filter(|micros| *micros > 0)?;
    Timestamp::from_microsecond(micros).ok()
}

fn number<T: std::str::FromStr>(document: &Document<'_>, name: &str) -> Option<T> {
    document.variable(name)?.parse().ok()
}

fn figure(document: &Document<'_>, name: &str) -> Option<f32> {
    number(document, name).filter(|figure: &f32| figure.is_finite())
}
