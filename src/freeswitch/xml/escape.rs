//! The one way text gets into an answer.
//!
//! mod_xml_curl runs an answer through FreeSWITCH's text preprocessor before it is parsed: that
//! replaces `$${name}` whatever the XML escaping, and executes `X-PRE-PROCESS` elements, in CDATA
//! too (contract §1.6). Numeric character references are not seen by it, and decoded by the parser.

use std::io::{Result, Write};

use wide::u8x16;

/// The preprocessor's element, in the small letters it is looked for in.
const PREPROCESSOR: &[u8] = b"x-pre-process";

/// Writes a value so that XML 1.0 parsers read it back as it is, without characters that XML or a
/// line cannot hold (control characters, non-characters), and so that the preprocessor finds
/// nothing in it.
pub fn escape(value: &str, out: &mut dyn Write) -> Result<()> {
    let mut rest = value;
    while let Some(at) = first_special(rest.as_bytes()) {
        let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let mut chars = special.chars();
        let Some(c) = chars.next() else { break };
        let mut same = [0; 4];
        let replacement = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            '$' => "&#36;",
            'x' if starts_preprocessor(special) => "&#120;",
            'X' if starts_preprocessor(special) => "&#88;",
            c if is_dropped(c) => "",
            c => c.encode_utf8(&mut same),
        };
        out.write_all(plain.as_bytes())?;
        out.write_all(replacement.as_bytes())?;
        rest = chars.as_str();
    }
    out.write_all(rest.as_bytes())
}

/// Where the first character begins that may not be written as it is.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<16>();
    for (index, block) in blocks.iter().enumerate() {
        let found = first_special_in(block, index * 16, bytes);
        if found.is_some() {
            return found;
        }
    }
    let mut last = [b' '; 16];
    last.get_mut(..rest.len())?.copy_from_slice(rest);
    first_special_in(&last, bytes.len() - rest.len(), bytes)
}

/// The same in the block that begins at a place.
fn first_special_in(block: &[u8; 16], start: usize, bytes: &[u8]) -> Option<usize> {
    let mut suspects = suspects(block);
    while suspects != 0 {
        let at = start + suspects.trailing_zeros() as usize;
        if is_special(bytes, at) {
            return Some(at);
        }
        suspects &= suspects - 1;
    }
    None
}

/// A bit for each byte that may begin such a character, the first the lowest: few of a text's do.
fn suspects(block: &[u8; 16]) -> u32 {
    let block = u8x16::new(*block);
    let is = |byte: u8| block.simd_eq(u8x16::splat(byte));
    let differs_in = |bit: u8, byte: u8| (block | u8x16::splat(bit)).simd_eq(u8x16::splat(byte));
    let control = block.min(u8x16::splat(0x1f)).simd_eq(block);
    let beyond = block.max(u8x16::splat(0x7f)).simd_eq(block);
    let quotes = is(b'"') | is(b'$') | differs_in(b'&' ^ b'\'', b'\'');
    let brackets = differs_in(b'<' ^ b'>', b'>');
    (control | beyond | quotes | brackets | differs_in(b'x' ^ b'X', b'x')).to_bitmask()
}

/// Whether a suspect is one: an x is only before a `-`, or before what may be dropped.
fn is_special(bytes: &[u8], at: usize) -> bool {
    !matches!(bytes.get(at), Some(b'x' | b'X')) || matches!(bytes.get(at + 1), Some(b'-' | ..0x20 | 0x7f..))
}

/// Characters no answer holds: C0 and C1 controls with tabulator and line ends, and what XML 1.0
/// excludes.
fn is_dropped(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn starts_preprocessor(rest: &str) -> bool {
    // A dropped character inside the word would bring its halves together: they are skipped here.
    let mut rest = rest.chars().filter(|c| !is_dropped(*c));
    PREPROCESSOR
        .iter()
        .all(|letter| rest.next().is_some_and(|c| c.eq_ignore_ascii_case(&char::from(*letter))))
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
    fn the_preprocessor_finds_nothing_however_it_is_written() {
        for word in ["x-pre-process", "X-PRE-PROCESS", "x-Pre-proCess", "x-\npre-process"] {
            let out = escaped(&format!("<{word} cmd=\"exec\" data=\"id\"/>"));
            assert!(!out.to_lowercase().contains("x-pre-process"), "{out}");
            assert!(out.to_lowercase().contains("re-process"), "the value itself is kept: {out}");
        }
    }

    proptest! {
        #[test]
        fn every_value_is_read_back_as_it_is_without_its_control_characters(value in any::<String>()) {
            let out = escaped(&value);
            prop_assert!(!out.contains(['$', '<', '>', '"', '\'', '\n', '\r', '\t', '\0']));
            prop_assert!(!out.to_lowercase().contains("x-pre-process"));
            let kept: String = value.chars().filter(|c| !is_dropped(*c)).collect();
            prop_assert_eq!(quick_xml::escape::unescape(&out).unwrap(), kept);
        }
    }
}
