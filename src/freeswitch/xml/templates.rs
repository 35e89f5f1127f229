//! The templates of answers. They are built in; a file of the same name overrides one.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tera::{Context, Kwargs, State, Tera, TeraResult, Value};

use super::{escape, samples};

/// Includes templates by name.
macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../templates/", $name)))),*]
    };
}

/// Every template by name, which is its path below `templates/`.
const BUILT_IN: [(&str, &str); 18] = built_in![
    "chatplan/final.xml",
    "configuration/acl.xml",
    "configuration/callcenter.xml",
    "configuration/conference.xml",
    "configuration/fifo.xml",
    "configuration/local_stream.xml",
    "configuration/sofia.xml",
    "configuration/sofia_phones.xml",
    "configuration/sofia_trunks.xml",
    "configuration/voicemail.xml",
    "dialplan/extension.xml",
    "directory/auth.xml",
    "directory/call.xml",
    "directory/domain.xml",
    "directory/group.xml",
    "directory/user.xml",
    "directory/voicemail.xml",
    "ivr/menu.xml",
];

/// Filters that would bypass the escape.
const FORBIDDEN_FILTERS: [&str; 4] = ["safe", "escape_html", "escape_xml", "newlines_to_br"];

/// The templates, compiled.
#[derive(Debug)]
pub struct Templates {
    tera: Tera,
}

/// Why templates are refused, or an answer cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The override directory or a file in it cannot be read.
    #[error("template directory: cannot read {path:?}: {source}")]
    Unreadable {
        /// The directory or file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file has the name of no template.
    #[error("template directory: {path:?} overrides no template; there are: {known}")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The names of all templates.
        known: String,
    },
    /// A template does not compile or render. The text names file and line.
    #[error("template: {0}")]
    Invalid(Box<tera::Error>),
    /// A template renders to invalid XML, or to XML that FreeSWITCH's preprocessor would change.
    #[error("template {name}: line {line} of what it renders with sample data is not usable: {why}")]
    NotXml {
        /// The template.
        name: String,
        /// Line of the rendered text, from 1. It is the file's line if no statement before it drops or
        /// repeats lines.
        line: usize,
        /// The reason.
        why: String,
    },
}

impl From<tera::Error> for TemplateError {
    fn from(error: tera::Error) -> Self {
        Self::Invalid(Box::new(error))
    }
}

impl Templates {
    /// The built-in templates.
    ///
    /// # Errors
    /// Never, in a build that passed its tests.
    pub fn built_in() -> Result<Self, TemplateError> {
        Self::new(BUILT_IN.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect())
    }

    /// The built-in templates, overridden by the files of a directory.
    ///
    /// # Errors
    /// A file cannot be read, has the name of no template, does not compile, does not render with sample
    /// data, or does not render to usable XML. The error names the file and, if known, the line.
    pub fn with_overrides(directory: &Path) -> Result<Self, TemplateError> {
        let mut sources: Vec<(String, String)> =
            BUILT_IN.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect();
        for path in files_below(directory)? {
            let relative = path.strip_prefix(directory).unwrap_or(&path);
            let Some(source) = sources.iter_mut().find(|(name, _)| Path::new(name) == relative) else {
                let known = BUILT_IN.map(|(name, _)| name).join(", ");
                return Err(TemplateError::Unknown { path, known });
            };
            source.1 = std::fs::read_to_string(&path)
                .map_err(|source| TemplateError::Unreadable { path: path.clone(), source })?;
        }
        Self::new(sources)
    }

    fn new(sources: Vec<(String, String)>) -> Result<Self, TemplateError> {
        // First as written, so that errors name the right line, then joined to one line (contract §13).
        let written = compile(sources.clone())?;
        let joined = sources.into_iter().map(|(name, source)| (name, in_one_line(&source))).collect();
        let templates = Self { tera: compile(joined)? };
        for (name, context) in samples::all() {
            let as_written = written.render(name, &context)?;
            let document = templates.render(name, &context)?;
            for document in [as_written.as_bytes(), &document] {
                let unusable = |(line, why)| TemplateError::NotXml { name: name.to_owned(), line, why };
                check_document(document).map_err(unusable)?;
            }
        }
        Ok(templates)
    }

    /// Renders a document.
    ///
    /// # Errors
    /// An override fails with data other than the samples.
    pub fn render(&self, name: &'static str, context: &Context) -> Result<Bytes, TemplateError> {
        let mut out = Vec::with_capacity(1024);
        self.tera.render_to(name, context, &mut out)?;
        Ok(Bytes::from(out))
    }
}

fn compile(sources: Vec<(String, String)>) -> Result<Tera, TemplateError> {
    let mut tera = Tera::new();
    tera.autoescape_on([".xml"]);
    tera.set_escape_fn(escape::escape);
    for filter in FORBIDDEN_FILTERS {
        let message = format!("the filter {filter} is not allowed: every value is escaped");
        tera.register_filter(filter, move |_: &Value, _: Kwargs, _: &State| -> TeraResult<Value> {
            Err(tera::Error::message(message.clone()))
        });
    }
    tera.add_raw_templates(sources)?;
    Ok(tera)
}

/// Joins the lines of a template. A line end between attributes becomes a space.
fn in_one_line(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    for line in source.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let parts = !(out.is_empty() || out.ends_with(['>', '}']) || line.starts_with(['<', '{']));
        if parts {
            out.push(' ');
        }
        out.push_str(line);
    }
    out
}

