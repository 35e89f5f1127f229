//! The templates of phones' files. They are built in; a file of the same name overrides one, and `NAME@MODEL.EXTENSION`
//! overrides one for a single model.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tera::{Context, Kwargs, State, Tera, TeraResult, Value};

use super::format::Format;
use super::render::check_xml;
use super::samples;
use crate::phones::models::Model;

/// Includes templates by name, each with its format.
macro_rules! built_in {
    ($($name:literal => $format:ident),* $(,)?) => {
        &[$(($name, Format::$format, include_str!(concat!("../../templates/provision/", $name)))),*]
    };
}

/// A template: its name, which is its path below `templates/provision/`, its format, and its text.
type BuiltIn = (&'static str, Format, &'static str);

const BUILT_IN: &[BuiltIn] = built_in![
    "acrobits/account.xml" => Xml,
    "cisco/flat-profile.xml" => AsciiXml,
    "fanvil/sysconf.xml" => Xml,
    "grandstream/items.xml" => Xml,
    "grandstream/p-values.xml" => Xml,
    "linphone/config.xml" => Xml,
    "microsip/microsip.ini" => Ini,
    "phonebook/cisco.xml" => AsciiXml,
    "phonebook/fanvil.xml" => Xml,
    "phonebook/grandstream.xml" => Xml,
    "phonebook/poly.xml" => Xml,
    "phonebook/snom.xml" => Xml,
    "phonebook/yealink.xml" => Xml,
    "poly/master.xml" => Xml,
    "poly/phone.xml" => Xml,
    "snom/settings.xml" => Xml,
    "yealink/phone.cfg" => Line,
];

/// Filters that would bypass the escape.
const FORBIDDEN_FILTERS: [&str; 4] = ["safe", "escape_html", "escape_xml", "newlines_to_br"];

/// The templates, compiled.
#[derive(Debug)]
pub struct Templates {
    by_format: HashMap<Format, Tera>,
}

/// Why templates are refused.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The override directory or a file in it cannot be read.
    #[error("directory of phone templates: cannot read {path:?}: {source}")]
    Unreadable {
        /// The directory or file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file has the name of no template.
    #[error(
        "directory of phone templates: {path:?} overrides no template; there are: {known}, and each with @MODEL before its dot"
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The names of all templates.
        known: String,
    },
    /// A template does not compile or render. The text names file and line.
    #[error("phone template: {0}")]
    Invalid(Box<tera::Error>),
    /// A template renders to a file that no phone can read.
    #[error("phone template {name}: what it renders with sample data is not usable: {why}")]
    Unusable {
        /// The template.
        name: String,
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
        Self::new(sources())
    }

    /// The built-in templates, overridden by the files of a directory.
    ///
    /// # Errors
    /// A file cannot be read, has the name of no template, does not compile, does not render with sample data, or
    /// renders to a file that no phone can read. The error names the file and, if known, the line.
    pub fn with_overrides(directory: &Path) -> Result<Self, TemplateError> {
        let mut all = sources();
        for path in files_below(directory)? {
            let relative = path.strip_prefix(directory).unwrap_or(&path).to_string_lossy().into_owned();
            let (of, name) = base(&relative);
            let Some((_, format, _)) = BUILT_IN.iter().find(|(name, ..)| *name == of) else {
                let known = BUILT_IN.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
                return Err(TemplateError::Unknown { path, known });
            };
            let source = std::fs::read_to_string(&path)
                .map_err(|source| TemplateError::Unreadable { path: path.clone(), source })?;
            all.retain(|(other, ..)| *other != name);
            all.push((name, *format, source));
        }
        Self::new(all)
    }

    fn new(sources: Vec<(String, Format, String)>) -> Result<Self, TemplateError> {
        let names: Vec<(String, Format)> =
            sources.iter().map(|(name, format, _)| (name.clone(), *format)).collect();
        let mut by_format: HashMap<Format, Vec<(String, String)>> = HashMap::new();
        for (name, format, source) in sources {
            by_format.entry(format).or_default().push((name, source));
        }
        let compiled = by_format.into_iter().map(|(format, all)| Ok((format, compile(format, all)?)));
        let templates = Self { by_format: compiled.collect::<Result<_, TemplateError>>()? };
        for (name, format) in names {
            templates.check(&name, format)?;
        }
        Ok(templates)
    }

    /// Renders a template with sample data.
    fn check(&self, name: &str, format: Format) -> Result<(), TemplateError> {
        for context in samples::of(&base(name).0)? {
            let body = self.render_exactly(name, format, &context)?;
            let usable = match format {
                Format::Xml | Format::AsciiXml => check_xml(&body),
                Format::Line | Format::Ini => check_lines(&body),
            };
            usable.map_err(|why| TemplateError::Unusable { name: name.to_owned(), why })?;
        }
        Ok(())
    }

    /// Renders a template: the one for this model, if there is one. Lines without text are left out.
    ///
    /// # Errors
    /// A value cannot be escaped, or an override fails with data other than the samples.
    pub fn render(
        &self,
        name: &str,
        model: &Model,
        context: &Context,
    ) -> Result<(String, Format), tera::Error> {
        let format =
            BUILT_IN.iter().find(|(other, ..)| *other == name).map_or(Format::Xml, |(_, format, _)| *format);
        let of_model =
            model.name.and_then(|model| for_model(name, model)).filter(|name| self.has(name, format));
        let body = self.render_exactly(of_model.as_deref().unwrap_or(name), format, context)?;
        Ok((body, format))
    }

    fn has(&self, name: &str, format: Format) -> bool {
        self.by_format.get(&format).is_some_and(|tera| tera.contains_template(name))
    }

    fn render_exactly(&self, name: &str, format: Format, context: &Context) -> Result<String, tera::Error> {
        let tera =
            self.by_format.get(&format).ok_or_else(|| tera::Error::message("no template has this format"))?;
        let body = tera.render(name, context)?;
        let mut lines = String::with_capacity(body.len());
        for line in body.lines().filter(|line| !line.trim().is_empty()) {
            lines.push_str(line.trim_end());
            lines.push('\n');
        }
        Ok(lines)
    }
}

