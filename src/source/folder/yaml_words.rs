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

/// Advice for a line at which the parser failed: that a value on it belongs in quotes, if YAML gives a meaning to
/// its characters. Codes such as `*97` and names such as `Sales: UK` are the likeliest.
pub(super) fn advice(line: &str) -> Option<String> {
    let indicator = |word: &&str| word.len() > 1 && word.starts_with(['*', '&', '!', '%', '@', '`']);
    let mut words = line.split([' ', ',', '[', ']', '{', '}']).map(str::trim);
    if let Some(word) = words.find(indicator) {
        return Some(format!("if {word} is text, put it in quotes: \"{word}\""));
    }
    let (_, value) = line.split_once(": ")?;
    let value = value.trim();
    let is_plain = !value.starts_with(['"', '\'', '{', '[', '|', '>']);
    let colon = value.contains(": ") || value.ends_with(':');
    (is_plain && colon).then(|| "a value that contains a colon and a blank belongs in quotes".to_owned())
}

/// Whether a line has a comment after a key, where a value was meant, such as `code: #43`.
pub(super) fn is_commented_out(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(_, value)| value.trim_start().starts_with('#'))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_belongs_in_quotes_is_named() {
        let quotes = |word: &str| Some(format!("if {word} is text, put it in quotes: \"{word}\""));
        assert_eq!(advice("  code: *97"), quotes("*97"));
        assert_eq!(advice("spec: {code: *97, number: \"1\"}"), quotes("*97"));
        assert_eq!(advice("  - *97"), quotes("*97"));
        assert_eq!(advice("  displayName: @home"), quotes("@home"));
        assert!(advice("  displayName: Sales: UK").unwrap().contains("colon"));
        assert_eq!(advice("  members: [a"), None);
        assert!(is_commented_out("  code: #43") && !is_commented_out("  code: \"#43\" # hold"));
    }
}