/// What FreeSWITCH's preprocessor searches for in each line, even inside attributes and CDATA
/// (switch_xml.c, preprocess). It drops lines that contain one of the first three; our documents are one
/// line.
const PREPROCESSED: [(&str, &str); 6] = [
    ("<?", "XML declarations and processing instructions are not allowed"),
    ("<include>", "<include> is not allowed"),
    ("</include>", "</include> is not allowed"),
    ("<!", "comments, CDATA and document types are not allowed; a comment is {# … #}"),
    ("x-pre-process", "X-PRE-PROCESS is not allowed"),
    ("$${", "$${} is not allowed"),
];

/// Checks that a document is XML that FreeSWITCH's preprocessor leaves alone. An error is the line, from 1,
/// and the reason.
fn check_document(document: &[u8]) -> Result<(), (usize, String)> {
    use quick_xml::events::Event;
    let text = std::str::from_utf8(document).map_err(|error| (1, error.to_string()))?;
    for (number, line) in text.lines().enumerate() {
        let line = line.to_ascii_lowercase();
        if let Some((_, why)) = PREPROCESSED.iter().find(|(sign, _)| line.contains(sign)) {
            return Err((number + 1, (*why).to_owned()));
        }
    }
    let mut reader = quick_xml::Reader::from_str(text);
    let line_at = |position: u64| {
        let position = usize::try_from(position).unwrap_or(usize::MAX).min(document.len());
        1 + document.iter().take(position).filter(|byte| **byte == b'\n').count()
    };
    let mut depth = 0usize;
    loop {
        let event = reader.read_event();
        let here = line_at(reader.buffer_position());
        match event.map_err(|error| (line_at(reader.error_position()), error.to_string()))? {
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => return Err((here, "an element is not closed".to_owned())),
            Event::Start(element) => {
                attributes(&element).map_err(|why| (here, why))?;
                depth += 1;
            }
            Event::Empty(element) => attributes(&element).map_err(|why| (here, why))?,
            Event::End(_) => depth = depth.saturating_sub(1),
            // Other markup is refused above.
            _ => {}
        }
    }
}

fn attributes(element: &quick_xml::events::BytesStart<'_>) -> Result<(), String> {
    element.attributes().try_for_each(|attribute| attribute.map(drop).map_err(|error| error.to_string()))
}

fn files_below(directory: &Path) -> Result<Vec<PathBuf>, TemplateError> {
    let unreadable = |source| TemplateError::Unreadable { path: directory.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // A ConfigMap is mounted with links and hidden directories beside its files.
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overridden(name: &str, source: &str) -> Result<Templates, TemplateError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, source).unwrap();
        Templates::with_overrides(directory.path())
    }

    fn refused(name: &str, source: &str) -> String {
        overridden(name, source).unwrap_err().to_string()
    }

    #[test]
    fn every_built_in_template_renders_its_sample_in_one_line() {
        let templates = Templates::built_in().unwrap();
        for (name, context) in samples::all() {
            let document = templates.render(name, &context).unwrap();
            assert!(!document.contains(&b'\n'), "{name}");
        }
    }

    #[test]
    fn an_override_replaces_the_template() {
        let templates =
            overridden("chatplan/final.xml", "<document>\n  <section\n  name=\"x\"/>\n</document>\n");
        let document = templates.unwrap().render("chatplan/final.xml", &Context::new()).unwrap();
        assert_eq!(&document[..], br#"<document><section name="x"/></document>"#);
    }

    #[test]
    fn a_broken_override_is_refused_with_file_and_line() {
        let error = refused("directory/auth.xml", "<document>\n{% if %}\n</document>");
        assert!(error.contains("directory/auth.xml:2"), "{error}");
        let error = refused("directory/auth.xml", "<document>\n\n{{ passwrod }}</document>");
        assert!(error.contains("directory/auth.xml:3"), "{error}");
    }

    #[test]
    fn a_file_that_overrides_nothing_is_refused() {
        let error = refused("directory/usr.xml", "<document/>");
        assert!(error.contains("directory/usr.xml") && error.contains("directory/user.xml"), "{error}");
    }

    #[test]
    fn an_override_cannot_turn_escaping_off() {
        for filter in FORBIDDEN_FILTERS {
            let error =
                refused("directory/auth.xml", &format!("<document>\n{{{{ domain | {filter} }}}}</document>"));
            assert!(error.contains("is not allowed") && error.contains("directory/auth.xml:2"), "{error}");
        }
    }

    #[test]
    fn an_override_must_render_to_xml_that_the_preprocessor_leaves_alone() {
        for source in [
            "<document>",
            "<a></b>",
            "<a><![CDATA[x]]></a>",
            "<!-- x --><a/>",
            "<!DOCTYPE a><a/>",
            "<a b=\"$${c}\"/>",
            "<?xml version=\"1.0\"?>\n<a/>",
            "<a>\n<?x y?></a>",
            "<include>\n<a/></include>",
            "<a><X-Pre-Process cmd=\"exec\" data=\"id\"/></a>",
        ] {
            let error = refused("chatplan/final.xml", source);
            assert!(error.contains("chatplan/final.xml"), "{source}: {error}");
        }
        let error = refused("chatplan/final.xml", "<document>\n  <a>\n  </b>\n</document>");
        assert!(error.contains("line 3"), "{error}");
    }
}
