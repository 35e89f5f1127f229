//! The document of mod_xml_cdr (`switch_ivr.c:switch_ivr_generate_xml_cdr`, contract §7.2), read
//! leniently: names of elements are names of variables, whatever those are, and may repeat.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;
use quick_xml::Reader;
use quick_xml::events::Event;

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

/// The parts of a document that anybody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Name of the switch, as FreeSWITCH has it.
    pub switch: Option<String>,
    /// Channel variables, decoded; of repeats the first.
    variables: HashMap<String, String>,
    /// Every value of the signed variable: there must be no two.
    pub tokens: BTreeSet<String>,
    /// The newest caller profile; of repeats the first.
    profile: HashMap<String, String>,
    /// Destination of the oldest profile: what was dialled before any transfer.
    pub dialled: Option<String>,
}

/// The variable by which our dialplan says whose a call is.
pub const TOKEN: &str = "centrex_call";

impl Encoding {
    /// The encoding that a `Content-Type` stands for; `None` for one mod_xml_cdr never sends.
    pub fn of_content_type(value: &[u8]) -> Option<Self> {
        let essence = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        match essence.to_ascii_lowercase().as_slice() {
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

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// What makes it none.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        // A variable's name may hold a space, which ends the name of its opening tag.
        config.check_end_names = false;
        config.expand_empty_elements = true;
        let mut document = Self::default();
        let (mut path, mut text, mut seen): (Vec<String>, String, bool) = (Vec::new(), String::new(), false);
        let mut ended = false;
        loop {
            match reader.read_event().map_err(|error| broken(&error))? {
                Event::Start(element) => {
                    if path.is_empty() {
                        if ended || element.name().as_ref() != "cdr" {
                            return Err(DocumentError::NotCdr);
                        }
                        document.switch = attribute(&element, "switchname");
                    }
                    text.clear();
                    path.push(element.name().as_ref().to_owned());
                    seen |= is(&path, &["cdr", "variables"]);
                }
                Event::Text(part) => text.push_str(&part),
                Event::CData(part) => text.push_str(&part),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(character)) => text.push(character),
                    _ => text.push_str(predefined(&reference)),
                },
                Event::End(_) => {
                    document.take(&path, &std::mem::take(&mut text));
                    path.pop();
                    ended |= path.is_empty();
                }
                Event::DocType(_) => return Err(DocumentError::Xml("it has a DOCTYPE".to_owned())),
                Event::Eof if path.is_empty() && seen => return Ok(document),
                Event::Eof if path.is_empty() => return Err(DocumentError::NotCdr),
                Event::Eof => return Err(DocumentError::Truncated),
                _ => {}
            }
        }
    }

    /// A variable that is there and says something.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A field of the newest caller profile that is there and says something.
    pub fn profile(&self, name: &str) -> Option<&str> {
        self.profile.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Takes in what an element said that has ended.
    fn take(&mut self, path: &[String], text: &str) {
        let Some((name, parents)) = path.split_last() else { return };
        if is(parents, &["cdr", "variables"]) {
            let value = clean(&percent_decode(text.as_bytes()).decode_utf8_lossy());
            if name == TOKEN {
                self.tokens.insert(value.clone());
            }
            self.variables.entry(name.clone()).or_insert(value);
        } else if is(parents, &["cdr", "callflow", "caller_profile"]) {
            if name == "destination_number" {
                self.dialled = Some(clean(text));
            }
            self.profile.entry(name.clone()).or_insert_with(|| clean(text));
        } else if is(parents, &["cdr", "callflow", "times"]) {
            self.profile.entry(format!("times/{name}")).or_insert_with(|| clean(text));
        }
    }
}

fn is(path: &[String], names: &[&str]) -> bool {
    path.iter().map(String::as_str).eq(names.iter().copied())
}

/// Postgres keeps no NUL in a text.
fn clean(text: &str) -> String {
    text.trim().replace('\0', "")
}

fn predefined(name: &str) -> &'static str {
    match name {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => "",
    }
}

fn attribute(element: &quick_xml::events::BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.attributes().flatten().find(|attribute| attribute.key.as_ref() == name)?;
    Some(quick_xml::escape::unescape(&attribute.value).ok()?.into_owned())
}

fn broken(error: &quick_xml::Error) -> DocumentError {
    match error {
        quick_xml::Error::Syntax(_) => DocumentError::Truncated,
        other => DocumentError::Xml(other.to_string()),
    }
}
