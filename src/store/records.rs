//! A plan's rows as records, whatever their kind: the one form in which rows are written to Postgres, read
//! back, and kept in cache files.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::fingerprints::{KindFingerprints, RowFingerprint, RowFingerprints};
use super::revision_log::Names;
use crate::plan::{PlatformPlan, Row, Rows, Secrets, TenantPlan, platform_rows, tenant_rows};
use crate::resources::Kind;
use crate::secrets::keyring::{AssociatedData, Fingerprint, Keyring};

/// The scope of rows that belong to no tenant.
pub(crate) const PLATFORM: &str = "platform";

/// A plan as records of its rows.
pub(crate) trait PlanRecords {
    /// Fingerprints of all rows.
    fn fingerprints(&self, keyring: &Keyring, scope: &str) -> Result<RowFingerprints, StoreError>;

    /// All rows.
    fn records(&self) -> Result<RowRecords, StoreError>;

    /// Rows of one kind, in the order of the names.
    ///
    /// # Errors
    /// When the plan has no such kind or no such row.
    fn rows_named(&self, kind: &str, names: &[&str]) -> Result<Vec<RowRecord>, StoreError>;

    /// Inserts rows that were read.
    ///
    /// # Errors
    /// When a row is of a kind that the plan does not have, or does not deserialise.
    fn load(&mut self, records: RowRecords) -> Result<(), StoreError>;

    /// Removes rows.
    fn remove(&mut self, names: &Names);
}

macro_rules! plan_records {
    ($plan:ident { $($other:ident)? } $($field:ident: $row:ty),+) => {
        impl PlanRecords for $plan {
            fn fingerprints(&self, keyring: &Keyring, scope: &str) -> Result<RowFingerprints, StoreError> {
                // Names every field of the plan: one that `tenant_rows` or `platform_rows` lacks does not compile.
                let Self { $($other: _,)? $($field),+ } = self;
                Ok(RowFingerprints(vec![$(fingerprints_of(keyring, scope, $field)?),+]))
            }

            fn records(&self) -> Result<RowRecords, StoreError> {
                Ok(RowRecords([$(records_of(&self.$field)?),+].into()))
            }

            fn rows_named(&self, kind: &str, names: &[&str]) -> Result<Vec<RowRecord>, StoreError> {
                match Kind::by_name(kind) {
                    $(Some(<$row as Row>::KIND) => named(&self.$field, names),)+
                    _ => Err(StoreError::unreadable(kind, &names.join(", "), "its kind is unknown")),
                }
            }

            fn load(&mut self, mut records: RowRecords) -> Result<(), StoreError> {
                $(records.load(&mut self.$field)?;)+
                records.expect_empty()
            }

            fn remove(&mut self, names: &Names) {
                $(remove(&mut self.$field, names.get(<$row as Row>::KIND.as_str()));)+
            }
        }
    };
}

tenant_rows!(plan_records TenantPlan { tenant });
platform_rows!(plan_records PlatformPlan {});

/// A row: its body as JSON, and its secrets, which are sealed only in Postgres.
#[derive(Serialize, Deserialize)]
pub(crate) struct RowRecord {
    pub name: String,
    pub body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<BTreeMap<String, String>>,
}

impl RowRecord {
    fn new<T: Row>(name: &str, row: &T) -> Result<Self, StoreError> {
        let body = serde_json::to_string(row)
            .map_err(|error| StoreError::unreadable(T::KIND.as_str(), name, error))?;
        let revealed = |secrets: &Secrets| {
            secrets.reveal().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let secrets = row.secrets().filter(|secrets| !secrets.is_empty()).map(revealed);
        Ok(Self { name: name.to_owned(), body, secrets })
    }

    /// The `sealed` column; `None` for a row without secrets.
    pub fn seal(&self, keyring: &Keyring, scope: &str, kind: &str) -> Option<Vec<u8>> {
        // A map of strings always serialises.
        let secrets = serde_json::to_vec(self.secrets.as_ref()?).unwrap_or_default();
        Some(keyring.seal(AssociatedData { scope, table: kind, name: &self.name }, &secrets))
    }

    /// A row from its columns.
    ///
    /// # Errors
    /// When its secrets were not sealed with one of the keys, for this scope, kind and name.
    pub fn unseal(
        keyring: &Keyring,
        scope: &str,
        kind: &str,
        (name, body, sealed): (String, String, Option<Vec<u8>>),
    ) -> Result<Self, StoreError> {
        let open = |sealed: Vec<u8>| {
            let place = AssociatedData { scope, table: kind, name: &name };
            let secrets =
                keyring.unseal(place, &sealed).map_err(|error| StoreError::unreadable(kind, &name, error))?;
            serde_json::from_slice(&secrets).map_err(|error| StoreError::unreadable(kind, &name, error))
        };
        let secrets = sealed.map(open).transpose()?;
        Ok(Self { name, body, secrets })
    }
}

/// Rows of several kinds, by kind.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RowRecords(BTreeMap<String, Vec<RowRecord>>);

impl RowRecords {
    /// Adds a row.
    pub fn push(&mut self, kind: &str, row: RowRecord) {
        match self.0.get_mut(kind) {
            Some(rows) => rows.push(row),
            None => drop(self.0.insert(kind.to_owned(), vec![row])),
        }
    }

