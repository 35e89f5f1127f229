//! A phone's file from what the phone must know.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::file::{Document, FileName};
use super::secrets::PhoneSecrets;
use super::templates::Templates;
use super::{phonebook, settings, vendor};
use crate::phones::Phone;
use crate::phones::models::Series;
use crate::route::view::TenantView;

/// A file as a phone gets it.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The file.
    pub body: Vec<u8>,
    /// Its type, as HTTP names it.
    pub content_type: &'static str,
}

/// The type only: the body has passwords.
impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes of {}", self.body.len(), self.content_type)
    }
}

/// Why there is no file. No text of an error shows a value.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Phones of this vendor and model get no such file, or this phone does not.
    #[error("this phone gets no such file")]
    NotMade,
    /// Centrex cannot configure the model.
    #[error(
        "phones with Cisco's enterprise firmware cannot be configured; those with multiplatform firmware can"
    )]
    NotSupported,
    /// A password has characters that a file could not have everywhere.
    #[error("the {0} has other characters than letters and digits")]
    Secret(&'static str),
    /// A value cannot be escaped, or a template fails.
    #[error("{0}")]
    Template(Box<tera::Error>),
    /// The file is no XML, by an override or by extra settings.
    #[error("the file would not be usable: {0}")]
    Unusable(String),
}

impl From<tera::Error> for RenderError {
    fn from(error: tera::Error) -> Self {
        Self::Template(Box::new(error))
    }
}

/// Renders a file of a phone. The tenant is asked for its phonebook only.
///
/// # Errors
/// [`RenderError::NotMade`] for a file that the phone does not get; the others say why a file of its own cannot be made.
pub fn render(
    templates: &Templates,
    view: &TenantView,
    phone: &Phone,
    secrets: &PhoneSecrets,
    file: &FileName,
) -> Result<Rendered, RenderError> {
    if !phone.model.series.is_supported() {
        return Err(RenderError::NotSupported);
    }
    if file.mac.is_some_and(|mac| mac != phone.mac) {
        return Err(RenderError::NotMade);
    }
    match file.document(phone.model.series).ok_or(RenderError::NotMade)? {
        Document::Settings => configuration(templates, phone, secrets),
        Document::PolyMaster => {
            let context = vendor::poly::master(phone)?;
            let (body, format) = templates.render("poly/master.xml", &phone.model, &context)?;
            Ok(Rendered { body: body.into_bytes(), content_type: format.content_type() })
        }
        Document::Phonebook(page) => {
            let contacts = if phone.phonebook { phonebook::contacts(view) } else { Vec::new() };
            phonebook::render(templates, phone, &contacts, page)
        }
    }
}

/// Renders the settings of a phone.
///
/// # Errors
/// As [`render`], but [`RenderError::NotMade`].
pub(super) fn configuration(
    templates: &Templates,
    phone: &Phone,
    secrets: &PhoneSecrets,
) -> Result<Rendered, RenderError> {
    if let Some(name) = secrets.illegal() {
        return Err(RenderError::Secret(name));
    }
    let without_lines;
    let phone = match secrets.sip_password {
        Some(_) => phone,
        // A line without a password could not register, and would ask again and again.
        None => {
            without_lines = Phone { lines: vec![None; phone.lines.len()], ..phone.clone() };
            &without_lines
        }
    };
    let series = phone.model.series;
    let extra = settings::allowed(phone);
    let for_template = settings::for_template(series, &extra);
    let (template, context) = vendor::context(phone, secrets, &for_template)?;
    let (body, format) = templates.render(template, &phone.model, &context)?;
    let body = match series {
        Series::Fanvil => {
            settings::into_fanvil(&body, &extra).map_err(|error| RenderError::Unusable(error.to_string()))?
        }
        series => settings::without_overridden(series, body, &extra),
    };
    if !extra.is_empty() && format.content_type() == "application/xml" {
        check_xml(&body).map_err(RenderError::Unusable)?;
    }
    Ok(Rendered { body: body.into_bytes(), content_type: format.content_type() })
}

/// The files that a phone gets, its settings first.
pub fn file_names(phone: &Phone) -> Vec<String> {
    let (mac, upper) = (phone.mac.plain(), phone.mac.upper());
    let mut names = match phone.model.series {
        Series::Yealink | Series::YealinkDect | Series::Fanvil => vec![format!("{mac}.cfg")],
        Series::Poly => {
            vec![format!("cx-{mac}.cfg"), format!("{mac}.cfg"), format!("{mac}-directory.xml")]
        }
        Series::GrandstreamItems | Series::GrandstreamPValues => vec![format!("cfg{mac}.xml")],
        Series::Snom => vec![format!("{upper}.xml")],
        Series::CiscoMpp | Series::CiscoSpa => vec![format!("{mac}.xml")],
        Series::CiscoEnterprise => Vec::new(),
        Series::Linphone => vec!["linphone.xml".to_owned()],
        Series::Acrobits => vec!["acrobits.xml".to_owned()],
        Series::MicroSip => vec!["microsip.ini".to_owned()],
    };
    let book = match phone.model.series {
        Series::GrandstreamItems | Series::GrandstreamPValues => "phonebook.xml".to_owned(),
        _ => format!("{mac}-phonebook.xml"),
    };
    let is_made = FileName::parse(&book).and_then(|file| file.document(phone.model.series)).is_some();
    if phone.phonebook && is_made {
        names.push(book);
    }
    names
}

/// Checks that a document is XML: every element closed, no attribute twice.
///
/// # Errors
/// The reason.
pub(super) fn check_xml(body: &str) -> Result<(), String> {
    let mut reader = Reader::from_str(body);
    let mut depth = 0usize;
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let element = match &event {
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => return Err("an element is not closed".to_owned()),
            Event::Start(element) => {
                depth += 1;
                Some(element)
            }
            Event::Empty(element) => Some(element),
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                None
            }
            _ => None,
        };
        for attribute in element.into_iter().flat_map(|element| element.attributes()) {
            attribute.map_err(|error| error.to_string())?;
        }
    }
}
