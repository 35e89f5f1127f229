//! Splits a manifest file into documents, parses them, and finds the lines of fields.

use serde_json::Value;

use super::lines::lines;
use super::yaml_words::{InWords, advice, is_commented_out};
use crate::resources::path::Step;

/// Format of a manifest file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Yaml,
    Json,
}

/// One document of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document<'a> {
    pub format: Format,
    /// Its first line in the file, from 1.
    pub line: usize,
    pub text: &'a str,
}

/// Why a document cannot be parsed. The line counts from the start of the file.
#[derive(Debug, PartialEq)]
pub(super) struct SyntaxError {
    pub line: usize,
    pub message: String,
}

/// Splits a file into its documents. Each is parsed by itself, so that after a change of one only that one is
/// parsed again.
pub(super) fn split(text: &str, format: Format) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Yaml => split_yaml(text),
        Format::Json => split_json(text),
    }
}

/// A line that starts with `---` starts a document (YAML 1.2 §9.1.2), even inside a scalar, so no parser is
/// needed to find it. Comments and directives before it belong to its document.
fn split_yaml(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut line, mut only_preamble) = (0, 1, true);
    let mut at = 0;
    for (index, row) in text.split_inclusive('\n').enumerate() {
        let marker = row
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker && !only_preamble {
            documents.push(Document {
                format: Format::Yaml,
                line,
                text: text.get(start..at).unwrap_or_default(),
            });
            (start, line) = (at, index + 1);
        }
        let bare = row.trim();
        only_preamble &= !marker && (bare.is_empty() || row.starts_with('%') || bare.starts_with('#'));
        at += row.len();
    }
    documents.push(Document { format: Format::Yaml, line, text: text.get(start..).unwrap_or_default() });
    documents
}

/// Splits a sequence of JSON values, as `jq` and `kubectl` write them.
fn split_json(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut line) = (0, 1);
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    loop {
        // Invalid JSON becomes a document too: parsing it gives the error.
        let end = match values.next() {
            Some(Ok(_)) => values.byte_offset(),
            Some(Err(_)) => text.len(),
            None => break,
        };
        let part = text.get(start..end).unwrap_or_default();
        documents.push(Document { format: Format::Json, line, text: part });
        line += part.matches('\n').count();
        start = end;
        if end == text.len() {
            break;
        }
    }
    documents
}

