//! YAML errors for the author of a manifest: the parser's messages without its line numbers, which count from
//! the start of the document, and without its advice for programmers.

use std::borrow::Cow;

use serde_saphyr::{Error, Localizer, Location, MessageFormatter, UserMessageFormatter};

/// Formats an error of the parser.
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
            Error::MultipleDocuments { .. } => "another document begins here; start it with ---".into(),
            Error::Budget { .. } => "it is too large, or nested too deeply; split it".into(),
            Error::AliasReplayCounterOverflow { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. } => {
                "its aliases expand to too much; write their contents out".into()
            }
            Error::RecursiveReferencesRequireWeakTypes { .. } => "an alias cannot contain itself".into(),
            Error::UnknownAnchor { .. } => "an alias names an anchor that does not exist".into(),
            other => UserMessageFormatter.format_message(other),
        }
    }
}

/// Leaves the location out of messages: the problem has a line of its own.
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
