//! Claims on what is unique in the whole installation: domains, public numbers, MAC addresses and tenant identities. The
//! oldest claimant is the holder; of equally old ones the first by name.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use jiff::Timestamp;
use uuid::Uuid;

use crate::resources::{Device, Number, Tenant};
use crate::source::index::key_of;
use crate::source::object::created;
use crate::source::{ResourceIndex, TenantKey};
use crate::util::domain::canonical;

/// Most digits of an emergency number that passes every DialRule of the platform, such as 112. A longer
/// number is an emergency number only by the tenant's own claim, so that a DialRule may block it.
pub const UNDENIABLE_DIGITS: usize = 3;

/// A claimant: creation time, tenant, and name of the Number. The smallest is the holder.
type Claimant = (Timestamp, TenantKey, String);

/// Fewest characters of what the numbers of a block begin with (`resources/number.rs`).
const SHORTEST_BLOCK: usize = 6;

/// The claims of all tenants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    domains: BTreeMap<String, BTreeSet<Claimant>>,
    numbers: BTreeMap<String, BTreeSet<Claimant>>,
    /// Blocks of numbers, by what their numbers begin with, each with the first and last digits.
    blocks: BTreeMap<String, BTreeSet<(Claimant, String, String)>>,
    identities: BTreeMap<Uuid, BTreeSet<Claimant>>,
    macs: BTreeMap<String, BTreeSet<Claimant>>,
    /// Existing tenants, each with the allowed prefixes of its public numbers. A Number whose tenant is
    /// missing, or whose prefix is not allowed, holds nothing.
    tenants: BTreeMap<TenantKey, Vec<String>>,
    emergency_numbers: BTreeSet<String>,
}

impl Claims {
    /// Collects the claims of all resources in an index.
    pub fn new(index: &ResourceIndex) -> Self {
        let mut claims = Self::default();
        index.tenants().for_each(|tenant| claims.add_tenant(tenant));
        index.numbers().for_each(|number| claims.add_number(number));
        index.devices().for_each(|device| claims.add_device(device));
        // Unreadable Tenants exist, so Numbers that name them keep their claims.
        for tenant in index.unreadable_tenants() {
            claims.tenants.entry(tenant).or_default();
        }
        claims
    }

    /// Adds what a tenant claims.
    pub fn add_tenant(&mut self, tenant: &Tenant) {
        let Some(key) = key_of(tenant) else { return };
        let age = created(&tenant.metadata);
        for domain in domains(tenant) {
            self.domains.entry(domain).or_default().insert((age, key.clone(), String::new()));
        }
        if let Some(emergency) = &tenant.spec.emergency {
            let short = emergency.numbers.iter().filter(|number| number.len() <= UNDENIABLE_DIGITS);
            self.emergency_numbers.extend(short.cloned());
        }
        if let Some(id) = tenant_id(tenant) {
            self.identities.entry(id).or_default().insert((age, key.clone(), String::new()));
        }
        self.tenants.insert(key, tenant.spec.allowed_numbers.clone());
    }

    /// Adds what a Number claims.
    pub fn add_number(&mut self, number: &Number) {
        let Some(claimant) = claimant(number) else { return };
        let key = number.spec.number.clone();
        match &number.spec.range {
            Some(range) => {
                let block = (claimant, range.first.clone(), range.last.clone());
                self.blocks.entry(key).or_default().insert(block);
            }
            None => {
                self.numbers.entry(key).or_default().insert(claimant);
            }
        }
    }

    /// Adds the MAC address that a Device claims.
    pub fn add_device(&mut self, device: &Device) {
        let Some(claimant) = device_claimant(device) else { return };
        self.macs.entry(device.spec.mac.clone()).or_default().insert(claimant);
    }

    /// Removes the claim that [`Self::add_device`] added.
    pub fn remove_device(&mut self, device: &Device) {
        let Some(claimant) = device_claimant(device) else { return };
        self.macs.entry(device.spec.mac.clone()).or_default().remove(&claimant);
    }

    /// Removes the claims that [`Self::add_tenant`] added. Emergency numbers stay, because other tenants
    /// may have the same.
    pub fn remove_tenant(&mut self, tenant: &Tenant) {
        let Some(key) = key_of(tenant) else { return };
        for domain in domains(tenant) {
            self.domains.entry(domain).or_default().retain(|(_, holder, _)| *holder != key);
        }
        if let Some(id) = tenant_id(tenant) {
            self.identities.entry(id).or_default().retain(|(_, holder, _)| *holder != key);
        }
        self.tenants.remove(&key);
    }

