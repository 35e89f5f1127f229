//! Known vulnerabilities of FreeSWITCH versions.

/// The first release without [`VULNERABILITIES`] (contract §12).
const FIRST_FIXED: [u32; 3] = [1, 11, 2];

/// Vulnerabilities of 1.10.12 that 1.11.2 fixes, each with its mitigation (contract §12.1). Every mitigation that a
/// configuration can set is set on every switch: FreeSWITCH requests most of its configuration before its version is
/// known.
pub const VULNERABILITIES: &str = "a REFER from a phone in a call runs a shell (stopped: disable-transfer on every SIP profile); \
a long To user and a SUBSCRIBE end the process (stopped: such calls are refused); \
one line to the event socket before login ends the process (stopped where it listens on loopback alone, as deploy/freeswitch has it); \
logins of mod_verto (stopped where it is not loaded, as in deploy/freeswitch); \
memory faults in SDP, RTCP, STUN and DTLS (nothing but an upgrade, or a session border controller, stops them)";

/// Whether a version, as `version short` prints it, has known vulnerabilities; `None` if the text is no version. A
/// build before the release, such as `1.11.2-dev`, has them too.
pub fn is_vulnerable(version: &str) -> Option<bool> {
    let (numbers, suffix) = version.split_once('-').unwrap_or((version, ""));
    let mut numbers = numbers.split('.').map(|number| number.parse::<u32>().ok());
    let parsed = [numbers.next()??, numbers.next()??, numbers.next()??];
    let finished = suffix.is_empty() || suffix.starts_with("release");
    Some(parsed < FIRST_FIXED || (parsed == FIRST_FIXED && !finished))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_before_the_fixed_release_are_vulnerable() {
        for old in ["1.10.12-release", "1.10.13-dev", "1.11.1", "1.11.2-dev", "1.11.2-rc1", "0.0.0"] {
            assert_eq!(is_vulnerable(old), Some(true), "{old}");
        }
        for new in ["1.11.2", "1.11.2-release", "1.11.2-release-1-abc", "1.11.3-dev", "1.12.0", "2.0.0"] {
            assert_eq!(is_vulnerable(new), Some(false), "{new}");
        }
        for no in ["", "1", "1.11", "new", "1.x.2", "-", "1.11.2 release", "1..2", "99999999999.1.1"] {
            assert_eq!(is_vulnerable(no), None, "{no}");
        }
    }
}
