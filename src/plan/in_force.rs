//! Stored rows, each with the Kubernetes object that it was compiled from.

use std::collections::HashMap;

/// The object that a row was compiled from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// UID of the object: one that was deleted and created again under the same name has another UID.
    pub uid: String,
    /// Generation of the object's spec; `None` for an object from a folder, where generations are not counted.
    pub generation: Option<i64>,
}

/// Stored rows of a plan, some or all, each with its origin where the origin is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InForce<P> {
    /// The rows.
    pub plan: P,
    /// Origins of the rows, by kind and name.
    origins: HashMap<(String, String), Origin>,
}

impl<P> InForce<P> {
    /// Rows without origins.
    pub fn new(plan: P) -> Self {
        Self { plan, origins: HashMap::new() }
    }

    /// Sets the origin of a row.
    pub fn note(&mut self, kind: &str, name: &str, origin: Origin) {
        self.origins.insert((kind.to_owned(), name.to_owned()), origin);
    }

    /// The origin of a row, if the row was compiled from the object with this UID.
    pub fn origin(&self, kind: &str, name: &str, uid: Option<&str>) -> Option<&Origin> {
        let origin = self.origins.get(&(kind.to_owned(), name.to_owned()))?;
        (Some(origin.uid.as_str()) == uid).then_some(origin)
    }
}
