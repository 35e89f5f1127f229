//! The form that mod_xml_curl posts, read without copying it.
//!
//! The five basic fields come first and are not URL-encoded, so a phone's realm can append further
//! pairs to them. The event's fields follow; a later one replaces an earlier one (contract §1.3).
//! Therefore the first of several values of a basic field counts, and the last of any other field.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};
use percent_encoding::percent_decode;

use super::field::Field;

/// The known fields of a form, still encoded. FreeSWITCH's own configuration decides how many pairs a
/// lookup has (up to two hundred); unknown ones are not kept.
#[derive(Debug)]
pub struct Form<'a> {
    values: [Option<&'a [u8]>; Field::ALL.len()],
}

impl<'a> Form<'a> {
    /// Parses a body. Never fails: text that is not a pair has no known name.
    pub fn parse(body: &'a [u8]) -> Self {
        let mut values = [None; Field::ALL.len()];
        let ends = memchr_iter(b'&', body).chain([body.len()]);
        let mut start = 0;
        for end in ends {
            let pair = body.get(start..end).unwrap_or_default();
            start = end + 1;
            let (name, value) =
                memchr(b'=', pair).and_then(|at| pair.split_at_checked(at)).unwrap_or((pair, b""));
            let value = value.strip_prefix(b"=").unwrap_or_default();
            let Some(field) = Field::by_name(name) else { continue };
            if let Some(slot) = values.get_mut(field as usize)
                && !(field.is_basic() && slot.is_some())
            {
                *slot = Some(value);
            }
        }
        Self { values }
    }

    /// The value of a field. A basic field is not decoded; any other is URL-decoded. A plus sign stays
    /// a plus sign (FreeSWITCH never writes a space as one), and bytes that are not UTF-8 become U+FFFD.
    pub fn get(&self, field: Field) -> Option<Cow<'a, str>> {
        let raw = self.raw(field)?;
        if field.is_basic() {
            Some(String::from_utf8_lossy(raw))
        } else {
            Some(percent_decode(raw).decode_utf8_lossy())
        }
    }

    /// Like [`Form::get`], with empty text for a missing field.
    pub fn text(&self, field: Field) -> Cow<'a, str> {
        self.get(field).unwrap_or_default()
    }

    /// Whether the field is present and has this value.
    pub fn is(&self, field: Field, value: &str) -> bool {
        self.get(field).is_some_and(|text| text == value)
    }

    /// Whether a field's decoded value is longer than `limit` bytes.
    pub fn is_longer(&self, field: Field, limit: usize) -> bool {
        self.raw(field).is_some_and(|raw| raw.len() > limit && percent_decode(raw).count() > limit)
    }

    /// Whether the field is present.
    pub fn has(&self, field: Field) -> bool {
        self.raw(field).is_some()
    }

    fn raw(&self, field: Field) -> Option<&'a [u8]> {
        self.values.get(field as usize).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_basic_field_and_the_last_other_field_count() {
        let body = b"section=directory&key_value=x.test&section=dialplan&user=200&key_value=t.test&user=100";
        let form = Form::parse(body);
        assert_eq!(form.text(Field::Section), "directory");
        assert_eq!(form.text(Field::KeyValue), "x.test");
        assert_eq!(form.text(Field::User), "100");
    }

    #[test]
    fn percent_signs_are_decoded_only_in_encoded_fields() {
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
    fn a_field_has_its_decoded_value() {
        let form = Form::parse(b"key_value=a%2db&user=1%30%30&to=100&to_user=%2500&to_host=");
        assert!(form.is(Field::KeyValue, "a%2db") && !form.is(Field::KeyValue, "a-b"));
        assert!(form.is(Field::User, "100") && !form.is(Field::User, "1%30%30"));
        assert!(form.is(Field::To, "100") && !form.is(Field::To, "1001") && !form.is(Field::To, ""));
        assert!(form.is(Field::ToUser, "%00") && !form.is(Field::ToUser, "%2500"));
        assert!(form.is(Field::ToHost, "") && !form.is(Field::Domain, ""));
    }

    #[test]
    fn lengths_are_those_of_the_decoded_value() {
        let form = Form::parse(b"user=%31%30%30");
        assert!(form.is_longer(Field::User, 2));
        assert!(!form.is_longer(Field::User, 3));
        assert!(!form.is_longer(Field::To, 0));
    }

    #[test]
    fn a_value_without_encoding_is_borrowed() {
        let form = Form::parse(b"user=100&to=a%20b");
        assert!(matches!(form.get(Field::User), Some(Cow::Borrowed("100"))));
        assert!(matches!(form.get(Field::To), Some(Cow::Owned(_))));
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(Form::parse(b"user=\xff%fe").text(Field::User), "\u{fffd}\u{fffd}");
    }
}