    /// Removes the claim that [`Self::add_number`] added.
    pub fn remove_number(&mut self, number: &Number) {
        let namespace = number.metadata.namespace.as_deref().unwrap_or_default();
        let name = number.metadata.name.as_deref().unwrap_or_default();
        let other = |(_, tenant, holder): &Claimant| tenant.namespace != namespace || holder != name;
        if let Some(claimants) = self.numbers.get_mut(&number.spec.number) {
            claimants.retain(other);
        }
        if let Some(claimants) = self.blocks.get_mut(&number.spec.number) {
            claimants.retain(|(claimant, ..)| other(claimant));
        }
    }

    /// The tenant that holds a domain, in its canonical form.
    pub fn domain(&self, domain: &str) -> Option<&TenantKey> {
        self.domains.get(domain)?.first().map(|(_, key, _)| key)
    }

    /// The tenant and the Device that hold a MAC address: the oldest of an existing tenant.
    pub fn mac(&self, mac: &str) -> Option<(&TenantKey, &str)> {
        let mut claimants = self.macs.get(mac)?.iter();
        let holder = claimants.find(|(_, tenant, _)| self.tenants.contains_key(tenant))?;
        Some((&holder.1, holder.2.as_str()))
    }

    /// The tenant and the Number that hold a public number, alone or in a block.
    pub fn number(&self, number: &str) -> Option<(&TenantKey, &str)> {
        let mut alone = self.numbers.get(number).into_iter().flatten();
        let alone = alone
            .find(|claimant| self.single_rival(number, claimant).is_none() && self.may(number, claimant));
        let block = || {
            let mut blocks = self.blocks_around(number);
            blocks.find(|block| self.block_holds(*block)).map(|block| block.claimant)
        };
        alone.or_else(block).map(|(_, key, name)| (key, name.as_str()))
    }

    /// Whether a Number holds what it claims.
    pub fn holds(&self, number: &Number) -> bool {
        let (first, last) = number.spec.ends();
        claimant(number)
            .is_some_and(|me| self.may(&first, &me) && self.may(&last, &me) && self.rival(number).is_none())
    }

    /// The tenant and the Number that hold what a Number claims, or a part of it. Within one tenant, a Number
    /// may be one of a block.
    pub fn rival(&self, number: &Number) -> Option<(&TenantKey, &str)> {
        let me = claimant(number)?;
        let key = &number.spec.number;
        let rival = match &number.spec.range {
            Some(range) => {
                self.block_rival(Block { prefix: key, claimant: &me, first: &range.first, last: &range.last })
            }
            None => self.single_rival(key, &me),
        };
        rival.map(|(_, tenant, name)| (tenant, name.as_str()))
    }

    /// The oldest Number that takes a single number from a claimant.
    fn single_rival(&self, number: &str, me: &Claimant) -> Option<&Claimant> {
        let older = self.numbers.get(number).into_iter().flatten().take_while(|other| *other < me);
        let mut older =
            older.filter(|other| self.may(number, other) && self.single_rival(number, other).is_none());
        let mut blocks = self
            .blocks_around(number)
            .filter(|block| block.claimant < me && block.claimant.1 != me.1 && self.block_holds(*block));
        older.next().or_else(|| blocks.next().map(|block| block.claimant))
    }

    /// The oldest Number that takes a part of a block.
    fn block_rival(&self, me: Block<'_>) -> Option<&Claimant> {
        let others = self
            .blocks_beside(me.prefix)
            .filter(|other| other.claimant < me.claimant && other.overlaps(me) && self.block_holds(*other));
        let within = self.numbers.range(me.prefix.to_owned()..);
        let within = within.take_while(|(number, _)| number.starts_with(me.prefix));
        let singles = within.filter(|(number, _)| me.has(number)).flat_map(|(number, claimants)| {
            claimants.iter().filter(move |other| {
                *other < me.claimant
                    && other.1 != me.claimant.1
                    && self.may(number, other)
                    && self.single_rival(number, other).is_none()
            })
        });
        others.map(|other| other.claimant).chain(singles).min()
    }

    fn block_holds(&self, block: Block<'_>) -> bool {
        let ends = [block.first, block.last];
        ends.iter().all(|digits| self.may(&[block.prefix, digits].concat(), block.claimant))
            && self.block_rival(block).is_none()
    }

