//! Names, versions and references of the objects that one stream has seen, to be compared with the next list.
//!
//! Ours because a store of kube-runtime holds whole objects, and says neither which of them a list changed
//! nor which it removed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::source::ObjectKey;

/// The objects of one stream, without their contents.
#[derive(Debug, Default)]
pub(super) struct StreamCache {
    entries: HashMap<Box<str>, Entry>,
    /// Number of the last list.
    list: u32,
}

#[derive(Debug)]
struct Entry {
    version: u64,
    /// Number of the newest list when it was last seen.
    list: u32,
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
    /// A list begins. Objects that it does not contain are removed when it ends.
    pub fn list_started(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// Records that an object exists. Returns true if it was seen at this version before.
    pub fn is_current(&mut self, path: &str, version: u64) -> bool {
        let Some(entry) = self.entries.get_mut(path) else { return false };
        entry.list = self.list;
        entry.version == version
    }

    /// Records an object that was read. Returns how its references changed.
    pub fn insert(&mut self, path: Box<str>, version: u64, references: Vec<ObjectKey>) -> RefDelta {
        let list = self.list;
        let fresh = || Entry { version, list, references: Box::default() };
        let entry = self.entries.entry(path).or_insert_with(fresh);
        (entry.version, entry.list) = (version, list);
        if entry.references.iter().map(|key| &**key).eq(&references) {
            return RefDelta::default();
        }
        let references: References = references
            .into_iter()
            .map(|new| entry.references.iter().find(|old| ***old == new).cloned().unwrap_or(Arc::new(new)))
            .collect();
        let before = std::mem::replace(&mut entry.references, references);
        let not_in = |others: &References, key: &&Arc<ObjectKey>| !others.contains(*key);
        RefDelta {
            gained: entry.references.iter().filter(|key| not_in(&before, key)).cloned().collect(),
            lost: before.iter().filter(|key| not_in(&entry.references, key)).cloned().collect(),
        }
    }

    /// Records an object that cannot be read. The references of its last readable version stay.
    pub fn insert_unreadable(&mut self, path: Box<str>, version: u64) {
        let list = self.list;
        let entry =
            self.entries.entry(path).or_insert_with(|| Entry { version, list, references: Box::default() });
        (entry.version, entry.list) = (version, list);
    }

    /// Removes an object. Returns the references that it had; `None` if it was never seen.
    pub fn remove(&mut self, path: &str) -> Option<RefDelta> {
        let entry = self.entries.remove(path)?;
        Some(RefDelta { gained: Vec::new(), lost: entry.references.into_vec() })
    }

    /// A list was read to its end. Removes what it did not contain, and returns that.
    pub fn list_finished(&mut self) -> Vec<(Box<str>, RefDelta)> {
        let list = self.list;
        let removed = self.entries.extract_if(|_, entry| entry.list != list);
        removed
            .map(|(path, entry)| (path, RefDelta { gained: Vec::new(), lost: entry.references.into_vec() }))
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
    fn a_finished_list_removes_what_it_did_not_contain_and_an_aborted_one_nothing() {
        let mut cache = StreamCache::default();
        cache.list_started();
        for path in ["a/1", "a/2"] {
            assert!(!cache.is_current(path, 7));
            cache.insert(path.into(), 7, vec![secret(path)]);
        }
        assert_eq!(cache.list_finished(), []);
        cache.list_started(); // aborted
        assert!(cache.is_current("a/1", 7));
        cache.list_started();
        assert!(cache.is_current("a/2", 7));
        assert!(!cache.is_current("a/2", 8));
        let removed = cache.list_finished();
        assert_eq!(
            removed,
            [("a/1".into(), RefDelta { gained: vec![], lost: vec![Arc::new(secret("a/1"))] })]
        );
        assert_eq!(cache.remove("a/1"), None);
    }

    #[test]
    fn added_and_removed_references_are_returned() {
        let mut cache = StreamCache::default();
        let key = |name| Arc::new(secret(name));
        let delta = cache.insert("x".into(), 1, vec![secret("p"), secret("q")]);
        assert_eq!(delta, RefDelta { gained: vec![key("p"), key("q")], lost: vec![] });
        assert_eq!(cache.insert("x".into(), 2, vec![secret("p"), secret("q")]), RefDelta::default());
        cache.insert_unreadable("x".into(), 3);
        let delta = cache.insert("x".into(), 4, vec![secret("q"), secret("r")]);
        assert_eq!(delta, RefDelta { gained: vec![key("r")], lost: vec![key("p")] });
        assert_eq!(cache.remove("x").unwrap().lost, [key("q"), key("r")]);
    }
}
