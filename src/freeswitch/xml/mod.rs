//! Answers to mod_xml_curl's lookups, from memory alone.

pub mod chatplan;
pub mod configuration;
pub mod dialplan;
pub mod directory;
pub mod escape;
pub mod field;
pub mod form;
pub mod profile_overrides;
pub mod render;
mod samples;
pub mod templates;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use uuid::Uuid;

use crate::replica::tenants::{LoadState, Replica};
use crate::route::media::MediaRoot;
use crate::secrets::signing_key::SigningKey;
use field::Field;
use form::Form;
use profile_overrides::ProfileOverrides;
use templates::{TemplateError, Templates};

/// The answer to whatever is not known, or not to be told (contract §1.4).
pub const NOT_FOUND: &[u8] =
    br#"<document type="freeswitch/xml"><section name="result"><result status="not found"/></section></document>"#;

/// The sections of FreeSWITCH's configuration that are asked for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// Users and domains.
    Directory,
    /// What a call does.
    Dialplan,
    /// Modules' settings.
    Configuration,
    /// What a text message does.
    Chatplan,
}

impl Section {
    /// All of them.
    pub const ALL: [Section; 4] =
        [Section::Directory, Section::Dialplan, Section::Configuration, Section::Chatplan];

    /// Its name: in a request's path, in its `section` field and in an answer.
    pub fn name(self) -> &'static str {
        match self {
            Section::Directory => "directory",
            Section::Dialplan => "dialplan",
            Section::Configuration => "configuration",
            Section::Chatplan => "chatplan",
        }
    }

    /// The section with a name.
    pub fn by_name(name: &str) -> Option<Section> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }
}

/// An answer to a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A document.
    Found(Bytes),
    /// A true miss.
    NotFound,
}

/// Why there is no answer, which is not the same as a miss.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Nothing was loaded yet.
    #[error("not ready: {0} not loaded yet")]
    NotReady(&'static str),
    /// A template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl AnswerError {
    /// What kind of error it is, for logs and metrics.
    pub fn category(&self) -> &'static str {
        match self {
            AnswerError::NotReady(_) => "not_ready",
            AnswerError::Template(_) => "template",
        }
    }
}

/// Everything answers are made of.
#[derive(Debug)]
pub struct Answers {
    /// All tenants.
    pub replica: Arc<Replica>,
    /// The installation's key, once it was read.
    pub key: Arc<OnceLock<SigningKey>>,
    /// Where media files are.
    pub media: MediaRoot,
    /// What documents look like.
    pub templates: Templates,
    /// Profiles that listen elsewhere than they should.
    pub running: ProfileOverrides,
}

impl Answers {
    /// Answers one lookup.
    ///
    /// # Errors
    /// Nothing is loaded yet, or not whom it is about; or a template failed.
    pub fn answer(&self, section: Section, form: &Form<'_>) -> Result<Answer, AnswerError> {
        let loaded = self.replica.load_state();
        if loaded == LoadState::Empty {
            return Err(AnswerError::NotReady("tenants are"));
        }
        // A request that is posted to another section's path was not made by our configuration.
        if !form.is(Field::Section, section.name()) {
            return Ok(Answer::NotFound);
        }
        if loaded == LoadState::Partial && self.is_of_nobody(section, form) {
            return Err(AnswerError::NotReady("some tenants are"));
        }
        match section {
            Section::Directory => directory::answer(form, self),
            Section::Dialplan => dialplan::answer(form, self),
            Section::Configuration => configuration::answer(form, self),
            Section::Chatplan => chatplan::answer(form, self),
        }
    }

    /// Whether a lookup is about a tenant that is not held.
    fn is_of_nobody(&self, section: Section, form: &Form<'_>) -> bool {
        match section {
            Section::Directory => self.replica.by_domain(&form.text(Field::KeyValue)).is_none(),
            Section::Dialplan => Uuid::try_parse(&form.text(Field::HuntContext))
                .is_ok_and(|tenant| self.replica.by_id(tenant).is_none()),
            // FreeSWITCH's own, which are of many; and to a message an error is as good as a miss,
            // which lets it go where it says.
            Section::Configuration | Section::Chatplan => false,
        }
    }

    /// The installation's key.
    ///
    /// # Errors
    /// It was not read yet.
    pub fn key(&self) -> Result<&SigningKey, AnswerError> {
        self.key.get().ok_or(AnswerError::NotReady("the signing key is"))
    }
}
