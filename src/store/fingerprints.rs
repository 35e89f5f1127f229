//! Fingerprints of a plan's rows: what tells, without their bodies, which of them changed.

use crate::secrets::keyring::{Fingerprint, Keyring};

/// What tells a row from the one that was stored.
pub(crate) struct RowFingerprint {
    pub name: Box<str>,
    pub fingerprint: Fingerprint,
}

/// Those of one table, in order of their names.
pub(crate) struct TableFingerprints {
    pub table: &'static str,
    pub rows: Vec<RowFingerprint>,
}

/// Those of a whole plan, in order of its tables.
#[derive(Default)]
pub(crate) struct RowFingerprints(pub Vec<TableFingerprints>);

/// How the rows of one table differ from those before.
pub(crate) struct Difference<'a> {
    pub table: &'static str,
    /// New or other than before.
    pub changed: Vec<&'a RowFingerprint>,
    /// No longer there.
    pub gone: Vec<&'a str>,
}

impl RowFingerprints {
    /// The fingerprint of the plan: of what it has beside its tables, and of every row.
    pub fn of_plan(&self, keyring: &Keyring, beside: &str) -> Fingerprint {
        let rows = self.0.iter().flat_map(|table| &table.rows).map(|row| row.fingerprint.as_slice());
        keyring.fingerprint([beside.as_bytes()].into_iter().chain(rows))
    }

    /// How they differ from those before, table by table.
    pub fn since<'a>(&'a self, before: &'a Self) -> Vec<Difference<'a>> {
        let rows = |table: &str| before.0.iter().find(|before| before.table == table);
        let pair = |now: &'a TableFingerprints| now.since(rows(now.table).map_or(&[], |before| &before.rows));
        self.0.iter().map(pair).collect()
    }
}

impl TableFingerprints {
    fn since<'a>(&'a self, before: &'a [RowFingerprint]) -> Difference<'a> {
        let mut difference = Difference { table: self.table, changed: Vec::new(), gone: Vec::new() };
        let mut before = before.iter().peekable();
        for row in &self.rows {
            while let Some(old) = before.next_if(|old| old.name < row.name) {
                difference.gone.push(&old.name);
            }
            match before.next_if(|old| old.name == row.name) {
                Some(old) if old.fingerprint == row.fingerprint => {}
                _ => difference.changed.push(row),
            }
        }
        difference.gone.extend(before.map(|old| &*old.name));
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prints(rows: &[(&str, u8)]) -> RowFingerprints {
        let rows = rows
            .iter()
            .map(|(name, byte)| RowFingerprint { name: (*name).into(), fingerprint: [*byte; 16] })
            .collect();
        RowFingerprints(vec![TableFingerprints { table: "extensions", rows }])
    }

    fn since(before: &[(&str, u8)], now: &[(&str, u8)]) -> (Vec<String>, Vec<String>) {
        let (before, now) = (prints(before), prints(now));
        let difference = now.since(&before).remove(0);
        let changed = difference.changed.iter().map(|print| print.name.to_string()).collect();
        (changed, difference.gone.iter().map(|name| name.to_string()).collect())
    }

    #[test]
    fn what_changed_came_and_went_is_told_apart() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let before = [("b", 1), ("c", 1), ("d", 1), ("f", 1)];
        assert_eq!(since(&before, &before), (names(&[]), names(&[])));
        let now = [("a", 1), ("c", 1), ("d", 2), ("e", 1), ("g", 1)];
        assert_eq!(since(&before, &now), (names(&["a", "d", "e", "g"]), names(&["b", "f"])));
        assert_eq!(since(&[], &now[..1]), (names(&["a"]), names(&[])));
        assert_eq!(since(&now[..1], &[]), (names(&[]), names(&["a"])));
    }
}
