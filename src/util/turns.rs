//! A queue in which namespaces take turns: thousands of one keep the next of another waiting for one turn.

use std::collections::{HashMap, VecDeque};

/// What waits, in the order of its coming within a namespace.
#[derive(Debug)]
pub struct Turns<K> {
    waiting: HashMap<Option<String>, VecDeque<K>>,
    /// Namespaces of which something waits, the next one first.
    turns: VecDeque<Option<String>>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), turns: VecDeque::new() }
    }
}

impl<K> Turns<K> {
    /// Puts one behind the others of its namespace.
    pub fn push(&mut self, namespace: Option<&str>, key: K) {
        self.line(namespace).push_back(key);
    }

    /// Puts one before all others: its turn was broken off.
    pub fn push_first(&mut self, namespace: Option<&str>, key: K) {
        self.line(namespace).push_front(key);
        if let Some(place) = self.turns.iter().position(|turn| turn.as_deref() == namespace)
            && let Some(turn) = self.turns.remove(place)
        {
            self.turns.push_front(turn);
        }
    }

    fn line(&mut self, namespace: Option<&str>) -> &mut VecDeque<K> {
        let namespace = namespace.map(str::to_owned);
        let line = self.waiting.entry(namespace.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(namespace);
        }
        line
    }

    /// Takes the next: the first of the namespace that has waited longest.
    pub fn take(&mut self) -> Option<K> {
        let turn = self.turns.pop_front()?;
        let line = self.waiting.get_mut(&turn)?;
        let key = line.pop_front();
        match line.is_empty() {
            true => drop(self.waiting.remove(&turn)),
            false => self.turns.push_back(turn),
        }
        key
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Forgets all.
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
        let taken: Vec<_> = (0..6).filter_map(|_| turns.take()).collect();
        assert_eq!(taken, [0, 5000, 6000, 1, 5001, 2]);
        turns.push_first(Some("bulk"), 2);
        assert_eq!((turns.len(), turns.take()), (998, Some(2)));
        let rest: Vec<_> = std::iter::from_fn(|| turns.take()).collect();
        assert_eq!(rest, (3..1000).collect::<Vec<_>>());
        assert!(turns.is_empty());
    }
}
