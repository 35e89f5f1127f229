//! Arrows between the folders of `src` run one way: down the table of docs/architecture.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::repository;

/// The folders in the order of the table, the highest first.
fn folders() -> Vec<String> {
    let text = std::fs::read_to_string(repository("docs/architecture.md")).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with("| folder of `src`"));
    let table = table.take_while(|line| !line.is_empty());
    let rows = table.filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.map(|(folder, _)| folder.to_owned()).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// The folders that a file uses, with the lines: every `crate::FOLDER` outside comments.
fn used(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.flat_map(|(at, line)| line.split("crate::").skip(1).map(move |rest| (at + 1, rest))).map(
        |(at, rest)| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (at, rest.get(..end).unwrap_or_default())
        },
    )
}

#[test]
fn every_folder_is_in_the_table() {
    let there = std::fs::read_dir(repository("src")).unwrap().map(|entry| entry.unwrap().path());
    let there: BTreeSet<_> = there.filter(|path| path.is_dir()).collect();
    let there: BTreeSet<_> = there.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    let folders = folders();
    assert_eq!(there, folders.iter().map(String::as_str).collect());
}

#[test]
fn no_arrow_points_up() {
    let folders = folders();
    let rank = |folder: &str| folders.iter().position(|one| one == folder);
    let (mut up, mut arrows) = (Vec::new(), 0);
    for (own, folder) in folders.iter().enumerate() {
        let mut found = Vec::new();
        files(&repository("src").join(folder), &mut found);
        for file in found {
            let text = std::fs::read_to_string(&file).unwrap();
            for (line, other) in used(&text) {
                let Some(other_rank) = rank(other) else {
                    panic!("{}:{line}: crate::{other} is no folder of src", file.display());
                };
                arrows += 1;
                if other_rank < own {
                    up.push(format!("{}:{line}: {folder} uses {other}", file.display()));
                }
            }
        }
    }
    assert!(arrows > 500, "only {arrows} uses were read");
    assert!(up.is_empty(), "these point up:\n{}", up.join("\n"));
}
