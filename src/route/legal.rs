//! The one place that decides what is legal in application data and dial strings.
//!
//! FreeSWITCH expands and splits text (contract §10.3, §10.4). What a tenant or a caller wrote
//! reaches it only as one of these types, and none of them can hold `$`, a quote, a bracket, a
//! backslash, a comma, a space or a line end. What cannot be one is refused, never repaired; only
//! text that is shown to people loses the characters it may not have.

/// Longest word.
const MAX_WORD: usize = 200;
/// Longest text for people.
const MAX_TEXT: usize = 64;

/// What an ASCII character may stand in.
const IN_WORDS: u8 = 1;
const IN_TEXTS: u8 = 2;

/// What each byte may stand in: looked up, because every byte of an answer goes by here.
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

/// Whether all of a text is legal there: asked once at its end, for nearly every text is.
fn are(text: &str, legal: u8) -> bool {
    text.bytes().fold(legal, |held, byte| held & LEGAL[usize::from(byte)]) == legal
}

/// One argument of an application, or one part of a dial string: a name, a number, an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(String);

impl Word {
    /// A word, if the text is one: letters, digits and `. _ - @ + * # /`, not starting with a
    /// dash (which would read as an option).
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = (1..=MAX_WORD).contains(&text.len()) && !text.starts_with('-');
        (fits && are(&text, IN_WORDS)).then_some(Self(text))
    }

    /// Words with a comma between, as codec lists are written.
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

impl From<i32> for Word {
    fn from(number: i32) -> Self {
        Self(number.max(0).to_string())
    }
}

/// A number to dial: digits, `*` and `#`, with at most one plus in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialNumber(String);

impl DialNumber {
    /// A number, if the text is one.
    pub fn new(text: &str) -> Option<Self> {
        super::digits::is_sendable(text).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text that is shown to people, such as a caller's name: what may not stand in it is dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// The text without what is not legal in it, cut to its length.
    pub fn new(text: &str) -> Self {
        if text.len() <= MAX_TEXT && are(text, IN_TEXTS) {
            return Self(text.trim().to_owned());
        }
        let legal = |c: &char| match u8::try_from(*c) {
            Ok(byte) if byte.is_ascii() => LEGAL[usize::from(byte)] & IN_TEXTS != 0,
            _ => !c.is_control(),
        };
        let kept: String = text.chars().filter(legal).take(MAX_TEXT).collect();
        Self(kept.trim().to_owned())
    }

    /// Whether anything is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
