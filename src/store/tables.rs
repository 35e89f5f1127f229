//! Plans as tables: every kind of row, one line a kind, for all that writes, reads or caches them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::fingerprints::{RowFingerprint, RowFingerprints, TableFingerprints};
use crate::plan::{PlatformPlan, Row, Rows, Secrets, TenantPlan, tenant_rows};
use crate::secrets::keyring::{AssociatedData, Fingerprint, Keyring};

/// The scope of rows that belong to no tenant.
pub(crate) const PLATFORM: &str = "platform";

/// A plan that is kept as tables.
pub(crate) trait Tables {
    /// Names of the tables.
    const NAMES: &'static [&'static str];

    /// What tells its rows from others.
    fn prints(&self, keyring: &Keyring, scope: &str) -> Result<RowFingerprints, StoreError>;

    /// All rows as they are to be stored.
    fn images(&self) -> Result<Vec<TableImage>, StoreError>;

    /// Some rows of a table as they are to be stored.
    fn some(&self, table: &str, names: &[&str]) -> Result<Vec<RowImage>, StoreError>;

    /// Puts rows in that were read.
    fn fill(&mut self, rows: StoredRows) -> Result<(), StoreError>;

    /// Takes rows of a table out.
    fn take_out(&mut self, table: &str, names: &BTreeSet<String>);
}

macro_rules! tables {
    ($plan:ty: $($table:ident),+ $(,)?) => {
        impl Tables for $plan {
            const NAMES: &'static [&'static str] = &[$(stringify!($table)),+];

            fn prints(&self, keyring: &Keyring, scope: &str) -> Result<RowFingerprints, StoreError> {
                Ok(RowFingerprints(vec![$(prints(keyring, scope, &self.$table)?),+]))
            }

            fn images(&self) -> Result<Vec<TableImage>, StoreError> {
                Ok(vec![$(TableImage::of(&self.$table)?),+])
            }

            fn some(&self, table: &str, names: &[&str]) -> Result<Vec<RowImage>, StoreError> {
                let some = names.iter().copied();
                match table {
                    $(stringify!($table) => {
                        some.filter_map(|name| Some(RowImage::of(name, self.$table.get(name)?))).collect()
                    })+
                    _ => Ok(Vec::new()),
                }
            }

            fn fill(&mut self, mut rows: StoredRows) -> Result<(), StoreError> {
                $(rows.take(&mut self.$table)?;)+
                Ok(())
            }

            fn take_out(&mut self, table: &str, names: &BTreeSet<String>) {
                match table {
                    $(stringify!($table) => names.iter().for_each(|name| drop(self.$table.remove(name))),)+
                    _ => {}
                }
            }
        }
    };
}

tables!(PlatformPlan: sip_profiles, trunks, dial_rules);
tenant_rows! { tables TenantPlan: }

/// The rows of one kind as they are to be stored.
pub(crate) struct TableImage {
    pub table: &'static str,
    pub rows: Vec<RowImage>,
}

/// A row as it is to be stored; its secrets are sealed only when it is written.
pub(crate) struct RowImage {
    pub name: String,
    pub body: String,
    pub secrets: Option<BTreeMap<String, String>>,
}

/// What tells the rows of one kind from others.
fn prints<T: Row>(keyring: &Keyring, scope: &str, rows: &Rows<T>) -> Result<TableFingerprints, StoreError> {
    let mut body = Vec::new(); // the same for all of them
    let print = |(name, row): (&String, &T)| {
        body.clear();
        serde_json::to_writer(&mut body, row)
            .map_err(|error| StoreError::unreadable(T::TABLE, name, error))?;
        let identity = [scope.as_bytes(), T::TABLE.as_bytes(), name.as_bytes(), &body];
        let secrets = row.secrets().into_iter().flat_map(Secrets::reveal);
        let secrets = secrets.flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let fingerprint = keyring.fingerprint(identity.into_iter().chain(secrets));
        Ok(RowFingerprint { name: name.as_str().into(), fingerprint })
    };
    Ok(TableFingerprints { table: T::TABLE, rows: rows.iter().map(print).collect::<Result<_, _>>()? })
}

