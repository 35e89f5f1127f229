//! What phones call themselves. It is hostile text: it says which hardware asks, and grants nothing.

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;

use crate::phones::Mac;

/// Most characters that are recorded.
const MAX_LENGTH: usize = 200;

/// The text, at most 200 characters, without control characters; empty when there is none.
pub fn text(headers: &HeaderMap) -> String {
    let bytes = headers.get(USER_AGENT).map(|value| value.as_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes.get(..4 * MAX_LENGTH).unwrap_or(bytes)).into_owned();
    text.chars().take(MAX_LENGTH).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Whether it names a MAC address, and not this one.
pub fn contradicts(text: &str, mac: Mac) -> bool {
    // Sipura's serial numbers look like MAC addresses.
    if text.starts_with("Linksys/") {
        return false;
    }
    let mut named = text
        .split(|c: char| !c.is_ascii_hexdigit() && c != ':')
        .filter_map(|word| named(word.trim_matches(':'), mac));
    let Some(first) = named.next() else { return false };
    first != mac && named.all(|other| other != mac)
}

/// The MAC address that a word is. One of digits alone may be a date or a version, unless its maker is that of `near`.
fn named(word: &str, near: Mac) -> Option<Mac> {
    let with_colons = word.len() == 17 && word.split(':').all(|pair| pair.len() == 2);
    let plain = word.len() == 12 && !word.contains(':');
    let mac = Mac::parse(word).filter(|_| with_colons || plain)?;
    let text = mac.plain();
    let has_letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    (has_letter || text.get(..6) == near.plain().get(..6)).then_some(mac)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mac_address_is_read_as_each_vendor_writes_it() {
        for (text, own) in [
            ("Yealink SIP-T46G 28.72.0.1 00:15:65:4a:a9:37", "0015654aa937"),
            ("Yealink SIP-T56A 58.80.0.25 001565f429a4", "001565f429a4"),
            (
                "FileTransport PolyCCX-CCX_500-UA/9.4.1.0508 (SN:64167f9f4c90) Type/Application",
                "64167f9f4c90",
            ),
            ("Grandstream Model HW GRP2601W SW 1.0.7.32 DevId EC:74:D7:89:1A:76", "ec74d7891a76"),
            (
                "Mozilla/4.0 (compatible; snomD785-SIP 10.1.33.33 2010.12-00004-g9ba52f5 000413922D24 SXM:0 UXM:0)",
                "000413922d24",
            ),
            ("Fanvil X4 2.10.2.6887 0c383e07e16c)", "0c383e07e16c"),
            ("Cisco/SPA508G-7.4.8a (0002FDFF2103)(CBT141400UK)", "0002fdff2103"),
            ("Cisco-CP-8841-3PCC/11.0 (00562b043615)", "00562b043615"),
        ] {
            assert!(!contradicts(text, Mac::parse(own).unwrap()), "{text}");
            assert!(contradicts(text, Mac::parse("80:5e:c0:12:34:ab").unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_no_mac_address_contradicts_nothing() {
        for text in [
            "",
            "Yealink W60B 77.85.0.25",
            "FileTransport PolycomVVX-VVX_450-UA/5.9.1.0615 Type/Application",
            "Linksys/SPA-942-6.1.5(a) (88019FA42805)",
            "Cisco/SPA525G-7.4.7 (CBT141900G7)",
            "Linphone/5.2 202311281530",
            "curl/8.5.0",
        ] {
            assert!(!contradicts(text, Mac::parse("80:5e:c0:12:34:ab").unwrap()), "{text}");
        }
    }

    #[test]
    fn hostile_text_is_bounded() {
        let mut headers = HeaderMap::new();
        let hostile = [b"\t\xff'; DROP TABLE phones; --".as_slice(), &[0xc3; 5000]].concat();
        headers.insert(USER_AGENT, axum::http::HeaderValue::from_bytes(&hostile).unwrap());
        let text = text(&headers);
        assert!(text.chars().count() == MAX_LENGTH && !text.contains('\t'), "{text}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            contradicts(&text, Mac::parse("80:5e:c0:12:34:ab").unwrap());
        }
    }
}
