//! The names that are asked for anywhere: of the hundreds of elements of a document a few dozen.

use super::document::TOKEN;

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

/// A name's number; none for one that nobody asks for. What a name costs is the same for every name
/// that a caller may think of.
pub fn number(name: &str) -> Option<usize> {
    let number = usize::from(*SLOTS.get(slot(name.as_bytes()))?);
    (*NAMES.get(number)? == name).then_some(number)
}

const SLOT_COUNT: usize = 256;
const NOBODY: u8 = u8::MAX;

/// Each name's number at the one place where the name can be; that no two share one is checked when
/// this is compiled.
static SLOTS: [u8; SLOT_COUNT] = {
    let mut slots = [NOBODY; SLOT_COUNT];
    let mut next = 0;
    while next < COUNT {
        let slot = slot(NAMES[next].as_bytes());
        assert!(slots[slot] == NOBODY, "two names share a place: choose other factors in slot()");
        slots[slot] = next as u8;
        next += 1;
    }
    slots
};

/// A number that is another one for every name; the factors were found by trying.
const fn slot(name: &[u8]) -> usize {
    let length = name.len();
    let [first, third, second_third] =
        [byte(name, 0), byte(name, (length + 1) / 3), byte(name, length * 2 / 3)];
    let last = byte(name, length.saturating_sub(1));
    (length * 19 + first * 13 + third * 23 + second_third * 18 + last * 21) % SLOT_COUNT
}

const fn byte(name: &[u8], at: usize) -> usize {
    match name.split_at_checked(at) {
        Some((_, [byte, ..])) => *byte as usize,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for (at, name) in NAMES.into_iter().enumerate() {
            assert_eq!(number(name), Some(at));
            assert_eq!(number(&format!("{name}x")), None);
            assert_eq!(number(&name[1..]), None, "{name}");
        }
        assert_eq!((number(""), number("ü")), (None, None));
    }
}
