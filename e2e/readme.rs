//! The commands of README.md, exactly as written: a test runs each block, and replaces only the placeholders
//! that the page names.

mod blocks;
mod cluster;
mod machine;
mod sandbox;

use std::collections::BTreeSet;

use blocks::{RUN_BY, blocks, placeholders};

use crate::program::repository;
use crate::skip::is_test;

#[test]
fn every_block_is_run_by_a_test() {
    let first_lines: Vec<String> =
        blocks().iter().map(|block| block.lines().next().unwrap_or_default().to_owned()).collect();
    let listed: Vec<&str> = RUN_BY.iter().map(|(line, _)| *line).collect();
    assert_eq!(first_lines, listed, "README.md's blocks, and those that blocks.rs says who runs");
    for (line, test) in RUN_BY {
        assert!(is_test(test) || *test == "make test", "{line}: there is no test {test}");
    }
}

#[test]
fn every_placeholder_is_used_and_explained() {
    let text: String = blocks().concat();
    let words = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned).collect()
    };
    let used = words(&text);
    for placeholder in placeholders() {
        assert!(used.contains(&placeholder), "no command has {placeholder}");
    }
}

#[test]
fn every_named_make_target_exists() {
    let makefile = std::fs::read_to_string(repository("Makefile")).unwrap();
    let exists = |target: &str| makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
    let mut count = 0;
    for file in ["README.md", "CONTRIBUTING.md", "docs/standalone.md", "deploy/samples/README.md"] {
        let text = std::fs::read_to_string(repository(file)).unwrap();
        for target in text.split("`make ").skip(1).map(|rest| rest.split(['`', ' ', '\n']).next().unwrap()) {
            assert!(exists(target), "{file}: make {target}");
            count += 1;
        }
    }
    assert!(count > 5, "{count}");
}

#[test]
fn every_link_has_a_target() {
    for file in ["README.md", "docs/standalone.md"] {
        let text = std::fs::read_to_string(repository(file)).unwrap();
        let folder = repository(file).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let path = link.split('#').next().unwrap();
            assert!(link.starts_with("https://") || folder.join(path).exists(), "{file}: {link}");
        }
    }
}
