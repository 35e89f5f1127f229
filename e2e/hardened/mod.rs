//! What `deploy/freeswitch` says, read without a FreeSWITCH.

pub mod allowlist;

use crate::program::repository;
use crate::xml::tree::Node;

/// A file of `deploy/freeswitch`.
struct File {
    root: Node,
}

impl File {
    fn read(name: &str) -> Self {
        let path = format!("deploy/freeswitch/{name}");
        let text =
            std::fs::read_to_string(repository(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { root: Node::parse_file(&text) }
    }
}
