//! The sessions of all users: who may return to which, and how many a user has.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::MAX_PER_USER;
use super::message::Address;
use super::session::Event;

/// A user at a profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct User {
    /// Name of the profile.
    pub profile: String,
    /// Address in From.
    pub address: Address,
}

/// One session of a user.
struct Entry {
    id: u64,
    /// Instance of its browser; without one no browser can return to it.
    instance: Option<String>,
    inbox: mpsc::Sender<Event>,
    is_registered: bool,
    /// Whether its browser is gone, and may return.
    is_waiting: bool,
    stop: CancellationToken,
}

type Table = HashMap<User, Vec<Entry>>;

/// All sessions. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Sessions {
    table: Arc<Mutex<Table>>,
    next_id: Arc<AtomicU64>,
}

/// A session in the table, until this is dropped.
pub(super) struct Registered {
    sessions: Sessions,
    user: User,
    id: u64,
    /// Ends the session.
    pub stop: CancellationToken,
}

impl Sessions {
    /// A number that no session and no browser has.
    pub fn id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The registered session of a user's instance.
    pub fn of_instance(&self, user: &User, instance: &str) -> Option<mpsc::Sender<Event>> {
        let table = self.table();
        let entries = table.get(user)?;
        let entry =
            entries.iter().find(|entry| entry.is_registered && entry.instance.as_deref() == Some(instance));
        entry.map(|entry| entry.inbox.clone())
    }

    /// Whether a user has as many registered browsers as allowed. Those that may return make room.
    pub fn is_full(&self, user: &User) -> bool {
        let table = self.table();
        let entries = table.get(user).into_iter().flatten();
        entries.filter(|entry| entry.is_registered && !entry.is_waiting).count() >= MAX_PER_USER
    }

    /// Adds a session.
    pub fn insert(
        &self,
        user: User,
        instance: Option<String>,
        inbox: mpsc::Sender<Event>,
        stop: CancellationToken,
    ) -> Registered {
        let id = self.id();
        let entry =
            Entry { id, instance, inbox, is_registered: false, is_waiting: false, stop: stop.clone() };
        self.table().entry(user.clone()).or_default().push(entry);
        Registered { sessions: self.clone(), user, id, stop }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    /// The user.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Records that FreeSWITCH accepted a REGISTER. False when the user has as many browsers as allowed; one that is
    /// gone makes room.
    pub fn register(&self) -> bool {
        let mut table = self.sessions.table();
        let Some(entries) = table.get_mut(&self.user) else { return false };
        let others = entries.iter().filter(|entry| entry.is_registered && entry.id != self.id);
        if others.count() >= MAX_PER_USER {
            let gone = entries.iter_mut().find(|entry| entry.is_waiting && entry.id != self.id);
            let Some(gone) = gone else { return false };
            gone.is_registered = false;
            gone.stop.cancel();
        }
        entries.iter_mut().filter(|entry| entry.id == self.id).for_each(|entry| {
            entry.is_registered = true;
            entry.is_waiting = false;
        });
        true
    }

    /// Records that the browser is gone, and may return.
    pub fn wait(&self) {
        let mut table = self.sessions.table();
        let entries = table.get_mut(&self.user).into_iter().flatten();
        entries.filter(|entry| entry.id == self.id).for_each(|entry| entry.is_waiting = true);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut table = self.sessions.table();
        if let Some(entries) = table.get_mut(&self.user) {
            entries.retain(|entry| entry.id != self.id);
            if entries.is_empty() {
                table.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        let address = Address { user: name.to_owned(), domain: "acme.example.com".to_owned() };
        User { profile: "web".to_owned(), address }
    }

    fn insert(sessions: &Sessions, name: &str, instance: &str) -> Registered {
        let (inbox, _) = mpsc::channel(1);
        sessions.insert(user(name), Some(instance.to_owned()), inbox, CancellationToken::new())
    }

    #[test]
    fn only_registered_sessions_count_and_one_that_waits_makes_room() {
        let sessions = Sessions::default();
        let strangers: Vec<_> = (0..9).map(|_| insert(&sessions, "1002", "x")).collect();
        assert!(!sessions.is_full(&user("1002")), "anybody can claim a user");
        assert!(sessions.of_instance(&user("1002"), "x").is_none(), "and an instance");
        drop(strangers);
        let (a, b, c) =
            (insert(&sessions, "1002", "a"), insert(&sessions, "1002", "b"), insert(&sessions, "1002", "c"));
        assert!(a.register() && b.register() && a.register());
        assert!(sessions.is_full(&user("1002")) && !sessions.is_full(&user("1003")));
        assert!(!c.register(), "two browsers are there");
        a.wait();
        assert!(!sessions.is_full(&user("1002")) && sessions.of_instance(&user("1002"), "a").is_some());
        assert!(c.register() && a.stop.is_cancelled() && !b.stop.is_cancelled());
        assert!(sessions.of_instance(&user("1002"), "a").is_none());
        drop((a, b, c));
        assert!(sessions.table().is_empty());
    }
}
