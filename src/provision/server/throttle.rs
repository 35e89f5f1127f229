//! Limits of requests: of each address without a right credential, of its wrong credentials, and of each Device.
//!
//! Own code, because each limit counts something else: a right request gives back what its challenge took, so that an
//! office behind one address is not slowed down, and a wrong credential that is repeated, as by one phone with an old
//! password, is one guess.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::http::connection_limit::Peer;

/// Window of an address's requests.
const REQUESTS_WINDOW: Duration = Duration::from_secs(60);
/// Window of an address's wrong credentials.
const GUESSES_WINDOW: Duration = Duration::from_secs(600);
/// Window of a Device's fetches.
const FETCHES_WINDOW: Duration = Duration::from_secs(3600);
/// Most addresses, and most Devices, that are counted.
const MAX_COUNTED: usize = 100_000;

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests of an address in a minute that show no right credential.
    pub requests_per_minute: u32,
    /// Different wrong credentials of an address in ten minutes.
    pub guesses: u32,
    /// Files of a Device in an hour.
    pub fetches_per_hour: u32,
}

impl Default for Limits {
    /// An office of 100 phones behind one address may start at once, each with challenges that are given back only when
    /// its credential comes; and all of them may have an old password.
    fn default() -> Self {
        Self { requests_per_minute: 300, guesses: 100, fetches_per_hour: 60 }
    }
}

/// Counts requests.
#[derive(Debug)]
pub struct Throttle {
    limits: Limits,
    keys: RandomState,
    addresses: Mutex<HashMap<Peer, Address>>,
    devices: Mutex<HashMap<u64, Window>>,
}

#[derive(Debug)]
struct Window {
    begin: Instant,
    count: u32,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { begin: now, count: 0 }
    }

    /// The count in the current window.
    fn count(&mut self, now: Instant, length: Duration) -> &mut u32 {
        if now.duration_since(self.begin) >= length {
            *self = Self::new(now);
        }
        &mut self.count
    }
}

#[derive(Debug)]
struct Address {
    requests: Window,
    /// Wrong credentials by their hash, with the time of the first.
    guesses: Vec<(u64, Instant)>,
}

impl Throttle {
    /// Counts against these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, keys: RandomState::new(), addresses: Mutex::default(), devices: Mutex::default() }
    }

    /// Counts a request of an address. False when a limit is reached.
    pub fn request(&self, address: IpAddr, now: Instant) -> bool {
        let mut addresses = lock(&self.addresses);
        make_room(&mut addresses, |address| {
            now.duration_since(address.requests.begin) < REQUESTS_WINDOW || !address.guesses.is_empty()
        });
        let new = || Address { requests: Window::new(now), guesses: Vec::new() };
        let counted = addresses.entry(Peer::remote(address)).or_insert_with(new);
        counted.guesses.retain(|(_, first)| now.duration_since(*first) < GUESSES_WINDOW);
        let requests = counted.requests.count(now, REQUESTS_WINDOW);
        let free = *requests < self.limits.requests_per_minute;
        *requests = requests.saturating_add(1);
        free && counted.guesses.len() < self.limits.guesses as usize
    }

    /// Records that the last request of an address showed a right credential: it, and the challenge before it, count no
    /// more.
    pub fn right(&self, address: IpAddr) {
        if let Some(counted) = lock(&self.addresses).get_mut(&Peer::remote(address)) {
            counted.requests.count = counted.requests.count.saturating_sub(2);
        }
    }

    /// Counts a wrong credential of an address. True when it reaches the limit.
    pub fn wrong(&self, address: IpAddr, credential: &[u8], now: Instant) -> bool {
        let hash = self.keys.hash_one(credential);
        if let Some(counted) = lock(&self.addresses).get_mut(&Peer::remote(address))
            && counted.guesses.iter().all(|(known, _)| *known != hash)
            && counted.guesses.len() < self.limits.guesses as usize
        {
            counted.guesses.push((hash, now));
            return counted.guesses.len() == self.limits.guesses as usize;
        }
        false
    }

    /// Counts a file of a Device. False when the limit is reached.
    pub fn fetch(&self, tenant: Uuid, device: &str, now: Instant) -> bool {
        let mut devices = lock(&self.devices);
        make_room(&mut devices, |window| now.duration_since(window.begin) < FETCHES_WINDOW);
        let key = self.keys.hash_one((tenant, device));
        let window = devices.entry(key).or_insert_with(|| Window::new(now));
        let fetches = window.count(now, FETCHES_WINDOW);
        let free = *fetches < self.limits.fetches_per_hour;
        *fetches = fetches.saturating_add(1);
        free
    }
}

/// Removes what no longer counts once there are too many; if all of it counts, all of it.
fn make_room<K: Eq + Hash, V>(counted: &mut HashMap<K, V>, counts: impl Fn(&V) -> bool) {
    if counted.len() >= MAX_COUNTED {
        counted.retain(|_, value| counts(value));
        if counted.len() >= MAX_COUNTED {
            counted.clear();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> Throttle {
        Throttle::new(Limits { requests_per_minute: 3, guesses: 2, fetches_per_hour: 2 })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_without_right_credentials_is_limited_and_others_are_not() {
        let (throttle, now) = (throttle(), Instant::now());
        let asked = |text: &str, now| throttle.request(address(text), now);
        assert_eq!([0; 4].map(|_| asked("192.0.2.1", now)), [true, true, true, false]);
        assert!(asked("192.0.2.2", now));
        assert!(asked("192.0.2.1", now + REQUESTS_WINDOW));
        assert!(!["1", "2", "3", "4"].map(|host| asked(&format!("2001:db8::{host}"), now))[3]);
    }

    #[test]
    fn an_office_of_right_phones_is_not_limited() {
        let (throttle, now) = (throttle(), Instant::now());
        for _ in 0..100 {
            assert!(throttle.request(address("192.0.2.1"), now), "the challenge");
            assert!(throttle.request(address("192.0.2.1"), now), "the answer");
            throttle.right(address("192.0.2.1"));
        }
    }

    #[test]
    fn different_guesses_count_and_one_that_is_repeated_is_one() {
        let (throttle, now) = (throttle(), Instant::now());
        let guess = |password: &[u8], now| {
            let free = throttle.request(address("192.0.2.1"), now);
            throttle.wrong(address("192.0.2.1"), password, now);
            throttle.right(address("192.0.2.1"));
            free
        };
        assert_eq!([0; 5].map(|_| guess(b"old", now)), [true; 5]);
        assert!(guess(b"other", now));
        assert!(!guess(b"third", now));
        assert!(guess(b"third", now + GUESSES_WINDOW));
    }

    #[test]
    fn a_device_is_limited_alone() {
        let (throttle, now) = (throttle(), Instant::now());
        let fetch = |device, now| throttle.fetch(Uuid::nil(), device, now);
        assert_eq!([0; 3].map(|_| fetch("desk", now)), [true, true, false]);
        assert!(fetch("other", now) && fetch("desk", now + FETCHES_WINDOW));
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, now) = (throttle(), Instant::now());
        for host in 0..u32::try_from(MAX_COUNTED).unwrap() + 10 {
            throttle.request(IpAddr::from(host.to_be_bytes()), now);
        }
        assert!(lock(&throttle.addresses).len() <= MAX_COUNTED);
    }
}
