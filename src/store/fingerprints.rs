//! Keyed hashes of a plan's rows: they show which rows changed without reading their bodies.

use crate::secrets::keyring::{Fingerprint, Keyring};

/// Keyed hash of one row: its scope, kind, name, body and secrets.
pub(crate) struct RowFingerprint {
    pub name: Box<str>,
    pub fingerprint: Fingerprint,
}

/// Fingerprints of all rows of one kind, sorted by name.
pub(crate) struct KindFingerprints {
    pub kind: &'static str,
    pub rows: Vec<RowFingerprint>,
}

/// Fingerprints of all rows of a plan, in the order of its kinds.
#[derive(Default)]
pub(crate) struct RowFingerprints(pub Vec<KindFingerprints>);

/// Difference between the rows of one kind in two plans.
pub(crate) struct Difference<'a> {
    pub kind: &'static str,
    /// Rows that are new or changed.
    pub changed: Vec<&'a RowFingerprint>,
    /// Names of rows that only the earlier plan has.
    pub removed: Vec<&'a str>,
}

impl RowFingerprints {
    /// The fingerprint of the whole plan: of its header, which is the tenant's own row, and of every row.
    pub fn of_plan(&self, keyring: &Keyring, header: &str) -> Fingerprint {
        let rows = self.0.iter().flat_map(|kind| &kind.rows).map(|row| row.fingerprint.as_slice());
        keyring.fingerprint([header.as_bytes()].into_iter().chain(rows))
    }

    /// What changed since an earlier plan, kind by kind.
    pub fn since<'a>(&'a self, before: &'a Self) -> Vec<Difference<'a>> {
        let rows = |kind: &str| before.0.iter().find(|before| before.kind == kind);
        let compare =
            |now: &'a KindFingerprints| now.since(rows(now.kind).map_or(&[], |before| &before.rows));
        self.0.iter().map(compare).collect()
    }
}

impl KindFingerprints {
    fn since<'a>(&'a self, before: &'a [RowFingerprint]) -> Difference<'a> {
        let mut difference = Difference { kind: self.kind, changed: Vec::new(), removed: Vec::new() };
        let mut before = before.iter().peekable();
        for row in &self.rows {
            while let Some(old) = before.next_if(|old| old.name < row.name) {
                difference.removed.push(&old.name);
            }
            match before.next_if(|old| old.name == row.name) {
                Some(old) if old.fingerprint == row.fingerprint => {}
                _ => difference.changed.push(row),
            }
        }
        difference.removed.extend(before.map(|old| &*old.name));
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprints(rows: &[(&str, u8)]) -> RowFingerprints {
        let rows = rows
            .iter()
            .map(|(name, byte)| RowFingerprint { name: (*name).into(), fingerprint: [*byte; 16] })
            .collect();
        RowFingerprints(vec![KindFingerprints { kind: "Extension", rows }])
    }

    fn since(before: &[(&str, u8)], now: &[(&str, u8)]) -> (Vec<String>, Vec<String>) {
        let (before, now) = (fingerprints(before), fingerprints(now));
        let difference = now.since(&before).remove(0);
        let changed = difference.changed.iter().map(|row| row.name.to_string()).collect();
        (changed, difference.removed.iter().map(|name| name.to_string()).collect())
    }

    #[test]
    fn changed_added_and_removed_rows_are_found() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let before = [("b", 1), ("c", 1), ("d", 1), ("f", 1)];
        assert_eq!(since(&before, &before), (names(&[]), names(&[])));
        let now = [("a", 1), ("c", 1), ("d", 2), ("e", 1), ("g", 1)];
        assert_eq!(since(&before, &now), (names(&["a", "d", "e", "g"]), names(&["b", "f"])));
        assert_eq!(since(&[], &now[..1]), (names(&["a"]), names(&[])));
        assert_eq!(since(&now[..1], &[]), (names(&[]), names(&["a"])));
    }
}
