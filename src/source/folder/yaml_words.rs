//! What is wrong with YAML, for who wrote it: the parser's words without where it saw it, which
//! counts from the start of a document, and without advice to who programs with it.

use std::borrow::Cow;

use serde_saphyr::{Error, Localizer, Location, MessageFormatter, UserMessageFormatter};

/// Says an error of the parser.
pub(super) struct InWords;

impl MessageFormatter for InWords {
    fn localizer(&self) -> &dyn Localizer {
        &WithoutLocation
    }

    fn format_message<'a>(&self, error: &'a Error) -> Cow<'a, str> {
        match error {
            Error::DuplicateMappingKey { key: Some(key), .. } => {
                format!("duplicate key {key}; a key can be used once").into()
            }
            Error::MultipleDocuments { .. } => "another document begins here; begin it with ---".into(),
            Error::Budget { .. } => "it is too large, or nested too deeply; split it".into(),
            Error::AliasReplayCounterOverflow { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. } => {
                "its aliases stand for too much; write out what they stand for".into()
            }
            Error::RecursiveReferencesRequireWeakTypes { .. } => {
                "an alias cannot stand for what it is a part of".into()
            }
            Error::UnknownAnchor { .. } => "an alias stands for nothing: there is no such anchor".into(),
            other => UserMessageFormatter.format_message(other),
        }
    }
}

/// Leaves out where it is, which is said beside the message.
struct WithoutLocation;

impl Localizer for WithoutLocation {
    fn attach_location<'a>(&self, message: Cow<'a, str>, _: Location) -> Cow<'a, str> {
        message
    }

    fn alias_defined_at(&self, _: Location) -> String {
        String::new()
    }

    fn alias_used_at(&self, _: Location) -> String {
        String::new()
    }
}
