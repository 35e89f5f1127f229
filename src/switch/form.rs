//! The form mod_xml_curl posts, read without copying it.
//!
//! Five basic fields come first, formatted without URL encoding, so that a phone's realm can put
//! further pairs behind them; the event's fields follow, and a later one replaces an earlier one
//! (contract §1.3). So of the basic fields the first counts, of all others the last.

use std::borrow::Cow;

use memchr::memchr;
use percent_encoding::percent_decode;

/// The fields that FreeSWITCH writes itself, ahead of everything a phone has a hand in.
const BASIC: [&str; 5] = ["hostname", "section", "tag_name", "key_name", "key_value"];

/// Lengths of names that are told apart; longer names count as the longest.
const LENGTHS: usize = 64;

/// A form's pairs, still encoded. A dialplan lookup has two hundred, of which thirty are asked for,
/// so those with names of one length are chained: few others are looked at on the way to one.
#[derive(Debug)]
pub struct Form<'a> {
    pairs: Vec<Pair<'a>>,
    /// The latest pair of each length of name, as [`Pair::before`].
    latest: [usize; LENGTHS],
}

#[derive(Debug)]
struct Pair<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// One more than the place of the pair before this one with a name as long; 0 when there is none.
    before: usize,
}

impl<'a> Form<'a> {
    /// Splits a body into pairs. Never fails: what is no pair has no name that is ever asked for.
    pub fn parse(body: &'a [u8]) -> Self {
        let mut form = Self { pairs: Vec::with_capacity(body.len() / 24), latest: [0; LENGTHS] };
        let mut rest = body;
        while !rest.is_empty() {
            let (pair, tail) = cut(rest, b'&');
            let (name, value) = cut(pair, b'=');
            if let Some(latest) = form.latest.get_mut(length(name)) {
                let before = *latest;
                form.pairs.push(Pair { name, value, before });
                *latest = form.pairs.len();
            }
            rest = tail;
        }
        form
    }

    /// The value of a field: of the first one with that name, as it is, if it is a basic field; of
    /// the last one, decoded, otherwise. A plus sign is a plus sign (FreeSWITCH never writes a space
    /// as one), and bytes that are not UTF-8 become U+FFFD.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.raw(name)?;
        if BASIC.contains(&name) || memchr(b'%', raw).is_none() {
            return Some(String::from_utf8_lossy(raw));
        }
        Some(percent_decode(raw).decode_utf8_lossy())
    }

    /// As [`Form::get`], with an absent field as empty text.
    pub fn text(&self, name: &str) -> Cow<'a, str> {
        self.get(name).unwrap_or_default()
    }

    /// True when there is a field of that name.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    fn raw(&self, name: &str) -> Option<&'a [u8]> {
        let basic = BASIC.contains(&name);
        let name = name.as_bytes();
        let mut found = None;
        let mut at = self.latest.get(length(name)).copied().unwrap_or_default();
        while let Some(pair) = at.checked_sub(1).and_then(|at| self.pairs.get(at)) {
            if pair.name == name {
                found = Some(pair.value);
                if !basic {
                    break;
                }
            }
            at = pair.before;
        }
        found
    }
}

fn length(name: &[u8]) -> usize {
    name.len().min(LENGTHS - 1)
}

/// What stands before and after the first separator; all and nothing without one.
fn cut(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    memchr(separator, text).and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?))).unwrap_or((text, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_of_the_basic_fields_last_of_all_others() {
        let body = b"section=directory&key_value=x.test&section=dialplan&user=200&key_value=t.test&user=100";
        let form = Form::parse(body);
        assert_eq!(form.text("section"), "directory");
        assert_eq!(form.text("key_value"), "x.test");
        assert_eq!(form.text("user"), "100");
    }

    #[test]
    fn decodes_percent_signs_only_where_they_were_encoded() {
        let form = Form::parse(b"key_value=a%2db&a=1%2B1+1&b=%zz%&c=&d&=e");
        assert_eq!(form.text("key_value"), "a%2db", "written as it is, so read as it is");
        assert_eq!(form.text("a"), "1+1+1");
        assert_eq!(form.text("b"), "%zz%");
        assert_eq!(form.get("c").as_deref(), Some(""));
        assert_eq!(form.get("d").as_deref(), Some(""));
        assert_eq!(form.get("e"), None);
    }

    #[test]
    fn borrows_what_needs_no_decoding() {
        let form = Form::parse(b"user=100&name=a%20b");
        assert!(matches!(form.get("user"), Some(Cow::Borrowed("100"))));
        assert!(matches!(form.get("name"), Some(Cow::Owned(_))));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(Form::parse(b"user=\xff%fe").text("user"), "\u{fffd}\u{fffd}");
    }
}
