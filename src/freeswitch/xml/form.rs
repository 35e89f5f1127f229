//! The form mod_xml_curl posts, read without copying it.
//!
//! Five basic fields come first, formatted without URL encoding, so that a phone's realm can put
//! further pairs behind them; the event's fields follow, and a later one replaces an earlier one
//! (contract §1.3). So of the basic fields the first counts, of all others the last.

use std::borrow::Cow;

use memchr::memchr;
use percent_encoding::percent_decode;
use wide::u8x16;

use super::field::Field;
use crate::util::lookup::places;
use crate::util::lossy::lossy;

/// The fields that are asked for anywhere, still encoded. Where FreeSWITCH's own configuration
/// chooses, a dialplan lookup has two hundred pairs, nine of ten of which nobody asks for: they leave no
/// trace here.
#[derive(Debug)]
pub struct Form<'a> {
    values: [Option<&'a [u8]>; Field::ALL.len()],
}

impl<'a> Form<'a> {
    /// Reads a body. Never fails: what is no pair has no name that is ever asked for.
    pub fn parse(body: &'a [u8]) -> Self {
        let mut form = Self { values: [None; Field::ALL.len()] };
        let (mut start, mut equals) = (0, None);
        each_separator(body, |at| match body.get(at) {
            Some(b'=') => equals = equals.or(Some(at)),
            _ => {
                form.take(body, start, equals, at);
                (start, equals) = (at + 1, None);
            }
        });
        form.take(body, start, equals, body.len());
        form
    }

    /// Takes a pair in, whose name ends at the first `=`, or at its end.
    fn take(&mut self, body: &'a [u8], start: usize, equals: Option<usize>, end: usize) {
        let Some(field) = body.get(start..equals.unwrap_or(end)).and_then(Field::by_name) else { return };
        let value = equals.and_then(|equals| body.get(equals + 1..end)).unwrap_or_default();
        if let Some(held) = self.values.get_mut(field as usize)
            && !(field.is_basic() && held.is_some())
        {
            *held = Some(value);
        }
    }

    /// The value of a field: of the first one with that name, as it is, if it is a basic field; of
    /// the last one, decoded, otherwise. A plus sign is a plus sign (FreeSWITCH never writes a space
    /// as one), and bytes that are not UTF-8 become U+FFFD.
    pub fn get(&self, field: Field) -> Option<Cow<'a, str>> {
        let raw = self.raw(field)?;
        if field.is_basic() || memchr(b'%', raw).is_none() {
            return Some(lossy(raw));
        }
        Some(percent_decode(raw).decode_utf8_lossy())
    }

    /// As [`Form::get`], with an absent field as empty text.
    pub fn text(&self, field: Field) -> Cow<'a, str> {
        self.get(field).unwrap_or_default()
    }

    /// Whether there is a field of that name and this value.
    pub fn is(&self, field: Field, value: &str) -> bool {
        self.raw(field).is_some_and(|raw| {
            // What has nothing encoded in it is its text: to make a text of each takes longer.
            (raw == value.as_bytes() && memchr(b'%', raw).is_none())
                || self.get(field).is_some_and(|text| text == value)
        })
    }

    /// Whether a field's value is longer than this many bytes, decoded.
    pub fn is_longer(&self, field: Field, most: usize) -> bool {
        // Nothing gets longer when it is decoded.
        self.raw(field).is_some_and(|raw| raw.len() > most && percent_decode(raw).count() > most)
    }

    /// True when there is a field of that name.
    pub fn has(&self, field: Field) -> bool {
        self.raw(field).is_some()
    }

    fn raw(&self, field: Field) -> Option<&'a [u8]> {
        self.values.get(field as usize).copied().flatten()
    }
}

/// Tells where `&` and `=` stand. There is one every eighteen bytes: whether any of 64 bytes is one
/// is found together, and no search is begun anew after each.
fn each_separator(body: &[u8], mut tell: impl FnMut(usize)) {
    let (blocks, rest) = body.as_chunks::<64>();
    for (index, block) in blocks.iter().enumerate() {
        let mut found =
            places(block, |part| part.simd_eq(u8x16::splat(b'&')) | part.simd_eq(u8x16::splat(b'=')));
        while found != 0 {
            tell(index * 64 + found.trailing_zeros() as usize);
            found &= found - 1;
        }
    }
    let in_rest = rest.iter().enumerate().filter(|(_, byte)| matches!(byte, b'&' | b'='));
    in_rest.for_each(|(at, _)| tell(blocks.len() * 64 + at));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_of_the_basic_fields_last_of_all_others() {
        let body = b"section=directory&key_value=x.test&section=dialplan&user=200&key_value=t.test&user=100";
        let form = Form::parse(body);
        assert_eq!(form.text(Field::Section), "directory");
        assert_eq!(form.text(Field::KeyValue), "x.test");
        assert_eq!(form.text(Field::User), "100");
    }

    #[test]
    fn decodes_percent_signs_only_where_they_were_encoded() {
        let form = Form::parse(b"key_value=a%2db&to=1%2B1+1&key=%zz%&user=&action&=e&to_user=a=b");
        assert_eq!(form.text(Field::KeyValue), "a%2db", "written as it is, so read as it is");
        assert_eq!(form.text(Field::To), "1+1+1");
        assert_eq!(form.text(Field::Key), "%zz%");
        assert_eq!(form.get(Field::User).as_deref(), Some(""));
        assert_eq!(form.get(Field::Action).as_deref(), Some(""));
        assert_eq!(form.get(Field::Domain), None);
        assert_eq!(form.text(Field::ToUser), "a=b");
    }

    #[test]
    fn a_field_is_what_it_decodes_to_and_not_what_is_posted() {
        let form = Form::parse(b"key_value=a%2db&user=1%30%30&to=100&to_user=%2500&to_host=");
        assert!(form.is(Field::KeyValue, "a%2db") && !form.is(Field::KeyValue, "a-b"));
        assert!(form.is(Field::User, "100") && !form.is(Field::User, "1%30%30"));
        assert!(form.is(Field::To, "100") && !form.is(Field::To, "1001") && !form.is(Field::To, ""));
        assert!(form.is(Field::ToUser, "%00") && !form.is(Field::ToUser, "%2500"));
        assert!(form.is(Field::ToHost, "") && !form.is(Field::Domain, ""));
    }

    #[test]
    fn separators_are_found_wherever_they_stand() {
        let body: Vec<u8> = (0..=255).chain(*b"&=&&==").chain((0..=255).rev()).chain(*b"=").collect();
        let expected: Vec<usize> = (0..body.len()).filter(|at| matches!(body[*at], b'&' | b'=')).collect();
        let mut found = Vec::new();
        each_separator(&body, |at| found.push(at));
        assert_eq!(found, expected);
    }

    #[test]
    fn lengths_are_those_of_the_decoded_value() {
        let form = Form::parse(b"user=%31%30%30");
        assert!(form.is_longer(Field::User, 2));
        assert!(!form.is_longer(Field::User, 3));
        assert!(!form.is_longer(Field::To, 0));
    }

    #[test]
    fn borrows_what_needs_no_decoding() {
        let form = Form::parse(b"user=100&to=a%20b");
        assert!(matches!(form.get(Field::User), Some(Cow::Borrowed("100"))));
        assert!(matches!(form.get(Field::To), Some(Cow::Owned(_))));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(Form::parse(b"user=\xff%fe").text(Field::User), "\u{fffd}\u{fffd}");
    }
}