    /// Blocks that have a number, whether they hold it or not.
    fn blocks_around<'a>(&'a self, number: &str) -> impl Iterator<Item = Block<'a>> {
        let longest = if self.blocks.is_empty() { 0 } else { number.len() };
        let prefixes = (SHORTEST_BLOCK..longest).filter_map(|end| number.get(..end));
        let blocks = prefixes.filter_map(|prefix| self.blocks.get_key_value(prefix));
        blocks.flat_map(Self::blocks_with).filter(move |block| block.has(number))
    }

    /// Blocks whose numbers begin as those of another, or with fewer or more of its digits.
    fn blocks_beside<'a>(&'a self, prefix: &str) -> impl Iterator<Item = Block<'a>> {
        let shorter = (SHORTEST_BLOCK..prefix.len()).filter_map(|end| prefix.get(..end));
        let shorter = shorter.filter_map(|prefix| self.blocks.get_key_value(prefix));
        let longer = self.blocks.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let longer = longer.take_while(move |(other, _)| other.starts_with(prefix));
        shorter.chain(longer).flat_map(Self::blocks_with)
    }

    fn blocks_with<'a>(
        (prefix, blocks): (&'a String, &'a BTreeSet<(Claimant, String, String)>),
    ) -> impl Iterator<Item = Block<'a>> {
        blocks.iter().map(move |(claimant, first, last)| Block { prefix, claimant, first, last })
    }

    fn may(&self, number: &str, (_, tenant, _): &Claimant) -> bool {
        self.may_hold(tenant, number)
    }

    /// Whether a tenant exists and its `allowedNumbers` permit a public number.
    pub fn may_hold(&self, tenant: &TenantKey, number: &str) -> bool {
        let allows = |allowed: &Vec<String>| {
            allowed.is_empty() || allowed.iter().any(|beginning| number.starts_with(beginning.as_str()))
        };
        self.tenants.get(tenant).is_some_and(allows)
    }

    /// The tenant that has an identity.
    pub fn identity(&self, id: Uuid) -> Option<&TenantKey> {
        self.identities.get(&id)?.first().map(|(_, key, _)| key)
    }

    /// Emergency numbers of all tenants that pass every DialRule of the platform.
    pub fn emergency_numbers(&self) -> &BTreeSet<String> {
        &self.emergency_numbers
    }

    /// Tenants that claim something whose holder differs between two states.
    pub fn moved(&self, after: &Self) -> BTreeSet<TenantKey> {
        let mut moved = BTreeSet::new();
        differing(&self.domains, &after.domains, &mut moved);
        differing(&self.identities, &after.identities, &mut moved);
        let macs = self.macs.keys().chain(after.macs.keys());
        for mac in macs.filter(|mac| self.mac(mac) != after.mac(mac)) {
            let claimants = [self, after].into_iter().filter_map(|claims| claims.macs.get(mac));
            moved.extend(claimants.flatten().map(|(_, tenant, _)| tenant.clone()));
        }
        let numbers = self.numbers.keys().chain(after.numbers.keys());
        for number in numbers.filter(|number| self.number(number) != after.number(number)) {
            let claimants = [self, after].into_iter().filter_map(|claims| claims.numbers.get(number));
            moved.extend(claimants.flatten().map(|(_, tenant, _)| tenant.clone()));
        }
        let held = |claims: &Self| -> BTreeSet<(Claimant, String, String, String)> {
            let all = claims.blocks.iter().flat_map(Self::blocks_with);
            all.filter(|block| claims.block_holds(*block))
                .map(|b| (b.claimant.clone(), b.prefix.to_owned(), b.first.to_owned(), b.last.to_owned()))
                .collect()
        };
        let blocks = held(self);
        moved.extend(blocks.symmetric_difference(&held(after)).map(|((_, tenant, _), ..)| tenant.clone()));
        moved
    }
}

/// A block that a Number claims.
#[derive(Clone, Copy)]
struct Block<'a> {
    /// What its numbers begin with.
    prefix: &'a str,
    claimant: &'a Claimant,
    /// Last digits of its first number.
    first: &'a str,
    /// Last digits of its last number.
    last: &'a str,
}

