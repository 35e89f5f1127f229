//! Checks of the static files in `deploy/freeswitch`, without a FreeSWITCH.

pub mod allowlist;
mod files;

use crate::program::repository;
use crate::xml::tree::Node;

/// A file of `deploy/freeswitch`.
struct File {
    path: String,
    root: Node,
}

impl File {
    fn read(name: &str) -> Self {
        let path = format!("deploy/freeswitch/{name}");
        let text =
            std::fs::read_to_string(repository(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { root: Node::parse_file(&text), path }
    }

    /// The file of a configuration, by its name.
    fn of(configuration: &str) -> Self {
        Self::read(&format!("autoload_configs/{configuration}.conf.xml"))
    }

    /// Panics with the rule unless the file keeps it.
    fn require(&self, rule: &str, holds: bool) {
        assert!(holds, "{}: {rule}", self.path);
    }

    /// Panics unless a parameter has this value, with the reason.
    fn require_value(&self, name: &str, value: &str, why: &str) {
        let said = self.root.value(name);
        assert_eq!(said, Some(value), "{}: {name} must be {value}: {why}", self.path);
    }
}