impl TableImage {
    fn of<T: Row>(rows: &Rows<T>) -> Result<Self, StoreError> {
        let rows = rows.iter().map(|(name, row)| RowImage::of(name, row));
        Ok(Self { table: T::TABLE, rows: rows.collect::<Result<_, _>>()? })
    }
}

impl RowImage {
    fn of<T: Row>(name: &str, row: &T) -> Result<Self, StoreError> {
        let body =
            serde_json::to_string(row).map_err(|error| StoreError::unreadable(T::TABLE, name, error))?;
        let revealed = |secrets: &Secrets| {
            secrets.reveal().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let secrets = row.secrets().filter(|secrets| !secrets.is_empty()).map(revealed);
        Ok(Self { name: name.to_owned(), body, secrets })
    }

    /// The sealed column: null for a row without secrets.
    pub fn sealed(&self, keyring: &Keyring, scope: &str, table: &str) -> Option<Vec<u8>> {
        // A map of strings always serialises.
        let secrets = serde_json::to_vec(self.secrets.as_ref()?).unwrap_or_default();
        Some(keyring.seal(AssociatedData { scope, table, name: &self.name }, &secrets))
    }
}

/// A tenant's plan, ready to be stored.
pub(crate) struct Prepared {
    /// The tenant's id: what its sealed values are bound to.
    pub scope: String,
    /// The tenant itself as JSON.
    pub body: String,
    pub prints: RowFingerprints,
    pub fingerprint: Fingerprint,
}

impl Prepared {
    pub fn of(keyring: &Keyring, plan: &TenantPlan) -> Result<Self, StoreError> {
        let scope = plan.tenant.id.to_string();
        let unreadable = |error| StoreError::unreadable("tenants", &scope, error);
        let body = serde_json::to_string(&plan.tenant).map_err(unreadable)?;
        let prints = plan.prints(keyring, &scope)?;
        let fingerprint = prints.of_plan(keyring, &body);
        Ok(Self { scope, body, prints, fingerprint })
    }
}

/// A row that was read, its secrets open. What a cache file holds too.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredRow {
    pub name: String,
    pub body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<BTreeMap<String, String>>,
}

impl StoredRow {
    /// A row as Postgres gives it.
    pub fn unseal(
        keyring: &Keyring,
        scope: &str,
        table: &str,
        (name, body, sealed): (String, String, Option<Vec<u8>>),
    ) -> Result<Self, StoreError> {
        let open = |sealed: Vec<u8>| {
            let place = AssociatedData { scope, table, name: &name };
            let secrets = keyring
                .unseal(place, &sealed)
                .map_err(|error| StoreError::unreadable(table, &name, error))?;
            serde_json::from_slice(&secrets).map_err(|error| StoreError::unreadable(table, &name, error))
        };
        let secrets = sealed.map(open).transpose()?;
        Ok(Self { name, body, secrets })
    }
}

/// Rows that were read, by table.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoredRows(HashMap<String, Vec<StoredRow>>);

impl StoredRows {
    /// Puts a row in.
    pub fn push(&mut self, table: &str, row: StoredRow) {
        match self.0.get_mut(table) {
            Some(rows) => rows.push(row),
            None => drop(self.0.insert(table.to_owned(), vec![row])),
        }
    }

    /// Rows as they would be read back.
    pub fn from_images(images: Vec<TableImage>) -> Self {
        let open = |row: RowImage| StoredRow { name: row.name, body: row.body, secrets: row.secrets };
        Self(
            images
                .into_iter()
                .map(|image| (image.table.to_owned(), image.rows.into_iter().map(open).collect()))
                .collect(),
        )
    }

    fn take<T: Row>(&mut self, rows: &mut Rows<T>) -> Result<(), StoreError> {
        for stored in self.0.remove(T::TABLE).unwrap_or_default() {
            let mut row: T = serde_json::from_str(&stored.body)
                .map_err(|error| StoreError::unreadable(T::TABLE, &stored.name, error))?;
            if let (Some(values), Some(secrets)) = (stored.secrets, row.secrets_mut()) {
                *secrets = Secrets::from_revealed(values);
            }
            rows.insert(stored.name, row);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_their_tables() {
        let images = PlatformPlan::default().images().unwrap();
        let tables: Vec<_> = images.iter().map(|image| image.table).collect();
        assert_eq!(tables, PlatformPlan::NAMES);
    }
}