fn sources() -> Vec<(String, Format, String)> {
    BUILT_IN
        .iter()
        .map(|(name, format, source)| ((*name).to_owned(), *format, (*source).to_owned()))
        .collect()
}

/// The template that a name overrides, and the name in the spelling of [`for_model`].
fn base(name: &str) -> (String, String) {
    let parts = name.rsplit_once('.').and_then(|(stem, extension)| Some((stem.rsplit_once('@')?, extension)));
    match parts {
        Some(((stem, model), extension)) => {
            let base = format!("{stem}.{extension}");
            let spelt = for_model(&base, model).unwrap_or_else(|| name.to_owned());
            (base, spelt)
        }
        None => (name.to_owned(), name.to_owned()),
    }
}

/// The name of the template for a model, without regard to case.
fn for_model(name: &str, model: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    Some(format!("{stem}@{}.{extension}", model.to_ascii_lowercase()))
}

fn compile(format: Format, sources: Vec<(String, String)>) -> Result<Tera, TemplateError> {
    let mut tera = Tera::new();
    tera.autoescape_on([".cfg", ".xml", ".ini"]);
    tera.set_escape_fn(format.escape());
    for filter in FORBIDDEN_FILTERS {
        let message = format!("the filter {filter} is not allowed: every value is escaped");
        tera.register_filter(filter, move |_: &Value, _: Kwargs, _: &State| -> TeraResult<Value> {
            Err(tera::Error::message(message.clone()))
        });
    }
    tera.add_raw_templates(sources)?;
    Ok(tera)
}

/// Whether every line is a comment, a section or a key with its value.
fn check_lines(body: &str) -> Result<(), String> {
    let is_usable = |line: &str| line.starts_with(['#', ';', '[']) || line.contains('=');
    match body.lines().position(|line| !is_usable(line)) {
        Some(index) => Err(format!("line {} is no key with a value", index + 1)),
        None => Ok(()),
    }
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
    use crate::provision::secrets::PhoneSecrets;
    use crate::resources::device::Vendor;

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

    fn settings(templates: &Templates, model: &str) -> String {
        let phone = samples::full(Vendor::Yealink, model);
        let rendered =
            super::super::render::configuration(templates, &phone, &PhoneSecrets::hidden()).unwrap();
        String::from_utf8(rendered.body).unwrap()
    }

    #[test]
    fn an_override_is_for_all_models_or_for_one() {
        let templates = overridden("yealink/phone.cfg", "#!version:1.0.0.1\na.b = {{ mac }}\n").unwrap();
        assert_eq!(settings(&templates, "T54W"), "#!version:1.0.0.1\na.b = 805ec01234ab\n");
        let templates = overridden("yealink/phone@T54W.cfg", "a.b = {{ phone.ntp_server }}\n").unwrap();
        assert_eq!(settings(&templates, "T54W"), "a.b = pool.ntp.org\n");
        assert!(settings(&templates, "T53W").starts_with("#!version"));
    }

    #[test]
    fn an_override_that_no_phone_can_read_is_refused_with_its_name() {
        for (name, source, why) in [
            ("yealink/phone.cfg", "a.b = 1\n{% if %}", "yealink/phone.cfg:2"),
            ("yealink/phone.cfg", "a.b = {{ passwrod }}", "yealink/phone.cfg:1"),
            ("yealink/phone.cfg", "a.b = 1\nno pair\n", "line 2 is no key"),
            ("yealink/phone.cfg", "a.b = {{ mac | safe }}", "safe is not allowed"),
            ("snom/settings.xml", "<settings>", "not closed"),
            ("poly/phone.xml", "<a b=\"1\" b=\"2\"/>", "poly/phone.xml"),
            ("yealink/phones.cfg", "a.b = 1", "yealink/phone.cfg"),
            ("yealink/phones@T54W.cfg", "a.b = 1", "overrides no template"),
        ] {
            let error = refused(name, source);
            assert!(error.contains(why), "{name} {source}: {error}");
        }
    }

    #[test]
    fn a_value_that_the_format_cannot_have_fails_the_rendering_and_is_not_shown() {
        let templates = Templates::built_in().unwrap();
        let mut phone = samples::full(Vendor::Yealink, "T54W");
        phone.ntp_server = "secret\naccount.1.sip_server.1.address = evil".to_owned();
        let error =
            super::super::render::configuration(&templates, &phone, &PhoneSecrets::hidden()).unwrap_err();
        assert!(!error.to_string().contains("evil"), "{error}");
    }
}
