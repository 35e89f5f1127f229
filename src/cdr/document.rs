//! The document of mod_xml_cdr (`switch_ivr.c:switch_ivr_generate_xml_cdr`, contract §7.2), read
//! leniently: names of elements are names of variables, whatever those are, and may repeat.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;
use quick_xml::Reader;
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

/// The parts of a document that anybody asks for, as they stand in it: of hundreds of variables a few
/// dozen are ever decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document<'a> {
    /// Name of the switch, as FreeSWITCH has it.
    pub switch: Option<String>,
    /// Channel variables; of repeats the first.
    variables: HashMap<&'a str, &'a str>,
    /// Every value of the signed variable: there must be no two.
    pub tokens: BTreeSet<String>,
    /// The newest caller profile, and its times; of repeats the first.
    profile: HashMap<&'a str, &'a str>,
    times: HashMap<&'a str, &'a str>,
    /// Destination of the oldest profile: what was dialled before any transfer.
    dialled: Option<&'a str>,
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
enum Place {
    Elsewhere,
    Variables,
    Callflow,
    Profile,
    Times,
}

impl Place {
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
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        // A variable's name may hold a space, which ends the name of its opening tag.
        config.check_end_names = false;
        config.expand_empty_elements = true;
        let mut document = Self { variables: HashMap::with_capacity(256), ..Self::default() };
        let (mut depth, mut place, mut seen, mut ended) = (0usize, Place::Elsewhere, false, false);
        let (mut name, mut value) = (0..0, 0);
        loop {
            let before = position(&reader);
            match reader.read_event().map_err(|error| broken(&error))? {
                Event::Start(element) => {
                    let written = element.name().as_ref().len();
                    depth += 1;
                    if depth == 1 {
                        if ended || element.name().as_ref() != "cdr" {
                            return Err(DocumentError::NotCdr);
                        }
                        document.switch = attribute(&element, "switchname");
                    }
                    place = place.inside(depth, element.name().as_ref());
                    seen |= place == Place::Variables;
                    if depth == place.depth() {
                        (name, value) = (before + 1..before + 1 + written, position(&reader));
                    }
                }
                Event::End(_) => {
                    if depth == place.depth() {
                        document.take(place, text.get(name.clone()), text.get(value..before));
                    }
                    depth = depth.saturating_sub(1);
                    ended |= depth == 0;
                }
                Event::DocType(_) => return Err(DocumentError::Xml("it has a DOCTYPE".to_owned())),
                Event::Eof if depth == 0 && seen => return Ok(document),
                Event::Eof if depth == 0 => return Err(DocumentError::NotCdr),
                Event::Eof => return Err(DocumentError::Truncated),
                _ => {}
            }
        }
    }

    /// A variable that is there and says something.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| variable(value)).filter(|value| !value.is_empty())
    }

    /// A field of the newest caller profile that is there and says something.
    pub fn profile(&self, name: &str) -> Option<String> {
        self.profile.get(name).map(|value| plain(value)).filter(|value| !value.is_empty())
    }

    /// A time of the newest caller profile that is there and says something.
    pub fn time(&self, name: &str) -> Option<String> {
        self.times.get(name).map(|value| plain(value)).filter(|value| !value.is_empty())
    }

    /// What was dialled before any transfer.
    pub fn dialled(&self) -> Option<String> {
        self.dialled.map(plain)
    }

    /// Takes in what an element said that has ended.
    fn take(&mut self, place: Place, name: Option<&'a str>, value: Option<&'a str>) {
        let (Some(name), Some(value)) = (name, value) else { return };
        match place {
            Place::Variables => {
                if name == TOKEN {
                    self.tokens.insert(variable(value));
                }
                self.variables.entry(name).or_insert(value);
            }
            Place::Profile => {
                if name == "destination_number" {
                    self.dialled = Some(value);
                }
                self.profile.entry(name).or_insert(value);
            }
            Place::Times => drop(self.times.entry(name).or_insert(value)),
            Place::Elsewhere | Place::Callflow => {}
        }
    }
}

/// Checking first is quicker than looking for what has to be replaced.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// A variable's text: URL-encoded, then escaped.
fn variable(text: &str) -> String {
    clean(&percent_decode(escaped(text).as_bytes()).decode_utf8_lossy())
}

/// The text of everything else: only escaped.
fn plain(text: &str) -> String {
    clean(&escaped(text))
}

fn escaped(text: &str) -> Cow<'_, str> {
    unescape(text).unwrap_or(Cow::Borrowed(text))
}

/// Postgres keeps no NUL in a text.
fn clean(text: &str) -> String {
    text.trim().replace('\0', "")
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.attributes().flatten().find(|attribute| attribute.key.as_ref() == name)?;
    Some(unescape(&attribute.value).ok()?.into_owned())
}

fn broken(error: &quick_xml::Error) -> DocumentError {
    match error {
        quick_xml::Error::Syntax(_) => DocumentError::Truncated,
        other => DocumentError::Xml(other.to_string()),
    }
}
