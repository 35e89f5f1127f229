//! The registrations of this switch, as mod_sofia's events and lists show them: counted, and kept as rows in Postgres.
//!
//! Events are applied as they arrive; each comparison of the switch replaces the whole with mod_sofia's own list, which
//! heals what a lost event left behind.

mod registration;
mod rows;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::esl::{CallId, Notify};
use crate::route::legal::Word;

pub use registration::{MAX_CALL_ID, Registration, SipUser, shortened, transport};
pub use writer::Writer;

/// Most registrations of a profile that are kept. FreeSWITCH itself takes a few hundred a second.
const MAX_REGISTRATIONS: usize = 100_000;
/// Difference between two times of expiry that is none: mod_sofia lists seconds that are left, by a clock of its own.
const SAME_EXPIRY: SignedDuration = SignedDuration::from_secs(5);

/// Registrations by profile and user. With `multiple-registrations=false` a user has one at a profile.
type ByProfile = BTreeMap<String, HashMap<SipUser, Registration>>;

/// The registrations of this switch. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Registrations {
    all: Arc<RwLock<ByProfile>>,
    /// Counts the changes.
    changes: Arc<watch::Sender<u64>>,
}

impl Registrations {
    /// A phone has registered, or has refreshed its registration.
    pub fn registered(&self, profile: &str, user: SipUser, new: Registration) {
        self.change(|all| {
            let of_profile = all.entry(profile.to_owned()).or_default();
            if of_profile.len() >= MAX_REGISTRATIONS && !of_profile.contains_key(&user) {
                return false;
            }
            let before = of_profile.get(&user).filter(|before| before.call_id == new.call_id);
            let registered_at = before.map_or(new.registered_at, |before| before.registered_at);
            of_profile.insert(user, Registration { registered_at, ..new });
            true
        });
    }

    /// A registration has ended. One that expired or was flushed is named by its Call-ID, because another one may have
    /// taken its place already.
    pub fn ended(&self, profile: &str, user: &SipUser, call_id: Option<&str>) {
        self.change(|all| {
            let Some(of_profile) = all.get_mut(profile) else { return false };
            let is_meant =
                |held: &Registration| call_id.is_none_or(|call_id| held.call_id.as_deref() == Some(call_id));
            of_profile.get(user).is_some_and(is_meant) && of_profile.remove(user).is_some()
        });
    }

    /// What mod_sofia lists for each running profile; `None` for a profile with too many to list, whose registrations
    /// are known by events alone.
    pub fn listed(&self, listed: BTreeMap<String, Option<Vec<(SipUser, Registration)>>>) {
        self.change(|all| {
            let mut before = std::mem::take(all);
            let mut changed = false;
            for (profile, list) in listed {
                let held = before.remove(&profile).unwrap_or_default();
                let of_profile = match list {
                    None => held,
                    Some(list) => {
                        let merged: HashMap<SipUser, Registration> = list
                            .into_iter()
                            .map(|(user, new)| {
                                let merged = held.get(&user).map_or(new.clone(), |held| held.merged(new));
                                (user, merged)
                            })
                            .collect();
                        changed |= merged != held;
                        merged
                    }
                };
                all.insert(profile, of_profile);
            }
            for (stopped, held) in before {
                changed |= !held.is_empty();
                all.insert(stopped, HashMap::new());
            }
            changed
        });
    }

