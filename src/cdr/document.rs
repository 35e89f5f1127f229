//! The document of mod_xml_cdr (`switch_ivr.c:switch_ivr_generate_xml_cdr`, contract §7.2), parsed
//! leniently: FreeSWITCH writes names of channel variables as names of elements unchecked, so they may
//! repeat, be empty or contain spaces.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;
use quick_xml::Reader;
use quick_xml::errors::IllFormedError;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};

/// How FreeSWITCH wrote a body (`encode` in `xml_cdr.conf`, contract §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// `textxml`: the document itself.
    Xml = 0,
    /// `true`: `cdr=` and the document URL-encoded.
    Url = 1,
    /// `base64`: `cdr=` and base64, which is not made safe for a form.
    Base64 = 2,
    /// `false`: `cdr=` and the document as it is.
    Plain = 3,
}

/// Why a body is not a call record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum DocumentError {
    #[error("the body is not base64")]
    Base64,
    #[error("the document is truncated")]
    Truncated,
    #[error("the document is not XML: {0}")]
    Xml(String),
    #[error("the document is not a call record: its root must be <cdr>, with <variables> in it")]
    NotCdr,
}

/// The parts of a call record that rows are made of. Values are kept as they are in the document and
/// decoded when they are read: of hundreds, a few dozen are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document<'a> {
    /// Name of the switch, as FreeSWITCH has it.
    pub switch: Option<String>,
    /// Channel variables.
    variables: Values<'a>,
    /// Every distinct value of the signed variable. More than one makes the record ambiguous.
    pub tokens: BTreeSet<String>,
    /// The newest caller profile.
    profile: Values<'a>,
    /// The times of the newest caller profile.
    times: Values<'a>,
    /// Destination of the oldest caller profile: the number dialled before any transfer.
    dialled: Option<&'a str>,
}

/// Encoded values by name; the first value of a repeated name.
type Values<'a> = HashMap<&'a str, &'a str>;

/// The variable by which our dialplan names a call's tenant, signed.
pub const TOKEN: &str = "centrex_call";

impl Encoding {
    /// The encoding of a media type; `None` for a type that mod_xml_cdr never sends.
    pub fn of_media_type(media_type: &[u8]) -> Option<Self> {
        match media_type.to_ascii_lowercase().as_slice() {
            b"text/xml" | b"application/xml" => Some(Self::Xml),
            b"application/x-www-form-urlencoded" => Some(Self::Url),
            b"application/x-www-form-base64-encoded" => Some(Self::Base64),
            b"application/x-www-form-plaintext" => Some(Self::Plain),
            _ => None,
        }
    }

    /// The encoding of a file in `err-log-dir`, which is the body without `cdr=` (contract §7.1).
    pub fn of_file(bytes: &[u8]) -> Self {
        match bytes.trim_ascii_start().first() {
            Some(b'%') => Self::Url,
            Some(b'<') | None => Self::Xml,
            Some(_) => Self::Base64,
        }
    }

    /// The encoding of a number in the spool.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Xml, Self::Url, Self::Base64, Self::Plain]
            .into_iter()
            .find(|encoding| *encoding as u8 == number)
    }

    /// Decodes the document in a body. Bytes that are not UTF-8 become U+FFFD. A body that begins with `<`
    /// is not URL-encoded, whatever its media type: with `disable-100-continue`, mod_xml_cdr 1.11.2 omits
    /// the `Content-Type`, and libcurl sends `application/x-www-form-urlencoded` for a `textxml` document.
    ///
    /// # Errors
    /// [`DocumentError::Base64`] for invalid base64.
    pub fn document(self, body: &[u8]) -> Result<Cow<'_, str>, DocumentError> {
        let bare = body.strip_prefix(b"cdr=").unwrap_or(body);
        Ok(match self {
            Self::Xml | Self::Plain => String::from_utf8_lossy(bare),
            Self::Url if bare.trim_ascii_start().starts_with(b"<") => String::from_utf8_lossy(bare),
            Self::Url => percent_decode(bare).decode_utf8_lossy(),
            Self::Base64 => {
                let clean: Vec<u8> =
                    bare.iter().filter(|byte| !byte.is_ascii_whitespace()).copied().collect();
                let bytes = STANDARD.decode(clean).map_err(|_| DocumentError::Base64)?;
                Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
            }
        })
    }
}

/// An element that is open.
#[derive(Clone, Copy)]
struct Element<'a> {
    name: &'a str,
    /// Byte in the document where its content begins.
    content: usize,
}

