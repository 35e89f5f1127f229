//! The only types from which application data and dial strings are built.
//!
//! FreeSWITCH expands and splits text (contract §10.3, §10.4). Text from tenants and callers reaches it
//! only as one of these types; none can contain `$`, a quote, a bracket, a backslash, a comma or a line
//! end, and only [`Text`] a space. An illegal value is refused, not repaired; only [`Text`] drops illegal
//! characters.

/// Most bytes of a [`Word`].
const MAX_WORD: usize = 200;
/// Most characters of a [`Text`].
const MAX_TEXT: usize = 64;

/// Flag of a byte that is legal in a [`Word`].
const IN_WORDS: u8 = 1;
/// Flag of a byte that is legal in a [`Text`].
const IN_TEXTS: u8 = 2;

/// Flags of each byte. A table, because every byte of an answer is checked.
static LEGAL: [u8; 256] = legal();

const fn legal() -> [u8; 256] {
    let mut legal = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        let in_words = byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'_' | b'-' | b'@' | b'+' | b'*' | b'#' | b'/');
        let in_texts = byte.is_ascii_alphanumeric()
            || matches!(byte, b' ' | b'!' | b'#' | b'&' | b'*' | b'+' | b'-' | b'.' | b'?' | b'_' | b'~');
        legal[byte as usize] = if in_words { IN_WORDS } else { 0 } | if in_texts { IN_TEXTS } else { 0 };
        byte += 1;
    }
    legal
}

/// Whether every byte of a text has a flag.
fn all_legal(text: &str, legal: u8) -> bool {
    text.bytes().fold(legal, |held, byte| held & LEGAL[usize::from(byte)]) == legal
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
        (fits && all_legal(&text, IN_WORDS)).then_some(Self(text))
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

/// Text for people, such as a caller id name, without illegal characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Drops illegal characters and surrounding spaces, and cuts the text to its maximum length.
    pub fn new(text: &str) -> Self {
        if text.len() <= MAX_TEXT && all_legal(text, IN_TEXTS) {
            return Self(text.trim().to_owned());
        }
        let legal = |c: &char| match u8::try_from(*c) {
            Ok(byte) if byte.is_ascii() => LEGAL[usize::from(byte)] & IN_TEXTS != 0,
            _ => !c.is_control(),
        };
        let kept: String = text.chars().filter(legal).take(MAX_TEXT).collect();
        Self(kept.trim().to_owned())
    }

    /// Whether no legal character was left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
