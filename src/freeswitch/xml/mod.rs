//! Answers to mod_xml_curl's lookups, from memory only.

pub mod carrier;
mod chatplan;
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

use crate::freeswitch::emergency_calls::EmergencyCalls;
use crate::replica::tenants::{LoadState, Replica};
use crate::route::media::MediaRoot;
use crate::secrets::signing_key::SigningKey;
use field::Field;
use form::Form;
use profile_overrides::ProfileOverrides;
use templates::{TemplateError, Templates};

/// The answer for what does not exist or must not be disclosed (contract §1.4).
pub const NOT_FOUND: &[u8] =
    br#"<document type="freeswitch/xml"><section name="result"><result status="not found"/></section></document>"#;

/// A section of FreeSWITCH's configuration that is answered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// Users and domains.
    Directory,
    /// Dialplan of a call.
    Dialplan,
    /// Settings of modules.
    Configuration,
    /// Dialplan of a text message.
    Chatplan,
}

impl Section {
    /// All sections.
    pub const ALL: [Section; 4] =
        [Section::Directory, Section::Dialplan, Section::Configuration, Section::Chatplan];

    /// Its name in a request's path, in the `section` field and in an answer.
    pub fn name(self) -> &'static str {
        match self {
            Section::Directory => "directory",
            Section::Dialplan => "dialplan",
            Section::Configuration => "configuration",
            Section::Chatplan => "chatplan",
        }
    }

    /// The section with a name; `None` for an unknown name.
    pub fn by_name(name: &str) -> Option<Section> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }
}

/// An answer to a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A document.
    Document(Bytes),
    /// Nothing exists under the name: FreeSWITCH's "not found".
    NotFound,
}

/// Why a lookup cannot be answered. A miss is an answer, not an error.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// What the answer depends on is not loaded yet.
    #[error("not ready: {0} not loaded yet")]
    NotReady(&'static str),
    /// A template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl AnswerError {
    /// The kind of error, for logs and metrics.
    pub fn category(&self) -> &'static str {
        match self {
            AnswerError::NotReady(_) => "not_ready",
            AnswerError::Template(_) => "template",
        }
    }
}

/// What answers are made of.
#[derive(Debug)]
pub struct Answers {
    /// All tenants.
    pub replica: Arc<Replica>,
    /// The installation's signing key, once it was loaded.
    pub key: Arc<OnceLock<SigningKey>>,
    /// Paths of media files.
    pub media: MediaRoot,
    /// Templates of documents.
    pub templates: Templates,
    /// Profiles that still listen elsewhere than their rows say.
    pub running: ProfileOverrides,
    /// Where emergency calls are recorded.
    pub emergencies: EmergencyCalls,
}

impl Answers {
    /// Answers one lookup.
    ///
    /// # Errors
    /// The replica or the tenant of the lookup is not loaded yet, or a template failed.
    pub fn answer(&self, section: Section, form: &Form<'_>) -> Result<Answer, AnswerError> {
        let loaded = self.replica.load_state();
        if loaded == LoadState::Empty {
            return Err(AnswerError::NotReady("tenants are"));
        }
        // Our configuration never posts to the path of another section.
        if !form.is(Field::Section, section.name()) {
            return Ok(Answer::NotFound);
        }
        if loaded == LoadState::Partial && self.is_tenant_missing(section, form) {
            return Err(AnswerError::NotReady("some tenants are"));
        }
        match section {
            Section::Directory => directory::answer(form, self),
            Section::Dialplan => dialplan::answer(form, self),
            Section::Configuration => configuration::answer(form, self),
            Section::Chatplan => chatplan::answer(form, self),
        }
    }

    /// Whether a lookup is about a tenant that the replica does not have.
    fn is_tenant_missing(&self, section: Section, form: &Form<'_>) -> bool {
        match section {
            Section::Directory => {
                directory::domain(form).is_none_or(|domain| self.replica.of_phones(&domain).is_none())
            }
            Section::Dialplan => Uuid::try_parse(&form.text(Field::HuntContext))
                .is_ok_and(|tenant| self.replica.of_callers(tenant).is_none()),
            // Configuration is of many tenants. For a message an error is no better than a miss: FreeSWITCH
            // delivers it either way.
            Section::Configuration | Section::Chatplan => false,
        }
    }

    /// The installation's key.
    ///
    /// # Errors
    /// The key is not loaded yet.
    pub fn key(&self) -> Result<&SigningKey, AnswerError> {
        self.key.get().ok_or(AnswerError::NotReady("the signing key is"))
    }
}