impl<'a> Document<'a> {
    /// Parses a document.
    ///
    /// # Errors
    /// The text is not XML, has a DOCTYPE, is truncated, or is not a call record.
    pub fn parse(text: &'a str) -> Result<Self, DocumentError> {
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        // A variable's name may contain a space, where the name of its opening tag ends.
        config.check_end_names = false;
        config.allow_dangling_amp = true;
        config.expand_empty_elements = true;
        let mut document = Self::default();
        let (mut open, mut has_root, mut has_variables) = (Vec::<Element<'_>>::new(), false, false);
        loop {
            let start = position(&reader);
            match reader.read_event().map_err(|error| document_error(&error))? {
                Event::Start(tag) => {
                    // `start` is at the `<`.
                    let name = text.get(start + 1..).and_then(|text| text.get(..tag.name().as_ref().len()));
                    let name = name.unwrap_or_default();
                    if open.is_empty() {
                        if has_root || name != "cdr" {
                            return Err(DocumentError::NotCdr);
                        }
                        has_root = true;
                        document.switch = attribute(&tag, "switchname");
                    }
                    has_variables |= open.len() == 1 && name == "variables";
                    open.push(Element { name, content: position(&reader) });
                }
                Event::End(_) => {
                    if let Some(element) = open.last() {
                        document.insert(&open, text.get(element.content..start).unwrap_or_default());
                    }
                    open.pop();
                }
                Event::DocType(_) => return Err(DocumentError::Xml("it has a DOCTYPE".to_owned())),
                Event::Eof if !open.is_empty() => return Err(DocumentError::Truncated),
                Event::Eof if !has_variables => return Err(DocumentError::NotCdr),
                Event::Eof => return Ok(document),
                _ => {}
            }
        }
    }

    /// A variable's value; `None` if missing or empty.
    pub fn variable(&self, name: &str) -> Option<Cow<'a, str>> {
        self.variables.get(name).copied().map(variable).filter(|value| !value.is_empty())
    }

    /// A field of the newest caller profile; `None` if missing or empty.
    pub fn profile(&self, name: &str) -> Option<Cow<'a, str>> {
        self.profile.get(name).copied().map(plain).filter(|value| !value.is_empty())
    }

    /// A time of the newest caller profile; `None` if missing or empty.
    pub fn time(&self, name: &str) -> Option<Cow<'a, str>> {
        self.times.get(name).copied().map(plain).filter(|value| !value.is_empty())
    }

    /// The number that was dialled before any transfer.
    pub fn dialled(&self) -> Option<Cow<'a, str>> {
        self.dialled.map(plain)
    }

    /// Inserts the content of the innermost open element, if its path is that of a value.
    fn insert(&mut self, open: &[Element<'a>], value: &'a str) {
        let [_, section, rest @ ..] = open else { return };
        match (section.name, rest) {
            ("variables", [field]) => {
                if field.name == TOKEN {
                    self.tokens.insert(variable(value).into_owned());
                }
                self.variables.entry(field.name).or_insert(value);
            }
            ("callflow", [part, field]) if part.name == "caller_profile" => {
                if field.name == "destination_number" {
                    self.dialled = Some(value); // the oldest profile is the last
                }
                self.profile.entry(field.name).or_insert(value);
            }
            ("callflow", [part, field]) if part.name == "times" => {
                self.times.entry(field.name).or_insert(value);
            }
            _ => {}
        }
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

fn document_error(error: &quick_xml::Error) -> DocumentError {
    match error {
        quick_xml::Error::Syntax(_) => DocumentError::Truncated,
        quick_xml::Error::IllFormed(IllFormedError::UnmatchedEndTag(_)) => {
            DocumentError::Xml("an end tag has no start tag".to_owned())
        }
        error => DocumentError::Xml(error.to_string()),
    }
}

/// Decodes a variable: FreeSWITCH URL-encodes the value, then escapes it.
fn variable(text: &str) -> Cow<'_, str> {
    let unescaped = unescaped(text);
    if !unescaped.contains('%') {
        return clean(unescaped);
    }
    clean(Cow::Owned(percent_decode(unescaped.as_bytes()).decode_utf8_lossy().into_owned()))
}

/// Decodes a value outside the variables, which is only escaped.
fn plain(text: &str) -> Cow<'_, str> {
    clean(unescaped(text))
}

fn unescaped(text: &str) -> Cow<'_, str> {
    unescape(text).unwrap_or(Cow::Borrowed(text))
}

/// Trims a text and removes NUL, which Postgres refuses in a text.
fn clean(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) if !text.contains('\0') => Cow::Borrowed(text.trim()),
        text => Cow::Owned(text.trim().replace('\0', "")),
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.attributes().flatten().find(|attribute| attribute.key.as_ref() == name)?;
    Some(unescape(&attribute.value).ok()?.into_owned())
}
