//! The formats of phones' files, and the escape of each. Every value of a file passes through the escape of its
//! format, which fails rather than writes what it cannot escape: a rendering fails as a whole then.

use std::io::{Error, ErrorKind, Result, Write};

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `key = value`, one a line: Yealink. It has no escape.
    Line,
    /// XML, in UTF-8: a value can be in an attribute or in text.
    Xml,
    /// XML in ASCII, as Cisco's firmware wants it: other characters are numbers.
    AsciiXml,
    /// `key=value` in sections: MicroSIP. It has no escape.
    Ini,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Line, Self::Xml, Self::AsciiXml, Self::Ini];

    /// The escape of its values.
    pub fn escape(self) -> fn(&str, &mut dyn Write) -> Result<()> {
        match self {
            Self::Line => line,
            Self::Xml => xml,
            Self::AsciiXml => ascii_xml,
            Self::Ini => ini,
        }
    }

    /// The type of its content, as HTTP names it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Line | Self::Ini => "text/plain; charset=utf-8",
            Self::Xml | Self::AsciiXml => "application/xml",
        }
    }
}

/// The error of a value that a format cannot have. It does not show the value, which may be a password.
fn refused(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

/// Whether a character ends lines, or is in no XML document.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
}

/// Writes a value of a line. A phone removes blanks at its ends, and reads `%NULL%` as no value.
///
/// # Errors
/// The value has control characters or blanks at its ends, or is one of the words with a meaning.
pub fn line(value: &str, out: &mut dyn Write) -> Result<()> {
    if value.chars().any(is_control) {
        return Err(refused("a value has a control character, which a line cannot have"));
    }
    if value.trim() != value {
        return Err(refused("a value begins or ends with a blank, which the phone would remove"));
    }
    if matches!(value.to_ascii_uppercase().as_str(), "%NULL%" | "%EMPTY%") {
        return Err(refused("a value is a word that the phone reads as no value"));
    }
    out.write_all(value.as_bytes())
}

/// Writes a value of XML, in an attribute or in text.
///
/// # Errors
/// The value has characters that XML cannot have, or that end lines.
pub fn xml(value: &str, out: &mut dyn Write) -> Result<()> {
    escaped(value, out, |c, escaped| escaped.push(c))
}

/// The same, with characters outside ASCII as numbers.
///
/// # Errors
/// As [`xml`].
pub fn ascii_xml(value: &str, out: &mut dyn Write) -> Result<()> {
    escaped(value, out, |c, escaped| match c.is_ascii() {
        true => escaped.push(c),
        false => escaped.push_str(&format!("&#{};", u32::from(c))),
    })
}

fn escaped(value: &str, out: &mut dyn Write, other: fn(char, &mut String)) -> Result<()> {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if is_control(c) => {
                return Err(refused("a value has a control character, which XML cannot have"));
            }
            c => other(c, &mut escaped),
        }
    }
    out.write_all(escaped.as_bytes())
}

/// Writes a value of an ini file. Windows removes blanks at its ends and quotes around it
/// (`GetPrivateProfileString`).
///
/// # Errors
/// The value has control characters, blanks at its ends, or begins with a quote.
pub fn ini(value: &str, out: &mut dyn Write) -> Result<()> {
    if value.chars().any(is_control) {
        return Err(refused("a value has a control character, which an ini file cannot have"));
    }
    if value.trim() != value || value.starts_with(['"', '\'']) {
        return Err(refused(
            "a value begins or ends with a blank, or begins with a quote, which Windows would remove",
        ));
    }
    out.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(format: Format, value: &str) -> Option<String> {
        let mut out = Vec::new();
        format.escape()(value, &mut out).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn control_characters_are_refused_by_every_format() {
        for format in Format::ALL {
            for c in ['\n', '\r', '\t', '\0', '\u{b}', '\u{7f}', '\u{85}', '\u{2028}', '\u{2029}', '\u{ffff}']
            {
                assert_eq!(escaped(format, &format!("a{c}b")), None, "{format:?} {c:?}");
            }
            assert_eq!(escaped(format, "").as_deref(), Some(""));
        }
    }

    #[test]
    fn words_with_a_meaning_are_no_values() {
        for value in ["%NULL%", "%null%", "%EMPTY%", " a", "a "] {
            assert_eq!(escaped(Format::Line, value), None, "{value}");
        }
        for value in ["\"a\"", "'a", " a", "a "] {
            assert_eq!(escaped(Format::Ini, value), None, "{value}");
        }
    }

    #[test]
    fn markup_is_escaped_and_cisco_reads_ascii() {
        let value = "<a b=\"c\" d='e'>& Müller";
        let markup = "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp; M";
        assert_eq!(escaped(Format::Xml, value), Some(format!("{markup}üller")));
        assert_eq!(escaped(Format::AsciiXml, value), Some(format!("{markup}&#252;ller")));
        assert_eq!(escaped(Format::Line, value).as_deref(), Some(value));
    }

    proptest! {
        #[test]
        fn every_value_is_read_back_or_refused(value in any::<String>()) {
            for format in [Format::Xml, Format::AsciiXml] {
                if let Some(out) = escaped(format, &value) {
                    prop_assert!(!out.contains(['<', '>', '"', '\'', '\n', '\r', '\t']));
                    let read = quick_xml::escape::unescape(&out).unwrap();
                    prop_assert_eq!(read.as_ref(), value.as_str());
                }
            }
            for format in [Format::Line, Format::Ini] {
                if let Some(out) = escaped(format, &value) {
                    prop_assert_eq!(out.lines().count(), usize::from(!out.is_empty()));
                    prop_assert_eq!(out.trim(), value.as_str());
                }
            }
        }
    }
}
