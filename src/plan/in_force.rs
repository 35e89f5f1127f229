//! Rows as the store has them, with the object that each was compiled from.

use std::collections::HashMap;

/// The object that a row was compiled from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Its UID: an object that is made anew under the same name is another one.
    pub uid: String,
    /// The generation of its spec; none where nobody counts, as in a folder.
    pub generation: Option<i64>,
}

/// What is in force: rows of a plan, some or all, each with its origin where that is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InForce<P> {
    /// The rows.
    pub plan: P,
    /// Their origins, by table and name.
    origins: HashMap<(String, String), Origin>,
}

impl<P> InForce<P> {
    /// Rows without origins.
    pub fn new(plan: P) -> Self {
        Self { plan, origins: HashMap::new() }
    }

    /// Notes the origin of a row.
    pub fn note(&mut self, table: &str, name: &str, origin: Origin) {
        self.origins.insert((table.to_owned(), name.to_owned()), origin);
    }

    /// The origin of a row, if it is an object of a UID.
    pub fn origin(&self, table: &str, name: &str, uid: Option<&str>) -> Option<&Origin> {
        let origin = self.origins.get(&(table.to_owned(), name.to_owned()))?;
        (Some(origin.uid.as_str()) == uid).then_some(origin)
    }
}
