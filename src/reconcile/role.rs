//! What this process does beside compiling: follow, connect to the store, or write to it.

use tokio_util::task::AbortOnDropHandle;

use crate::store::Store;

/// Role of this process.
#[derive(Default)]
pub(super) enum Role {
    /// Another process writes, or none does. Changes are applied, and nothing is published.
    #[default]
    Following,
    /// This process leads and is not connected to the store yet. Problems are published with the category of the
    /// error of the last attempt.
    Connecting { store_error: &'static str },
    /// This process leads and writes.
    Writing(Box<Writer>),
}

/// State of a process that writes.
pub(super) struct Writer {
    pub store: Store,
    /// Whether stored tenants without a resource were removed.
    pub sweep_done: bool,
    /// Whether Postgres was set back to an older state, and not everything is stored again yet.
    pub set_back: bool,
    /// Whether switches may hold tenants that do not exist.
    pub has_strays: bool,
    /// Makes switches drop these tenants.
    pub stray_removal: Option<AbortOnDropHandle<()>>,
    /// Tasks that delete call records and recordings past their retention, until this value is dropped.
    pub _pruners: Vec<AbortOnDropHandle<()>>,
}

impl Role {
    /// Whether this process leads.
    pub fn leads(&self) -> bool {
        !matches!(self, Self::Following)
    }

    /// The state of a process that writes.
    pub fn writer(&self) -> Option<&Writer> {
        match self {
            Self::Writing(writer) => Some(writer),
            Self::Following | Self::Connecting { .. } => None,
        }
    }

    /// The same, to be changed.
    pub fn writer_mut(&mut self) -> Option<&mut Writer> {
        match self {
            Self::Writing(writer) => Some(writer),
            Self::Following | Self::Connecting { .. } => None,
        }
    }

    /// The store, while this process writes to it.
    pub fn store(&self) -> Option<&Store> {
        self.writer().map(|writer| &writer.store)
    }

    /// Category of the error for which this leader has no store.
    pub fn store_error(&self) -> Option<&'static str> {
        match self {
            Self::Connecting { store_error } => Some(store_error),
            Self::Following | Self::Writing(_) => None,
        }
    }

    /// Whether Postgres was set back, and not everything is stored again yet.
    pub fn is_set_back(&self) -> bool {
        self.writer().is_some_and(|writer| writer.set_back)
    }

    /// Records that switches may hold tenants that do not exist.
    pub fn suspect_strays(&mut self) {
        if let Some(writer) = self.writer_mut() {
            writer.has_strays = true;
        }
    }
}
