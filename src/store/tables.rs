//! Plans as tables: every kind of row, one line a kind, for all that writes, reads or caches them.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::keyring::{Fingerprint, Keyring, Place};
use crate::plan::{PlatformPlan, Row, Rows, TenantPlan};

/// The scope of rows that belong to no tenant.
pub(crate) const PLATFORM: &str = "platform";

/// A plan that is kept as tables.
pub(crate) trait Tables {
    /// Names of the tables.
    const NAMES: &'static [&'static str];

    /// All rows as they are to be stored.
    fn images(&self, keyring: &Keyring, scope: &str) -> Result<Vec<TableImage>, StoreError>;

    /// Puts rows in that were read.
    fn fill(&mut self, rows: StoredRows) -> Result<(), StoreError>;
}

macro_rules! tables {
    ($plan:ty: $($table:ident),+ $(,)?) => {
        impl Tables for $plan {
            const NAMES: &'static [&'static str] = &[$(stringify!($table)),+];

            fn images(&self, keyring: &Keyring, scope: &str) -> Result<Vec<TableImage>, StoreError> {
                Ok(vec![$(TableImage::of(keyring, scope, &self.$table)?),+])
            }

            fn fill(&mut self, mut rows: StoredRows) -> Result<(), StoreError> {
                $(rows.take(&mut self.$table)?;)+
                Ok(())
            }
        }
    };
}

tables!(PlatformPlan: sip_profiles, trunks, dial_rules);
tables!(
    TenantPlan: extensions,
    ring_groups,
    queues,
    ivr_menus,
    conferences,
    schedules,
    numbers,
    outbound_routes,
    feature_codes,
);

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
    pub fingerprint: Fingerprint,
}

impl TableImage {
    fn of<T: Row>(keyring: &Keyring, scope: &str, rows: &Rows<T>) -> Result<Self, StoreError> {
        let rows = rows.iter().map(|(name, row)| RowImage::of(keyring, scope, name, row));
        Ok(Self { table: T::TABLE, rows: rows.collect::<Result<_, _>>()? })
    }
}

impl RowImage {
    fn of<T: Row>(keyring: &Keyring, scope: &str, name: &str, row: &T) -> Result<Self, StoreError> {
        let body =
            serde_json::to_string(row).map_err(|error| StoreError::unreadable(T::TABLE, name, error))?;
        let secrets =
            row.secrets().filter(|secrets| !secrets.is_empty()).map(|secrets| secrets.reveal().clone());
        let identity = [scope, T::TABLE, name, &body];
        let secret = secrets.iter().flatten().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        let fingerprint = keyring.fingerprint(identity.into_iter().chain(secret).map(str::as_bytes));
        Ok(Self { name: name.to_owned(), body, secrets, fingerprint })
    }

    /// The sealed column: null for a row without secrets.
    pub fn sealed(&self, keyring: &Keyring, scope: &str, table: &str) -> Option<Vec<u8>> {
        // A map of strings always serialises.
        let secrets = serde_json::to_vec(self.secrets.as_ref()?).unwrap_or_default();
        Some(keyring.seal(Place { scope, table, name: &self.name }, &secrets))
    }
}

/// The fingerprint of a whole plan: of what it has beside its tables, and of every row.
pub(crate) fn plan_fingerprint(keyring: &Keyring, beside: &str, images: &[TableImage]) -> Fingerprint {
    let rows = images.iter().flat_map(|image| &image.rows).map(|row| row.fingerprint.as_slice());
    keyring.fingerprint([beside.as_bytes()].into_iter().chain(rows))
}

/// A tenant's plan, ready to be stored.
pub(crate) struct Prepared {
    /// The tenant's id: what its sealed values are bound to.
    pub scope: String,
    /// The tenant itself as JSON.
    pub body: String,
    pub images: Vec<TableImage>,
    pub fingerprint: Fingerprint,
}

impl Prepared {
    pub fn of(keyring: &Keyring, plan: &TenantPlan) -> Result<Self, StoreError> {
        let scope = plan.tenant.id.to_string();
        let unreadable = |error| StoreError::unreadable("tenants", &scope, error);
        let body = serde_json::to_string(&plan.tenant).map_err(unreadable)?;
        let images = plan.images(keyring, &scope)?;
        let fingerprint = plan_fingerprint(keyring, &body, &images);
        Ok(Self { scope, body, images, fingerprint })
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
            let place = Place { scope, table, name: &name };
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
                *secrets = crate::plan::Secrets::from_revealed(values);
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
        let keyring = Keyring::parse("test".as_ref(), &format!("1:{}=", "A".repeat(43))).unwrap();
        let images = PlatformPlan::default().images(&keyring, PLATFORM).unwrap();
        let tables: Vec<_> = images.iter().map(|image| image.table).collect();
        assert_eq!(tables, PlatformPlan::NAMES);
    }
}