impl Block<'_> {
    fn has(&self, number: &str) -> bool {
        let digits = number.strip_prefix(self.prefix);
        digits.is_some_and(|digits| {
            digits.len() == self.first.len() && self.first <= digits && digits <= self.last
        })
    }

    /// Whether two blocks have a number in common. Numbers of one length are in order of their digits.
    fn overlaps(&self, other: Block<'_>) -> bool {
        let ends = |block: &Block| [block.first, block.last].map(|digits| [block.prefix, digits].concat());
        let ([first, last], [other_first, other_last]) = (ends(self), ends(&other));
        first.len() == other_first.len() && first <= other_last && other_first <= last
    }
}

/// The claimant that a Number is.
fn claimant(number: &Number) -> Option<Claimant> {
    let namespace = number.metadata.namespace.clone()?;
    let tenant = TenantKey { namespace, name: number.spec.tenant_ref.name.clone() };
    Some((created(&number.metadata), tenant, number.metadata.name.clone().unwrap_or_default()))
}

/// The claimant that a Device is.
fn device_claimant(device: &Device) -> Option<Claimant> {
    let namespace = device.metadata.namespace.clone()?;
    let tenant = TenantKey { namespace, name: device.spec.tenant_ref.name.clone() };
    Some((created(&device.metadata), tenant, device.metadata.name.clone().unwrap_or_default()))
}

/// Adds all claimants of each key whose holder differs.
fn differing<K: Ord>(
    before: &BTreeMap<K, BTreeSet<Claimant>>,
    after: &BTreeMap<K, BTreeSet<Claimant>>,
    moved: &mut BTreeSet<TenantKey>,
) {
    for key in before.keys().chain(after.keys()) {
        let (old, new) = (before.get(key), after.get(key));
        if old.and_then(BTreeSet::first) != new.and_then(BTreeSet::first) {
            moved.extend(old.into_iter().chain(new).flatten().map(|(_, tenant, _)| tenant.clone()));
        }
    }
}

/// The valid domains of a tenant, in canonical form.
pub fn domains(tenant: &Tenant) -> impl Iterator<Item = String> {
    tenant.spec.domains.iter().filter_map(|domain| canonical(domain).map(Cow::into_owned))
}

/// Identity of a tenant: `spec.tenantId`, else its UID.
pub fn tenant_id(tenant: &Tenant) -> Option<Uuid> {
    let text = tenant.spec.tenant_id.as_deref().or(tenant.metadata.uid.as_deref())?;
    Uuid::parse_str(text).ok()
}

#[cfg(test)]
mod tests {
    use crate::resources::Kind;
    use serde_json::json;

    use super::*;
    use crate::source::{Change, Object, ObjectKey, Unreadable};

    #[test]
    fn only_an_existing_tenant_holds_a_number() {
        let read = |kind: &str, namespace: &str, year: u32, spec: serde_json::Value| {
            let object = json!({"apiVersion": "centrex.dev/v1alpha1", "kind": kind, "spec": spec,
                "metadata": {"namespace": namespace, "name": "it", "creationTimestamp": format!("{year}-01-01T00:00:00Z")}});
            Change::Upsert(Object::from_json(kind, object).unwrap().unwrap())
        };
        let number = json!({"tenantRef": {"name": "it"}, "number": "+493012345600", "trunkRef": {"name": "carrier"},
            "destination": {"kind": "Conference", "name": "it"}});
        let mut index = ResourceIndex::default();
        index.apply(read("Number", "older", 2020, number.clone()));
        index.apply(read("Number", "younger", 2021, number));
        index.apply(read("Tenant", "younger", 2021, json!({"domains": ["younger.example.com"]})));
        let holder = |index: &ResourceIndex| {
            Claims::new(index).number("+493012345600").map(|(tenant, _)| tenant.namespace.clone())
        };
        assert_eq!(holder(&index).as_deref(), Some("younger"));
        // An unreadable Tenant exists.
        let key =
            ObjectKey { kind: Kind::Tenant, namespace: Some("older".to_owned()), name: "it".to_owned() };
        let message = String::new();
        index.apply(Change::Unreadable(Unreadable { key, tenant: None, message }));
        assert_eq!(holder(&index).as_deref(), Some("older"));
    }

