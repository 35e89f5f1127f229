//! The names that are asked for anywhere: of the hundreds of elements of a document a few dozen.

use super::document::TOKEN;
use crate::util::lookup::Names;

/// All of them: of variables, of fields of a caller profile, and of its times.
const NAMES: [&str; 46] = [
    TOKEN,
    "answer_uepoch",
    "answered_time",
    "billmsec",
    "bridge_uepoch",
    "bridge_uuid",
    "bridged_time",
    "callee_id_name",
    "callee_id_number",
    "caller_id_name",
    "caller_id_number",
    "cc_member_session_uuid",
    "cc_queue",
    "centrex_recording",
    "context",
    "created_time",
    "destination_number",
    "dialed_user",
    "direction",
    "end_uepoch",
    "hangup_cause",
    "hangup_cause_q850",
    "hangup_time",
    "hold_accum_ms",
    "last_bridge_to",
    "mduration",
    "network_addr",
    "originate_disposition",
    "originating_leg_uuid",
    "originator",
    "progress_time",
    "progress_uepoch",
    "rtp_audio_in_jitter_max_variance",
    "rtp_audio_in_jitter_min_variance",
    "rtp_audio_in_mos",
    "rtp_audio_in_packet_count",
    "rtp_audio_in_quality_percentage",
    "rtp_audio_in_skip_packet_count",
    "sip_call_id",
    "sip_gateway",
    "sip_gateway_name",
    "sip_hangup_disposition",
    "sip_term_status",
    "start_uepoch",
    "uuid",
    "waitmsec",
];

/// Number of names.
pub const COUNT: usize = NAMES.len();

static TABLE: Names<COUNT> = Names::new(NAMES);

/// A name's number; none for one that nobody asks for.
pub fn number(name: &str) -> Option<usize> {
    TABLE.number(name.as_bytes())
}
