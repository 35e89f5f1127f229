//! Domain names in one form, so that all spellings of one are the same.

use std::borrow::Cow;

/// Most characters of a domain name (RFC 1035 §2.3.4).
const MAX_LENGTH: usize = 253;

/// The form in which domains are stored and compared: in lower case, without a dot at the end, and as A-labels
/// (`xn--…`, RFC 5890 §2.3.2.1). `None` if the text is no domain name of at least two labels that starts with a
/// letter.
pub fn canonical(text: &str) -> Option<Cow<'_, str>> {
    let text = text.strip_suffix('.').unwrap_or(text);
    // A-labels may be wrong, and only idna knows.
    if is_canonical(text) && !text.contains("xn--") {
        return Some(Cow::Borrowed(text));
    }
    if text.len() > MAX_LENGTH {
        return None;
    }
    let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::STD3).ok()?;
    is_canonical(&ascii).then(|| Cow::Owned(ascii.into_owned()))
}

fn is_canonical(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.first().copied().is_some_and(inner)
            && bytes.last().copied().is_some_and(inner)
            && bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
    };
    text.len() <= MAX_LENGTH
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.contains('.')
        && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_domain_are_one() {
        for (spelling, domain) in [
            ("acme.example.com", Some("acme.example.com")),
            ("Acme.EXAMPLE.com", Some("acme.example.com")),
            ("acme.example.com.", Some("acme.example.com")),
            ("müller.example", Some("xn--mller-kva.example")),
            ("MÜLLER.Example.", Some("xn--mller-kva.example")),
            ("XN--Mller-KVA.example", Some("xn--mller-kva.example")),
            ("例え.テスト", Some("xn--r8jz45g.xn--zckzah")),
            ("localhost", None),
            ("acme..example", None),
            ("acme.example.com..", None),
            ("1.example", None),
            ("-a.example", None),
            ("a_b.example", None),
            ("a b.example", None),
            ("acme.example.com:5060", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(canonical(spelling).as_deref(), domain, "{spelling}");
        }
    }
}
