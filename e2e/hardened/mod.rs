//! What `deploy/freeswitch` says, read without a FreeSWITCH.

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

    /// The file of a configuration.
    fn of(configuration: &str) -> Self {
        Self::read(&format!("autoload_configs/{configuration}.conf.xml"))
    }

    /// A rule that the file keeps, as a sentence.
    fn keeps(&self, rule: &str, holds: bool) {
        assert!(holds, "{}: {rule}", self.path);
    }

    /// A parameter that is so, because of what it says.
    fn says(&self, name: &str, value: &str, why: &str) {
        let said = self.root.value(name);
        assert_eq!(said, Some(value), "{}: {name} must be {value}: {why}", self.path);
    }
}
