//! What one stream has seen, as far as the next list needs it: names, versions, references.

use std::collections::HashMap;
use std::sync::Arc;

use crate::source::ObjectKey;

/// The objects of one stream. There are as many entries as objects, so an entry is small.
#[derive(Debug, Default)]
pub(super) struct StreamCache {
    entries: HashMap<Box<str>, Entry>,
    round: u32,
}

#[derive(Debug)]
struct Entry {
    version: u64,
    /// The list that showed it last.
    round: u32,
    references: References,
}

/// The Secrets and ConfigMaps an object refers to.
type References = Box<[Arc<ObjectKey>]>;

/// How the references of an object changed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct RefDelta {
    pub gained: Vec<Arc<ObjectKey>>,
    pub lost: Vec<Arc<ObjectKey>>,
}

impl StreamCache {
    /// A list begins: what it does not show is gone when it ends.
    pub fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// Notes that an object is there, and says whether it was seen at this very version.
    pub fn is_current(&mut self, path: &str, version: u64) -> bool {
        let Some(entry) = self.entries.get_mut(path) else { return false };
        entry.round = self.round;
        entry.version == version
    }

    /// Takes in an object that was read, and says how its references changed.
    pub fn read(&mut self, path: Box<str>, version: u64, references: Vec<ObjectKey>) -> RefDelta {
        let round = self.round;
        let fresh = || Entry { version, round, references: Box::default() };
        let entry = self.entries.entry(path).or_insert_with(fresh);
        (entry.version, entry.round) = (version, round);
        if entry.references.iter().map(|key| &**key).eq(&references) {
            return RefDelta::default();
        }
        let kept: References = references
            .into_iter()
            .map(|new| entry.references.iter().find(|old| ***old == new).cloned().unwrap_or(Arc::new(new)))
            .collect();
        let before = std::mem::replace(&mut entry.references, kept);
        let not_in = |others: &References, key: &&Arc<ObjectKey>| !others.contains(*key);
        RefDelta {
            gained: entry.references.iter().filter(|key| not_in(&before, key)).cloned().collect(),
            lost: before.iter().filter(|key| not_in(&entry.references, key)).cloned().collect(),
        }
    }

    /// Takes in an object that could not be read: what was read of it before stays.
    pub fn unreadable(&mut self, path: Box<str>, version: u64) {
        let round = self.round;
        let entry =
            self.entries.entry(path).or_insert_with(|| Entry { version, round, references: Box::default() });
        (entry.version, entry.round) = (version, round);
    }

    /// Forgets an object; the references it had, when it was known.
    pub fn remove(&mut self, path: &str) -> Option<RefDelta> {
        let entry = self.entries.remove(path)?;
        Some(RefDelta { gained: Vec::new(), lost: entry.references.into_vec() })
    }

    /// A list was read to its end: what it did not show is gone.
    pub fn end(&mut self) -> Vec<(Box<str>, RefDelta)> {
        let round = self.round;
        let gone = self.entries.extract_if(|_, entry| entry.round != round);
        gone.map(|(path, entry)| (path, RefDelta { gained: Vec::new(), lost: entry.references.into_vec() }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Kind;

    fn secret(name: &str) -> ObjectKey {
        ObjectKey { kind: Kind::Secret, namespace: Some("a".into()), name: name.into() }
    }

    #[test]
    fn a_list_that_ends_removes_what_it_did_not_show_and_one_that_breaks_off_nothing() {
        let mut known = StreamCache::default();
        known.begin();
        for path in ["a/1", "a/2"] {
            assert!(!known.is_current(path, 7));
            known.read(path.into(), 7, vec![secret(path)]);
        }
        assert_eq!(known.end(), []);
        known.begin(); // breaks off
        assert!(known.is_current("a/1", 7));
        known.begin();
        assert!(known.is_current("a/2", 7));
        assert!(!known.is_current("a/2", 8));
        let gone = known.end();
        assert_eq!(gone, [("a/1".into(), RefDelta { gained: vec![], lost: vec![Arc::new(secret("a/1"))] })]);
        assert_eq!(known.remove("a/1"), None);
    }

    #[test]
    fn references_that_come_and_go_are_told() {
        let mut known = StreamCache::default();
        let key = |name| Arc::new(secret(name));
        let shift = known.read("x".into(), 1, vec![secret("p"), secret("q")]);
        assert_eq!(shift, RefDelta { gained: vec![key("p"), key("q")], lost: vec![] });
        assert_eq!(known.read("x".into(), 2, vec![secret("p"), secret("q")]), RefDelta::default());
        known.unreadable("x".into(), 3);
        let shift = known.read("x".into(), 4, vec![secret("q"), secret("r")]);
        assert_eq!(shift, RefDelta { gained: vec![key("r")], lost: vec![key("p")] });
        assert_eq!(known.remove("x").unwrap().lost, [key("q"), key("r")]);
    }
}
