//! The escape that every value in an answer passes through.
//!
//! mod_xml_curl runs an answer through FreeSWITCH's text preprocessor before it parses the XML. The
//! preprocessor replaces `$${name}` regardless of XML escaping and executes `X-PRE-PROCESS` elements,
//! even in CDATA (contract §1.6). It does not see numeric character references; the parser decodes them.

use std::io::{Result, Write};

/// The preprocessor's element without its first letter, in lower case.
const PREPROCESSOR_TAIL: &str = "-pre-process";

/// Writes a value so that an XML 1.0 parser reads the same value back and FreeSWITCH's preprocessor
/// finds nothing in it. Drops the characters that XML or a single line cannot hold (control
/// characters, non-characters).
///
/// # Errors
/// When writing to `out` fails.
pub fn escape(value: &str, out: &mut dyn Write) -> Result<()> {
    let mut rest = value;
    // What needs no escape is written as it is, up to the next character that may.
    while let Some((plain, at)) = rest.find(may_need_escape).and_then(|at| rest.split_at_checked(at)) {
        out.write_all(plain.as_bytes())?;
        let mut chars = at.chars();
        let Some(c) = chars.next() else { break };
        rest = chars.as_str();
        match c {
            '&' => out.write_all(b"&amp;")?,
            '<' => out.write_all(b"&lt;")?,
            '>' => out.write_all(b"&gt;")?,
            '"' => out.write_all(b"&quot;")?,
            '\'' => out.write_all(b"&#39;")?,
            '$' => out.write_all(b"&#36;")?,
            'x' if continues_preprocessor(rest) => out.write_all(b"&#120;")?,
            'X' if continues_preprocessor(rest) => out.write_all(b"&#88;")?,
            'x' => out.write_all(b"x")?,
            'X' => out.write_all(b"X")?,
            _ => {} // dropped
        }
    }
    out.write_all(rest.as_bytes())
}

/// Whether a character is escaped, dropped, or the first of the preprocessor's element.
fn may_need_escape(c: char) -> bool {
    matches!(c, '&' | '<' | '>' | '"' | '\'' | '$' | 'x' | 'X') || is_dropped(c)
}

/// Characters that no answer contains: C0 and C1 controls, tabs and line ends among them, and the
/// non-characters that XML 1.0 excludes.
fn is_dropped(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// Whether the text after an `x` completes the preprocessor's element. Dropped characters inside the
/// word are skipped, because dropping them would join its halves.
fn continues_preprocessor(rest: &str) -> bool {
    let mut rest = rest.chars().filter(|c| !is_dropped(*c));
    PREPROCESSOR_TAIL.chars().all(|letter| rest.next().is_some_and(|c| c.eq_ignore_ascii_case(&letter)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(value: &str) -> String {
        let mut out = Vec::new();
        escape(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn markup_and_expansion_are_escaped() {
        assert_eq!(escaped(r#"<a b="c" d='e'>&"#), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
        assert_eq!(escaped("$${base_dir} ${system(id)}"), "&#36;&#36;{base_dir} &#36;{system(id)}");
    }

    #[test]
    fn control_characters_are_dropped() {
        assert_eq!(escaped("a\r\n\t\0b\u{85}\u{7f}\u{ffff}c"), "abc");
    }

    #[test]
    fn the_preprocessor_finds_no_directive_in_any_spelling() {
        for word in ["x-pre-process", "X-PRE-PROCESS", "x-Pre-proCess", "x-\npre-process"] {
            let out = escaped(&format!("<{word} cmd=\"exec\" data=\"id\"/>"));
            assert!(!out.to_lowercase().contains("x-pre-process"), "{out}");
            assert!(out.to_lowercase().contains("re-process"), "the value itself is kept: {out}");
        }
    }

    proptest! {
        #[test]
        fn every_value_survives_escaping_except_control_characters(value in any::<String>()) {
            let out = escaped(&value);
            prop_assert!(!out.contains(['$', '<', '>', '"', '\'', '\n', '\r', '\t', '\0']));
            prop_assert!(!out.to_lowercase().contains("x-pre-process"));
            let kept: String = value.chars().filter(|c| !is_dropped(*c)).collect();
            prop_assert_eq!(quick_xml::escape::unescape(&out).unwrap(), kept);
        }
    }
}
