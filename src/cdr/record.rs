//! A call record as a row: a value of the Postgres type `public.cdr` (migrations/public/0005_cdr.sql).

use std::borrow::Cow;

use jiff::SignedDuration;
use jiff_sqlx::{Timestamp, ToSqlx};
use uuid::Uuid;

use super::document::Document;
use crate::numbers::is_sendable;
use crate::route::app::CALLED_VARIABLE;
use crate::route::token::Caller;

/// A mandatory field is missing or invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has no valid {0}")]
pub struct Incomplete(&'static str);

/// Which leg of a call a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Leg {
    /// The leg that came in to the switch.
    A,
    /// A leg that the switch originated.
    B,
}

/// One leg of a call. Times are by the switch's clock. The fields are the attributes of the type, in
/// its order: Postgres reads a composite value by position.
#[derive(Clone, Debug, sqlx::Type)]
#[sqlx(type_name = "public.cdr")]
#[allow(missing_docs)] // the columns have comments: migrations/tenant/0002_cdrs.sql
pub struct Cdr {
    pub uuid: Uuid,
    pub leg: Leg,
    pub started_at: Timestamp,
    pub progress_at: Option<Timestamp>,
    pub answered_at: Option<Timestamp>,
    pub bridged_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub received_at: Timestamp,
    pub clock_skewed: bool,
    pub switch: Option<String>,
    pub direction: Option<String>,
    pub caller_name: Option<String>,
    pub caller_number: Option<String>,
    pub callee_name: Option<String>,
    pub callee_number: Option<String>,
    pub destination: Option<String>,
    pub context: Option<String>,
    pub extension: Option<String>,
    pub trunk: Option<String>,
    pub gateway: Option<String>,
    pub network_address: Option<String>,
    pub duration_ms: Option<i64>,
    pub billed_ms: Option<i64>,
    pub waited_ms: Option<i64>,
    pub held_ms: Option<i64>,
    pub hangup_cause: Option<String>,
    pub hangup_cause_q850: Option<i32>,
    pub hangup_disposition: Option<String>,
    pub originate_disposition: Option<String>,
    pub sip_status: Option<i32>,
    pub sip_call_id: Option<String>,
    pub bridged_uuid: Option<Uuid>,
    pub originating_uuid: Option<Uuid>,
    pub queue: Option<String>,
    pub recording: Option<String>,
    pub mos: Option<f32>,
    pub quality_percent: Option<f32>,
    pub jitter_min_variance: Option<f32>,
    pub jitter_max_variance: Option<f32>,
    pub packets_in: Option<i64>,
    pub packets_lost: Option<i64>,
    pub xml: Option<String>,
}

/// How far before and after the record's arrival a call may have ended; beyond that the switch's clock
/// counts as wrong.
const MAX_BEHIND: SignedDuration = SignedDuration::from_hours(24);
const MAX_AHEAD: SignedDuration = SignedDuration::from_mins(5);

impl Cdr {
    /// The record of a document. `caller` is the caller on whose behalf the call ran; `received` is the time
    /// of the post, or of the file that FreeSWITCH left in its `err-log-dir`.
    ///
    /// # Errors
    /// The document has no valid UUID or start time.
    pub fn new(
        document: &Document<'_>,
        caller: &Caller,
        received: jiff::Timestamp,
    ) -> Result<Self, Incomplete> {
        let text = |name: &str| document.variable(name).map(Cow::into_owned);
        let profile = |name: &str| document.profile(name).map(Cow::into_owned);
        let uuid = |name: &str| document.variable(name).and_then(|text| Uuid::try_parse(&text).ok());
        let started_at = time(document, "start_uepoch", "created_time").ok_or(Incomplete("start"))?;
        let ended_at = time(document, "end_uepoch", "hangup_time");
        let last = ended_at.unwrap_or(started_at).to_jiff();
        // FreeSWITCH called a B leg; of a queue's agent, mod_callcenter names the caller's leg.
        let is_b = document.variable("direction").as_deref() == Some("outbound");
        let originators = ["originating_leg_uuid", "originator", "cc_member_session_uuid"];
        let extension = match caller {
            _ if is_b => text("dialed_user"),
            Caller::Extension(name) => Some(name.clone()),
            Caller::Outside => None,
        };
        Ok(Self {
            uuid: uuid("uuid").ok_or(Incomplete("uuid"))?,
            leg: if is_b { Leg::B } else { Leg::A },
            started_at,
            progress_at: time(document, "progress_uepoch", "progress_time"),
            answered_at: time(document, "answer_uepoch", "answered_time"),
            bridged_at: time(document, "bridge_uepoch", "bridged_time"),
            ended_at,
            received_at: received.to_sqlx(),
            clock_skewed: last > received + MAX_AHEAD || last < received - MAX_BEHIND,
            switch: document.switch.clone(),
            direction: text("direction"),
            caller_name: profile("caller_id_name"),
            caller_number: profile("caller_id_number"),
            callee_name: profile("callee_id_name"),
            callee_number: profile("callee_id_number"),
            // FreeSWITCH dials a user of the directory as `user%domain`. The Request-URI of a carrier's call
            // need not have the number.
            destination: match (document.dialled(), is_b) {
                (Some(rung), true) => rung.split('%').next().map(str::to_owned),
                (dialled, _) => text(CALLED_VARIABLE)
                    .filter(|number| is_sendable(number))
                    .or(dialled.map(Cow::into_owned)),
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
            originating_uuid: originators.into_iter().find_map(uuid).filter(|_| is_b),
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

/// Whether a path is one that our dialplan writes. No other path may ever be opened as a recording.
fn is_recording(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    path.starts_with("recordings/") && path.len() <= 200 && path.chars().all(plain) && !path.contains("..")
}

/// A time in µs since 1970; `None` for 0 and for times out of range.
fn time(document: &Document<'_>, variable: &str, profile: &str) -> Option<Timestamp> {
    let text = document.variable(variable).or_else(|| document.time(profile))?;
    let micros: i64 = text.parse().ok().filter(|micros| *micros > 0)?;
    Some(jiff::Timestamp::from_microsecond(micros).ok()?.to_sqlx())
}

fn number<T: std::str::FromStr>(document: &Document<'_>, name: &str) -> Option<T> {
    document.variable(name)?.parse().ok()
}

fn figure(document: &Document<'_>, name: &str) -> Option<f32> {
    number(document, name).filter(|figure: &f32| figure.is_finite())
}