impl Document<'_> {
    /// Parses the document; `None` when it is empty.
    pub fn parse(&self) -> Result<Option<Value>, SyntaxError> {
        let value = match self.format {
            Format::Json => self.parse_json()?,
            Format::Yaml => self.parse_yaml()?,
        };
        Ok(if value.is_null() { None } else { Some(value) })
    }

    fn parse_json(&self) -> Result<Value, SyntaxError> {
        let unique: Result<super::json::Unique, _> = serde_json::from_str(self.text);
        unique.map(|unique| unique.0).map_err(|error| {
            let message = error.to_string();
            // The line in the message counts from the document's start; `line` counts from the file's.
            let message = message.split(" at line ").next().unwrap_or_default();
            SyntaxError { line: self.line_at(error.line()), message: format!("is not JSON: {message}") }
        })
    }

    fn parse_yaml(&self) -> Result<Value, SyntaxError> {
        // Aliases of a phone system expand to less than this; those of a YAML bomb to more.
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_events: 4_000_000, max_nodes: 2_000_000, max_depth: 32 },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 20_000, max_replay_stack_depth: 8 },
            with_snippet: false,
            emit_comments: false,
        };
        serde_saphyr::from_str_with_options(self.text, options).map_err(|error| {
            let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
            let line = line.unwrap_or(1);
            let mut message = format!("is not YAML: {}", error.render_with_formatter(&InWords));
            if let Some(advice) = self.text.lines().nth(line.saturating_sub(1)).and_then(advice) {
                message = format!("{message}; {advice}");
            }
            // `line` counts from the document's start.
            SyntaxError { line: self.line_at(line), message }
        })
    }

    /// The line in the file where its content starts, after marker and comments.
    pub fn content_line(&self) -> usize {
        let bare = |row: &&str| {
            let row = row.trim();
            row.is_empty() || row == "---" || row.starts_with(['#', '%'])
        };
        self.line + self.text.lines().take_while(bare).count()
    }

    fn line_at(&self, line_in_document: usize) -> usize {
        self.line + line_in_document.saturating_sub(1)
    }

    /// Whether a line of the file has a comment where a value was meant.
    pub fn is_commented_out(&self, line_in_file: usize) -> bool {
        let index = line_in_file.checked_sub(self.line);
        index.and_then(|index| self.text.lines().nth(index)).is_some_and(is_commented_out)
    }

    /// The line in the file of each field, or of its nearest parent.
    pub fn lines_of(&self, paths: &[Vec<Step>]) -> Vec<usize> {
        lines(self.text, paths).into_iter().map(|line| self.line_at(line)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::path::steps;

    fn lines(text: &str, format: Format) -> Vec<(usize, &str)> {
        split(text, format).iter().map(|d| (d.line, d.text)).collect()
    }

    #[test]
    fn yaml_is_split_at_its_markers() {
        let text = "# head\n---\na: 1\n--- # two\nb: |\n  ---\n  x\n---\n";
        assert_eq!(
            lines(text, Format::Yaml),
            [(1, "# head\n---\na: 1\n"), (4, "--- # two\nb: |\n  ---\n  x\n"), (8, "---\n")]
        );
        assert_eq!(lines("--- {a: 1}\n--- {b: 1}", Format::Yaml).len(), 2);
        let parsed: Vec<_> = split(text, Format::Yaml).iter().map(|d| d.parse().unwrap()).collect();
        assert_eq!(
            parsed,
            [Some(serde_json::json!({"a": 1})), Some(serde_json::json!({"b": "---\nx\n"})), None]
        );
    }

    #[test]
    fn json_values_follow_each_other() {
        let text = "{\"a\": 1}\n\n{\"b\":\n2}\n";
        assert_eq!(lines(text, Format::Json), [(1, "{\"a\": 1}"), (1, "\n\n{\"b\":\n2}")]);
        let broken = split("{\"a\": 1}\n{\"b\":,}", Format::Json);
        assert_eq!(broken.len(), 2);
        assert_eq!(broken[1].parse().unwrap_err().line, 2);
        let twice = split("{\"a\": 1, \"a\": 2}", Format::Json);
        assert!(twice[0].parse().unwrap_err().message.contains("duplicate"));
    }

    #[test]
    fn fields_are_found_on_their_lines() {
        let lines = |text, format, paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(|path| steps(path)).collect();
            split(text, format)[0].lines_of(&paths)
        };
        let text = "---\nspec:\n  a: {x: 1}\n  members:\n    - {extensionRef: {name: a}}\n    - extensionRef:\n        name: b\n  z: 1\n";
        let paths = [
            "spec.members[1].extensionRef.name",
            "spec.members[1].missing",
            "spec.members[9]",
            "spec.z",
            "",
            "spec.a.x.y",
            "spec.members[0]",
        ];
        assert_eq!(lines(text, Format::Yaml, &paths), [7, 6, 4, 8, 2, 3, 5]);
        let json = "{\n \"spec\": {\n  \"number\": \"\\u0031\",\n  \"x\": 1\n }\n}";
        assert_eq!(lines(json, Format::Json, &["spec.x"]), [4]);
        let broken = "a: 1\nspec:\n  x: 1\n  y: ]\nz: 1\n";
        assert_eq!(lines(broken, Format::Yaml, &["z", "spec.x"]), [1, 3]);
    }

    #[test]
    fn yaml_bombs_are_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let inner = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{inner}]\n");
        }
        let error = split(&bomb, Format::Yaml)[0].parse().unwrap_err();
        assert!(error.message.starts_with("is not YAML"), "{}", error.message);
        let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
        split(&deep, Format::Yaml)[0].parse().unwrap_err();
        assert_eq!(split(&deep, Format::Yaml)[0].lines_of(&[steps("a[0][0]")]), [1]);
    }
}
