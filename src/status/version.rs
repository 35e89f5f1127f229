//! What is known of a version of FreeSWITCH.

/// The first release without the holes below (contract §12).
const SOUND: [u32; 3] = [1, 11, 2];

/// The holes of 1.10.12 that 1.11.2 closes, each with what stops it (contract §12.1). All the stops
/// that a configuration can set are set on every switch, for FreeSWITCH asks for most of it before
/// anybody can know its version.
pub const HOLES: &str = "a REFER from a phone in a call runs a shell (stopped: disable-transfer on every SIP profile); \
a long To user and a SUBSCRIBE end the process (stopped: such calls are refused); \
one line to the event socket before login ends the process (stopped where it listens on loopback alone, as deploy/freeswitch has it); \
logins of mod_verto (stopped where it is not loaded, as in deploy/freeswitch); \
memory faults in SDP, RTCP, STUN and DTLS (nothing but an upgrade, or a session border controller, stops them)";

/// Whether a version, as `version short` answers it, has holes that are known; none where it is not
/// a version. What was built before the release, such as `1.11.2-dev`, has them too.
pub fn has_holes(version: &str) -> Option<bool> {
    let (numbers, suffix) = version.split_once('-').unwrap_or((version, ""));
    let mut numbers = numbers.split('.').map(|number| number.parse::<u32>().ok());
    let found = [numbers.next()??, numbers.next()??, numbers.next()??];
    let finished = suffix.is_empty() || suffix.starts_with("release");
    Some(found < SOUND || (found == SOUND && !finished))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_release_has_holes() {
        for old in ["1.10.12-release", "1.10.13-dev", "1.11.1", "1.11.2-dev", "1.11.2-rc1", "0.0.0"] {
            assert_eq!(has_holes(old), Some(true), "{old}");
        }
        for new in ["1.11.2", "1.11.2-release", "1.11.2-release-1-abc", "1.11.3-dev", "1.12.0", "2.0.0"] {
            assert_eq!(has_holes(new), Some(false), "{new}");
        }
        for no in ["", "1", "1.11", "new", "1.x.2", "-", "1.11.2 release", "1..2", "99999999999.1.1"] {
            assert_eq!(has_holes(no), None, "{no}");
        }
    }
}
