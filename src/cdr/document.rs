//! The document of mod_xml_cdr (`switch_ivr.c:switch_ivr_generate_xml_cdr`, contract §7.2), read
//! leniently: names of elements are names of variables, whatever those are, and may repeat.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memchr2};
use percent_encoding::percent_decode;
use quick_xml::escape::unescape;
use quick_xml::events::attributes::Attributes;

use super::fields;
use super::tags::{Kind, Tags};
use crate::util::lossy::lossy;

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

/// Why a body is no call record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum DocumentError {
    #[error("the body is no base64")]
    Base64,
    #[error("the document breaks off")]
    Truncated,
    #[error("the document is no XML: {0}")]
    Xml(String),
    #[error("the document is no call record: its root must be <cdr>, with <variables> in it")]
    NotCdr,
}

/// The parts of a document that anybody asks for, as they stand in it: of hundreds of elements a few
/// dozen are ever decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document<'a> {
    /// Name of the switch, as FreeSWITCH has it.
    pub switch: Option<String>,
    /// Channel variables.
    variables: Values<'a>,
    /// Every value of the signed variable: there must be no two.
    pub tokens: BTreeSet<String>,
    /// The newest caller profile, and its times.
    profile: Values<'a>,
    times: Values<'a>,
    /// Destination of the oldest profile: what was dialled before any transfer.
    dialled: Option<&'a str>,
}

/// Values by the numbers of their names; of repeats the first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Values<'a>([Option<&'a str>; fields::COUNT]);

impl Default for Values<'_> {
    fn default() -> Self {
        Self([None; fields::COUNT])
    }
}

impl<'a> Values<'a> {
    fn take(&mut self, number: usize, value: &'a str) {
        if let Some(held) = self.0.get_mut(number) {
            held.get_or_insert(value);
        }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let number = fields::number(name);
        debug_assert!(number.is_some(), "{name} is asked for, and not known");
        self.0.get(number?).copied().flatten()
    }
}

/// The variable by which our dialplan says whose a call is.
pub const TOKEN: &str = "centrex_call";

impl Encoding {
    /// The encoding that a media type stands for; `None` for one mod_xml_cdr never sends.
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

