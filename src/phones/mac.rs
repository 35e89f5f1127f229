//! MAC addresses, as devices and file names write them.

use serde::{Serialize, Serializer};

/// The MAC address of a phone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac([u8; 6]);

impl Mac {
    /// A MAC address of 12 hexadecimal digits in any case, with `:`, `-` or `.` between them; `None` for other text, and for
    /// zeroes, which is the name of a file of all phones.
    pub fn parse(text: &str) -> Option<Self> {
        // 12 digits, and a separator after each pair at most.
        if text.len() > 17 {
            return None;
        }
        let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
        let mut mac = [0; 6];
        hex::decode_to_slice(digits, &mut mac).ok()?;
        (mac != [0; 6]).then_some(Self(mac))
    }

    /// 12 digits in lower case.
    pub fn plain(self) -> String {
        hex::encode(self.0)
    }

    /// 12 digits in upper case.
    pub fn upper(self) -> String {
        hex::encode_upper(self.0)
    }
}

/// As devices write it: in lower case, with colons.
impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_one() {
        for text in ["80:5e:c0:12:34:ab", "805EC01234AB", "80-5E-C0-12-34-AB", "805e.c012.34ab"] {
            let mac = Mac::parse(text).unwrap();
            assert_eq!(mac.to_string(), "80:5e:c0:12:34:ab", "{text}");
            assert_eq!((mac.plain().as_str(), mac.upper().as_str()), ("805ec01234ab", "805EC01234AB"));
        }
        for text in [
            "",
            "805ec01234a",
            "805ec01234abc",
            "805ec01234ag",
            "805ec01234äb",
            "::::::::::::",
            "000000000000",
        ] {
            assert_eq!(Mac::parse(text), None, "{text}");
        }
    }
}