    /// Applies a change, and says so if there was one.
    fn change(&self, change: impl FnOnce(&mut ByProfile) -> bool) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut all);
        drop(all);
        if changed {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Counts of registrations by profile.
    pub fn counts(&self) -> Vec<(String, usize)> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(profile, held)| (profile.clone(), held.len())).collect()
    }

    /// All registrations that have not expired, with profile and user.
    pub fn current(&self, now: Timestamp) -> Vec<(String, SipUser, Registration)> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let each = all.iter().flat_map(|(profile, held)| {
            held.iter().map(|(user, held)| (profile.clone(), user.clone(), held.clone()))
        });
        each.filter(|(.., held)| held.expires_at > now).collect()
    }

    /// The Call-ID of a user's registration at a profile; `None` if another registration has the same one, which a phone
    /// can choose.
    fn own_call_id(&self, profile: &str, user: &SipUser) -> Option<String> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let of_profile = all.get(profile)?;
        let call_id = of_profile.get(user)?.call_id.clone()?;
        let same = |held: &&Registration| held.call_id.as_ref() == Some(&call_id);
        (of_profile.values().filter(same).count() == 1).then_some(call_id)
    }

    /// A NOTIFY to a user's registration at a profile; `None` if its Call-ID does not tell it from others, or a word of it
    /// cannot be said on the event socket.
    pub fn notify(&self, profile: &str, user: &SipUser, event: &'static str) -> Option<Notify> {
        let call_id = self.own_call_id(profile, user)?;
        Some(Notify {
            profile: Word::new(profile)?,
            user: Word::new(&user.user)?,
            host: Word::new(&user.host)?,
            call_id: CallId::new(&call_id)?,
            event,
        })
    }

    /// Sees changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Registration {
    /// What a list shows of a registration that is known already: the list has no time of registration.
    fn merged(&self, new: Registration) -> Registration {
        if self.call_id != new.call_id {
            return new;
        }
        let difference = new.expires_at.duration_since(self.expires_at).abs();
        let expires_at = if difference <= SAME_EXPIRY { self.expires_at } else { new.expires_at };
        Registration { registered_at: self.registered_at, expires_at, ..new }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-30T12:00:00Z";

    fn user(name: &str) -> SipUser {
        SipUser { user: name.to_owned(), host: "acme.example.com".to_owned() }
    }

    fn registration(call_id: &str, seconds: i64) -> Registration {
        let registered_at: Timestamp = NOW.parse().unwrap();
        Registration {
            call_id: Some(call_id.to_owned()),
            address: "192.0.2.7".parse().ok(),
            port: Some(5060),
            user_agent: "Phone/1.0".to_owned(),
            transport: "udp".to_owned(),
            registered_at,
            expires_at: registered_at + SignedDuration::from_secs(seconds),
        }
    }

    #[test]
    fn an_expired_registration_does_not_end_the_one_that_took_its_place() {
        let all = Registrations::default();
        all.registered("internal", user("1001"), registration("a", 300));
        all.registered("internal", user("1001"), registration("b", 300));
        all.ended("internal", &user("1001"), Some("a"));
        assert_eq!(all.counts(), [("internal".to_owned(), 1)]);
        all.ended("internal", &user("1001"), None);
        assert_eq!(all.counts(), [("internal".to_owned(), 0)]);
    }

    #[test]
    fn a_list_removes_what_it_lacks_and_changes_nothing_that_is_the_same() {
        let all = Registrations::default();
        all.registered("internal", user("1001"), registration("a", 300));
        all.registered("browsers", user("1001"), registration("b", 300));
        let mut changes = all.changes();
        changes.mark_unchanged();
        let list = |seconds| vec![(user("1001"), registration("a", seconds))];
        let both = |first| BTreeMap::from([("internal".to_owned(), first), ("browsers".to_owned(), None)]);
        all.listed(both(Some(list(298))));
        assert!(!changes.has_changed().unwrap(), "two seconds are no difference");
        all.listed(both(Some(Vec::new())));
        assert!(changes.has_changed().unwrap());
        let expected = [("browsers".to_owned(), 1), ("internal".to_owned(), 0)];
        assert_eq!(all.counts(), expected, "a profile with too many keeps what events say");
        all.listed(BTreeMap::new());
        let expected = ["browsers", "internal"].map(|profile| (profile.to_owned(), 0));
        assert_eq!(all.counts(), expected, "a profile that stopped has none");
    }

    #[test]
    fn a_call_id_that_two_registrations_have_is_nobodys_own() {
        let all = Registrations::default();
        all.registered("internal", user("1001"), registration("a", 300));
        assert_eq!(all.own_call_id("internal", &user("1001")).as_deref(), Some("a"));
        all.registered("internal", user("1002"), registration("a", 300));
        assert_eq!(all.own_call_id("internal", &user("1001")), None);
    }

    #[test]
    fn a_registration_that_was_not_refreshed_is_not_current() {
        let all = Registrations::default();
        all.registered("internal", user("1001"), registration("a", 300));
        let now: Timestamp = NOW.parse().unwrap();
        assert_eq!(all.current(now).len(), 1);
        assert_eq!(all.current(now + SignedDuration::from_secs(301)).len(), 0);
    }
}