    #[test]
    fn a_number_moves_in_spite_of_an_older_claim_of_a_deleted_tenant() {
        let key = |namespace: &str| TenantKey { namespace: namespace.to_owned(), name: "it".to_owned() };
        let claims = |all: &[&str]| Claims {
            tenants: ["older", "younger"].map(|name| (key(name), Vec::new())).into(),
            numbers: [(
                "+493012345600".to_owned(),
                all.iter()
                    .zip(0..)
                    .map(|(of, age)| {
                        (Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(age), key(of), String::new())
                    })
                    .collect(),
            )]
            .into(),
            ..Claims::default()
        };
        let (before, after) = (claims(&["gone", "older", "younger"]), claims(&["gone", "younger"]));
        assert_eq!(before.moved(&after), [key("gone"), key("older"), key("younger")].into());
        assert_eq!(before.moved(&before), BTreeSet::new());
    }

    /// A Number of a tenant `it` in a namespace, with a name and a year of creation.
    fn number(namespace: &str, name: &str, year: u32, number: &str, range: Option<(&str, &str)>) -> Number {
        let mut spec = json!({"tenantRef": {"name": "it"}, "number": number, "trunkRef": {"name": "carrier"},
            "destination": {"kind": "Conference", "name": "it"}});
        if let Some((first, last)) = range {
            spec["range"] = json!({"first": first, "last": last});
        }
        let metadata = json!({"namespace": namespace, "name": name,
            "creationTimestamp": format!("{year}-01-01T00:00:00Z")});
        serde_json::from_value(json!({"apiVersion": "centrex.dev/v1alpha1", "kind": "Number", "spec": spec, "metadata": metadata}))
            .unwrap()
    }

    fn claims(numbers: &[Number]) -> Claims {
        let key = |namespace: &str| TenantKey { namespace: namespace.to_owned(), name: "it".to_owned() };
        let mut claims =
            Claims { tenants: ["a", "b"].map(|name| (key(name), Vec::new())).into(), ..Claims::default() };
        numbers.iter().for_each(|number| claims.add_number(number));
        claims
    }

    #[test]
    fn the_oldest_holds_a_number_alone_or_in_a_block() {
        let block = number("a", "block", 2020, "+4930231251", Some(("00", "99")));
        let own = number("a", "own", 2021, "+493023125117", None);
        let theirs = number("b", "theirs", 2021, "+493023125118", None);
        let older = number("b", "older", 2019, "+4930231251", Some(("90", "99")));
        let held = |claims: &Claims, number: &str| {
            claims.number(number).map(|(tenant, name)| format!("{}/{name}", tenant.namespace))
        };
        let before = claims(&[block.clone(), own.clone(), theirs.clone()]);
        assert_eq!(held(&before, "+493023125100").as_deref(), Some("a/block"));
        assert_eq!(held(&before, "+493023125117").as_deref(), Some("a/own"));
        assert_eq!(held(&before, "+493023125118").as_deref(), Some("a/block"));
        for none in ["+4930231251", "+49302312510", "+4930231251000", "+493023125200", "12"] {
            assert_eq!(held(&before, none), None, "{none}");
        }
        assert!(before.holds(&block) && before.holds(&own) && !before.holds(&theirs));
        // A block that loses a part is refused as a whole, and what it kept from others is theirs.
        let mut after = before.clone();
        after.add_number(&older);
        assert!(!after.holds(&block) && after.holds(&own) && after.holds(&theirs) && after.holds(&older));
        assert_eq!(held(&after, "+493023125100"), None);
        assert_eq!(held(&after, "+493023125195").as_deref(), Some("b/older"));
        let both: BTreeSet<String> =
            before.moved(&after).into_iter().map(|tenant| tenant.namespace).collect();
        assert_eq!(both, ["a".to_owned(), "b".to_owned()].into());
        after.remove_number(&older);
        assert_eq!(held(&after, "+493023125118").as_deref(), Some("a/block"));
        assert_eq!(before.moved(&after), BTreeSet::new());
    }

    #[test]
    fn blocks_overlap_whatever_they_begin_with() {
        let wide = number("a", "wide", 2020, "+4930231", Some(("2500", "2599")));
        for (prefix, first, last, overlaps) in [
            ("+493023125", "10", "10", true),
            ("+49302312", "599", "600", true),
            ("+49302312", "600", "699", false),
            ("+4930231259", "0", "9", true),
            ("+493023125", "0", "9", false),
        ] {
            let other = number("a", "other", 2021, prefix, Some((first, last)));
            let claims = claims(&[wide.clone(), other.clone()]);
            assert_eq!(claims.rival(&other).is_some(), overlaps, "{prefix} {first}-{last}");
            assert!(claims.holds(&wide));
        }
    }
}
