//! A fair queue: namespaces take turns, so that thousands of keys of one namespace delay a key of another
//! by one turn only.

use std::collections::{HashMap, VecDeque};

/// The queue; first in, first out within a namespace.
#[derive(Debug)]
pub struct Turns<K> {
    waiting: HashMap<Option<String>, VecDeque<K>>,
    /// Namespaces with waiting keys, the next one first.
    turns: VecDeque<Option<String>>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), turns: VecDeque::new() }
    }
}

impl<K> Turns<K> {
    /// Appends a key to the line of its namespace.
    pub fn push(&mut self, namespace: Option<&str>, key: K) {
        self.line(namespace).push_back(key);
    }

    /// Puts a key before all others, to repeat a turn that failed.
    pub fn push_first(&mut self, namespace: Option<&str>, key: K) {
        self.line(namespace).push_front(key);
        if let Some(index) = self.turns.iter().position(|turn| turn.as_deref() == namespace)
            && let Some(turn) = self.turns.remove(index)
        {
            self.turns.push_front(turn);
        }
    }

    /// The line of a namespace, which gets a turn when it was empty.
    fn line(&mut self, namespace: Option<&str>) -> &mut VecDeque<K> {
        let namespace = namespace.map(str::to_owned);
        let line = self.waiting.entry(namespace.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(namespace);
        }
        line
    }

    /// Removes and returns the next key: the first of the namespace whose turn it is.
    pub fn pop(&mut self) -> Option<K> {
        let turn = self.turns.pop_front()?;
        let line = self.waiting.get_mut(&turn)?;
        let key = line.pop_front();
        match line.is_empty() {
            true => drop(self.waiting.remove(&turn)),
            false => self.turns.push_back(turn),
        }
        key
    }

    /// Number of waiting keys.
    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// True when no key waits.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Removes all keys.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.turns.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_take_turns() {
        let mut turns = Turns::default();
        for number in 0..1000 {
            turns.push(Some("bulk"), number);
        }
        turns.push(Some("one"), 5000);
        turns.push(None, 6000);
        turns.push(Some("one"), 5001);
        let first: Vec<_> = (0..6).filter_map(|_| turns.pop()).collect();
        assert_eq!(first, [0, 5000, 6000, 1, 5001, 2]);
        turns.push_first(Some("bulk"), 2);
        assert_eq!((turns.len(), turns.pop()), (998, Some(2)));
        let rest: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(rest, (3..1000).collect::<Vec<_>>());
        assert!(turns.is_empty());
    }
}
