//! Finds the lines of fields in a YAML or JSON document, all in one pass.

use std::collections::HashMap;

use granit_parser::{Event, Parser, StrInput};
use serde_saphyr::granit_parser;

use crate::resources::path::Step;

/// The line in the text, from 1, of each path, or of its nearest parent.
pub(super) fn lines(text: &str, paths: &[Vec<Step>]) -> Vec<usize> {
    let mut root = Wanted::default();
    paths.iter().for_each(|path| root.insert(path));
    Walk { parser: Parser::new_from_str(text) }.document(&mut root);
    paths.iter().map(|path| root.nearest(path).unwrap_or(1)).collect()
}

/// A value on one of the requested paths.
#[derive(Debug, Default)]
struct Wanted {
    /// Its line, once the walk has reached it.
    line: Option<usize>,
    keys: HashMap<String, Wanted>,
    items: HashMap<usize, Wanted>,
}

impl Wanted {
    fn insert(&mut self, path: &[Step]) {
        let Some((step, rest)) = path.split_first() else { return };
        let inner = match step {
            Step::Key(key) => self.keys.entry(key.clone()).or_default(),
            Step::Index(index) => self.items.entry(*index).or_default(),
        };
        inner.insert(rest);
    }

    fn nearest(&self, path: &[Step]) -> Option<usize> {
        let deeper = path.split_first().and_then(|(step, rest)| {
            let inner = match step {
                Step::Key(key) => self.keys.get(key),
                Step::Index(index) => self.items.get(index),
            };
            inner?.nearest(rest)
        });
        deeper.or(self.line)
    }
}

/// A walk through the events of a document. Ends at the first syntax error.
struct Walk<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Walk<'a> {
    /// The next event that is part of a value, and its line; `None` at the end and at a syntax error.
    fn next(&mut self) -> Option<(Event<'a>, usize)> {
        loop {
            let (event, span) = self.parser.next()?.ok()?;
            let part = event.is_node() || matches!(event, Event::MappingEnd | Event::SequenceEnd);
            if part {
                return Some((event, span.start.line()));
            }
        }
    }

    fn document(&mut self, root: &mut Wanted) -> Option<()> {
        let (event, line) = self.next()?;
        self.value(&event, line, root)
    }

    /// Walks through the value that starts with `event`. Recursion is as deep as the requested paths.
    fn value(&mut self, event: &Event<'a>, line: usize, wanted: &mut Wanted) -> Option<()> {
        wanted.line = Some(line);
        match event {
            Event::MappingStart(..) if !wanted.keys.is_empty() => loop {
                let (key, line) = self.next()?;
                let inner = match &key {
                    Event::MappingEnd => return Some(()),
                    Event::Scalar(text, ..) => wanted.keys.get_mut(text.as_ref()),
                    _ => None,
                };
                self.skip(&key)?;
                let (value, _) = self.next()?;
                self.inner(&value, line, inner)?;
            },
            Event::SequenceStart(..) if !wanted.items.is_empty() => {
                for index in 0.. {
                    let (item, line) = self.next()?;
                    if matches!(item, Event::SequenceEnd) {
                        break;
                    }
                    self.inner(&item, line, wanted.items.get_mut(&index))?;
                }
                Some(())
            }
            other => self.skip(other),
        }
    }

    fn inner(&mut self, event: &Event<'a>, line: usize, wanted: Option<&mut Wanted>) -> Option<()> {
        match wanted {
            Some(wanted) => self.value(event, line, wanted),
            None => self.skip(event),
        }
    }

    /// Skips the rest of the value that starts with `event`.
    fn skip(&mut self, event: &Event<'a>) -> Option<()> {
        let mut depth = usize::from(starts(event));
        while depth > 0 {
            let (event, _) = self.next()?;
            if starts(&event) {
                depth += 1;
            } else if matches!(event, Event::MappingEnd | Event::SequenceEnd) {
                depth -= 1;
            }
        }
        Some(())
    }
}

fn starts(event: &Event<'_>) -> bool {
    matches!(event, Event::MappingStart(..) | Event::SequenceStart(..))
}
