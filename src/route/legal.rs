//! The only types from which application data and dial strings are built.
//!
//! FreeSWITCH expands and splits text (contract §10.3, §10.4). Text from tenants and callers reaches it
//! only as one of these types; none can contain `$`, a double quote, a bracket, a backslash or a line end, and
//! only [`Text`] a blank, a comma, an apostrophe or a semicolon. An illegal value is refused, not repaired; only
//! [`Text`] replaces or drops illegal characters.

/// Most bytes of a [`Word`].
const MAX_WORD: usize = 200;
/// Most characters of a [`Text`].
const MAX_TEXT: usize = 64;

/// Legal bytes of a [`Word`]. A table, because every byte of an answer is checked.
static IN_WORDS: [bool; 256] = in_words();

const fn in_words() -> [bool; 256] {
    let mut legal = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        legal[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'_' | b'-' | b'@' | b'+' | b'*' | b'#' | b'/');
        byte += 1;
    }
    legal
}

/// One argument of an application, or one part of a dial string: a name, a number, an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(String);

impl Word {
    /// A word of letters, digits and `. _ - @ + * # /`, not starting with a dash, which would read as an
    /// option; else `None`.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = (1..=MAX_WORD).contains(&text.len()) && !text.starts_with('-');
        (fits && text.bytes().all(|byte| IN_WORDS[usize::from(byte)])).then_some(Self(text))
    }

    /// A word that this program contains, which no tenant and no caller wrote: characters are not checked.
    pub(super) fn own(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// Words joined by commas, for codec lists; `None` if a word is illegal or the list is empty.
    pub fn list(words: &[String]) -> Option<Self> {
        let words: Option<Vec<Self>> = words.iter().map(Self::new).collect();
        Some(Self(words?.iter().map(Self::as_str).collect::<Vec<_>>().join(","))).filter(|w| !w.0.is_empty())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<DialNumber> for Word {
    fn from(number: DialNumber) -> Self {
        Self(number.0)
    }
}

impl From<i32> for Word {
    fn from(number: i32) -> Self {
        Self(number.max(0).to_string())
    }
}

/// A number to dial: digits, `*` and `#`, with at most one leading plus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialNumber(String);

impl DialNumber {
    /// A number; `None` if the text is not a number.
    pub fn new(text: &str) -> Option<Self> {
        crate::numbers::is_sendable(text).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text for people, such as a caller id name, as the value of a channel variable. A phone shows it as it was
/// written, but for characters that a display name in SIP or a channel variable cannot have: those are replaced by
/// what reads the same, or left out.
///
/// mod_sofia cuts a name at `/`, `:` and `@` (mod_sofia.c, `sofia_outgoing_channel`: `switch_sanitize_number`),
/// and decodes `%` and two hexadecimal digits when it writes the header (mod_sofia.h, `check_decode`). So these
/// three and `%` are in that code, and `$` and `^`, which start expansions and lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Makes text legal: one blank for any white space, none at the ends, at most 64 characters.
    pub fn new(text: &str) -> Self {
        let mut legal = String::with_capacity(text.len());
        let mut blank = false;
        let mut characters = 0;
        for c in text.chars() {
            if c.is_whitespace() {
                blank = characters > 0;
                continue;
            }
            let Some(c) = replaced(c) else { continue };
            let needed = 1 + usize::from(blank);
            if characters + needed > MAX_TEXT {
                break;
            }
            characters += needed;
            if std::mem::take(&mut blank) {
                legal.push(' ');
            }
            match c {
                '/' => legal.push_str("%2F"),
                ':' => legal.push_str("%3A"),
                '@' => legal.push_str("%40"),
                '%' => legal.push_str("%25"),
                '$' => legal.push_str("%24"),
                '^' => legal.push_str("%5E"),
                other => legal.push(other),
            }
        }
        Self(legal)
    }

    /// Legal text, or a number instead if nothing of the text is legal.
    pub fn or_number(text: &str, number: &DialNumber) -> Self {
        let text = Self::new(text);
        if text.is_empty() { Self(number.0.clone()) } else { text }
    }

    /// Whether no legal character was left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it can be an item of a list: FreeSWITCH removes pairs of apostrophes from lists
    /// (switch_utils.c, `separate_string_char_delim`), and ours are separated by semicolons.
    pub fn fits_lists(&self) -> bool {
        !self.0.contains(['\'', ';'])
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A character, or what reads the same; `None` for a character that is left out.
fn replaced(c: char) -> Option<char> {
    match c {
        // They would end a quoted display name.
        '"' | '`' => Some('\''),
        // A backslash escapes the next character; `|` separates name and number in FreeSWITCH's messages.
        '\\' | '|' => Some('/'),
        '<' | '[' | '{' => Some('('),
        '>' | ']' | '}' => Some(')'),
        other => is_printable(other).then_some(other),
    }
}

/// Whether a character belongs to text for people: none that controls a device or a line, or turns the direction
/// of writing around, which can make one name look like another.
fn is_printable(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    // XML cannot have the latter two.
    let stands_for_none = matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    !(c.is_control() || turns || stands_for_none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_stay_as_they_are_written() {
        for name in [
            "O'Brien",
            "Smith, John",
            "Q&A; Support",
            "Rock 'n' Roll",
            "Désk 🎧",
            "山田 太郎",
            "نور",
            "a=b (c)",
        ] {
            assert_eq!(Text::new(name).as_str(), name);
        }
        for (name, legal) in [
            ("Sales: UK", "Sales%3A UK"),
            ("R&D / Ops", "R&D %2F Ops"),
            ("Accounts @ HQ", "Accounts %40 HQ"),
            ("100 % Bio", "100 %25 Bio"),
            ("A$AP", "A%24AP"),
            ("Pat \"The Cat\" <Smith>", "Pat 'The Cat' (Smith)"),
            ("a\\b|c", "a%2Fb%2Fc"),
            ("  Acme  \u{a0} Ltd \u{202e}", "Acme Ltd"),
            ("${system(id)}", "%24(system(id))"),
            ("%{x}%41", "%25(x)%2541"),
            ("a\nb\0c", "a bc"),
            ("^^;x=1", "%5E%5E;x=1"),
            ("\u{7f}\u{2066} \n", ""),
        ] {
            assert_eq!(Text::new(name).as_str(), legal);
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        let name = "/".repeat(70);
        assert_eq!(Text::new(&name).as_str(), "%2F".repeat(64));
        let name = "ab ".repeat(40);
        assert_eq!(Text::new(&name).as_str().chars().count(), 64);
    }
}