    /// The encoding that was written down as a number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Xml, Self::Url, Self::Base64, Self::Plain].into_iter().find(|known| *known as u8 == number)
    }

    /// The document in a body. What is not UTF-8 becomes U+FFFD. One that begins with `<` is none that
    /// is URL-encoded: with `disable-100-continue`, mod_xml_cdr 1.11.2 forgets its `Content-Type`, and
    /// libcurl says `application/x-www-form-urlencoded` of a document that is `textxml`.
    ///
    /// # Errors
    /// [`DocumentError::Base64`].
    pub fn document(self, body: &[u8]) -> Result<Cow<'_, str>, DocumentError> {
        let bare = body.strip_prefix(b"cdr=").unwrap_or(body);
        Ok(match self {
            Self::Xml | Self::Plain => lossy(bare),
            Self::Url if bare.trim_ascii_start().starts_with(b"<") => lossy(bare),
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

/// Where in a document an element is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    Elsewhere,
    Variables,
    Callflow,
    Profile,
    Times,
}

impl Position {
    /// Of what is in an element with a name that is here, so many elements down.
    fn inside(self, depth: usize, name: &str) -> Self {
        match (depth, self, name) {
            (2, _, "variables") => Self::Variables,
            (2, _, "callflow") => Self::Callflow,
            (3, Self::Callflow | Self::Profile | Self::Times, "caller_profile") => Self::Profile,
            (3, Self::Callflow | Self::Profile | Self::Times, "times") => Self::Times,
            (3, Self::Callflow | Self::Profile | Self::Times, _) => Self::Callflow,
            (0..=2, ..) => Self::Elsewhere,
            _ => self,
        }
    }

    /// How many elements down its values are.
    fn depth(self) -> usize {
        match self {
            Self::Variables => 3,
            Self::Profile | Self::Times => 4,
            Self::Elsewhere | Self::Callflow => usize::MAX,
        }
    }
}

impl<'a> Document<'a> {
    /// Reads a document.
    ///
    /// # Errors
    /// What makes it none.
    pub fn parse(text: &'a str) -> Result<Self, DocumentError> {
        let text = text.trim_start_matches('\u{feff}');
        let (mut tags, mut document) = (Tags::new(text), Self::default());
        let (mut depth, mut place, mut seen, mut ended) = (0usize, Position::Elsewhere, false, false);
        let (mut name, mut value) = ("", 0);
        while let Some(tag) = tags.next_tag()? {
            if tag.kind != Kind::Ends {
                let begun = tag.name;
                depth += 1;
                if depth == 1 {
                    if ended || begun != "cdr" {
                        return Err(DocumentError::NotCdr);
                    }
                    document.switch = attribute(tag.inner, begun.len(), "switchname");
                }
                place = place.inside(depth, begun);
                seen |= place == Position::Variables;
                if depth == place.depth() {
                    (name, value) = (begun, tag.at.end);
                }
            }
            // Names of ends are not looked at: a variable's may hold a space, which ends the name of its
            // opening tag.
            if tag.kind != Kind::Begins {
                if depth == place.depth() {
                    document.take(place, name, text.get(value..tag.at.start).unwrap_or_default());
                }
                depth = depth.checked_sub(1).ok_or_else(unbegun)?;
                ended |= depth == 0;
            }
        }
        match depth {
            0 if seen => Ok(document),
            0 => Err(DocumentError::NotCdr),
            _ => Err(DocumentError::Truncated),
        }
    }

    /// A variable that is there and says something.
    pub fn variable(&self, name: &str) -> Option<Cow<'a, str>> {
        self.variables.get(name).map(variable).filter(|value| !value.is_empty())
    }

    /// A field of the newest caller profile that is there and says something.
    pub fn profile(&self, name: &str) -> Option<Cow<'a, str>> {
        self.profile.get(name).map(plain).filter(|value| !value.is_empty())
    }

    /// A time of the newest caller profile that is there and says something.
    pub fn time(&self, name: &str) -> Option<Cow<'a, str>> {
        self.times.get(name).map(plain).filter(|value| !value.is_empty())
    }

    /// What was dialled before any transfer.
    pub fn dialled(&self) -> Option<Cow<'a, str>> {
        self.dialled.map(plain)
    }

    /// Takes in what an element said that has ended.
    fn take(&mut self, place: Position, name: &str, value: &'a str) {
        let Some(number) = fields::number(name) else { return };
        match place {
            Position::Variables => {
                if name == TOKEN {
                    self.tokens.insert(variable(value).into_owned());
                }
                self.variables.take(number, value);
            }
            Position::Profile => {
                if name == "destination_number" {
                    self.dialled = Some(value);
                }
                self.profile.take(number, value);
            }
            Position::Times => self.times.take(number, value),
            Position::Elsewhere | Position::Callflow => {}
        }
    }
}

/// A variable's text: URL-encoded, then escaped.
fn variable(text: &str) -> Cow<'_, str> {
    if memchr2(b'%', b'&', text.as_bytes()).is_none() {
        return clean(Cow::Borrowed(text));
    }
    clean(Cow::Owned(percent_decode(escaped(text).as_bytes()).decode_utf8_lossy().into_owned()))
}

/// The text of everything else: only escaped.
fn plain(text: &str) -> Cow<'_, str> {
    clean(escaped(text))
}

fn escaped(text: &str) -> Cow<'_, str> {
    unescape(text).unwrap_or(Cow::Borrowed(text))
}

/// Postgres keeps no NUL in a text.
fn clean(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) if memchr(0, text.as_bytes()).is_none() => Cow::Borrowed(text.trim()),
        text => Cow::Owned(text.trim().replace('\0', "")),
    }
}

/// An attribute of a tag whose name has so many bytes.
fn attribute(tag: &str, name_length: usize, name: &str) -> Option<String> {
    let attribute =
        Attributes::new(tag, name_length).flatten().find(|attribute| attribute.key.as_ref() == name)?;
    Some(unescape(&attribute.value).ok()?.into_owned())
}

fn unbegun() -> DocumentError {
    DocumentError::Xml("an element ends that never began".to_owned())
}