    /// Moves the rows of one kind into a plan.
    fn load<T: Row>(&mut self, rows: &mut Rows<T>) -> Result<(), StoreError> {
        for record in self.0.remove(T::KIND.as_str()).unwrap_or_default() {
            let mut row: T = serde_json::from_str(&record.body)
                .map_err(|error| StoreError::unreadable(T::KIND.as_str(), &record.name, error))?;
            if let (Some(values), Some(secrets)) = (record.secrets, row.secrets_mut()) {
                *secrets = Secrets::from_revealed(values);
            }
            rows.insert(record.name, row);
        }
        Ok(())
    }

    /// Refuses rows that no kind of the plan has taken.
    fn expect_empty(self) -> Result<(), StoreError> {
        match self.0.into_iter().next() {
            Some((kind, rows)) => {
                let name = rows.first().map_or("", |row| &row.name);
                Err(StoreError::unreadable(&kind, name, "its kind is unknown"))
            }
            None => Ok(()),
        }
    }
}

fn fingerprints_of<T: Row>(
    keyring: &Keyring,
    scope: &str,
    rows: &Rows<T>,
) -> Result<KindFingerprints, StoreError> {
    let mut body = Vec::new(); // one buffer for all rows
    let fingerprint = |(name, row): (&String, &T)| {
        body.clear();
        serde_json::to_writer(&mut body, row)
            .map_err(|error| StoreError::unreadable(T::KIND.as_str(), name, error))?;
        let identity = [scope.as_bytes(), T::KIND.as_str().as_bytes(), name.as_bytes(), &body];
        let secrets = row.secrets().into_iter().flat_map(Secrets::reveal);
        let secrets = secrets.flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let fingerprint = keyring.fingerprint(identity.into_iter().chain(secrets));
        Ok(RowFingerprint { name: name.as_str().into(), fingerprint })
    };
    Ok(KindFingerprints {
        kind: T::KIND.as_str(),
        rows: rows.iter().map(fingerprint).collect::<Result<_, _>>()?,
    })
}

fn records_of<T: Row>(rows: &Rows<T>) -> Result<(String, Vec<RowRecord>), StoreError> {
    let records = rows.iter().map(|(name, row)| RowRecord::new(name, row));
    Ok((T::KIND.to_string(), records.collect::<Result<_, _>>()?))
}

fn named<T: Row>(rows: &Rows<T>, names: &[&str]) -> Result<Vec<RowRecord>, StoreError> {
    let record = |name: &&str| match rows.get(*name) {
        Some(row) => RowRecord::new(name, row),
        None => Err(StoreError::unreadable(T::KIND.as_str(), name, "the plan has no such row")),
    };
    names.iter().map(record).collect()
}

fn remove<T: Row>(rows: &mut Rows<T>, names: Option<&BTreeSet<String>>) {
    names.into_iter().flatten().for_each(|name| drop(rows.remove(name)));
}

/// A tenant's plan, ready to be written.
pub(crate) struct Prepared {
    /// The tenant's id: the scope that its sealed values are bound to.
    pub scope: String,
    /// The tenant's own row as JSON.
    pub body: String,
    pub fingerprints: RowFingerprints,
    pub fingerprint: Fingerprint,
}

impl Prepared {
    pub fn of(keyring: &Keyring, plan: &TenantPlan) -> Result<Self, StoreError> {
        let scope = plan.tenant.id.to_string();
        let unreadable = |error| StoreError::unreadable("Tenant", &scope, error);
        let body = serde_json::to_string(&plan.tenant).map_err(unreadable)?;
        let fingerprints = plan.fingerprints(keyring, &scope)?;
        let fingerprint = fingerprints.of_plan(keyring, &body);
        Ok(Self { scope, body, fingerprints, fingerprint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_an_unknown_kind_is_refused() {
        let mut records = RowRecords::default();
        records.push("Fax", RowRecord { name: "old".into(), body: "{}".into(), secrets: None });
        let error = PlatformPlan::default().load(records).unwrap_err().to_string();
        assert!(error.contains("Fax old") && error.contains("unknown"), "{error}");
        assert!(PlatformPlan::default().rows_named("Fax", &["old"]).is_err());
        assert!(PlatformPlan::default().rows_named("Trunk", &["a/b"]).is_err());
    }
}
