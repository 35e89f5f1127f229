//! The blocks of commands in README.md, and which test runs each.

use std::collections::BTreeMap;

use crate::program::repository;

/// First line of each block, in the order of the page, and the test that runs it.
pub const RUN_BY: &[(&str, &str)] = &[
    ("git clone REPOSITORY centrex", "readme::machine::the_documented_clone_works"),
    ("make demo", "readme::machine::the_demo_prints_what_the_page_says"),
    // The test that runs this block.
    ("make test", "make test"),
    ("docker build -t REGISTRY/centrex:0.1.0 .", "readme::machine::the_image_is_built"),
    ("kubectl create namespace centrex", "readme::cluster::from_helm_install_to_a_phone"),
    ("kubectl apply -f deploy/samples", "readme::cluster::from_helm_install_to_a_phone"),
    (
        "kubectl get secret -n acme alice-sip -o jsonpath='{.data.password}' | base64 -d",
        "readme::cluster::from_helm_install_to_a_phone",
    ),
    ("make cluster", "readme::machine::a_local_control_plane_starts"),
    ("make build", "readme::machine::standalone_runs_without_a_cluster"),
];

fn page() -> String {
    std::fs::read_to_string(repository("README.md")).unwrap()
}

/// Blocks of a language, as written.
fn fenced(language: &str) -> Vec<String> {
    let page = page();
    let opening = format!("\n```{language}\n");
    page.split(&opening).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned() + "\n").collect()
}

/// All blocks of commands.
pub fn blocks() -> Vec<String> {
    fenced("sh")
}

/// The output of the demo, as the page shows it.
pub fn demo_prints() -> String {
    fenced("text").remove(0)
}

/// Placeholders of the page: the words in capitals that a reader replaces.
pub fn placeholders() -> Vec<String> {
    let page = page();
    let rest = page.split("words in capitals stand for what is yours:").nth(1).expect("the placeholders");
    let sentence = rest.split(". ").next().unwrap();
    sentence.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The block that begins with a line, with values in place of the placeholders.
pub fn block(first_line: &str, own: &[(&str, &str)]) -> String {
    let found = blocks().into_iter().find(|block| block.lines().next() == Some(first_line));
    let block = found.unwrap_or_else(|| panic!("README.md has no block that begins with {first_line}"));
    let own: BTreeMap<&str, &str> = own.iter().copied().collect();
    let known = placeholders();
    let mut filled = String::new();
    // Only whole words: CENTREX_XML_PASSWORD is no placeholder.
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for piece in block.split_inclusive(|c: char| !part_of_word(c)) {
        let word = piece.trim_end_matches(|c: char| !part_of_word(c));
        match known.iter().any(|name| name == word) {
            true => {
                let value = own.get(word).unwrap_or_else(|| panic!("nothing is put in for {word}"));
                filled += &piece.replacen(word, value, 1);
            }
            false => filled += piece,
        }
    }
    filled
}
