//! What somebody may have meant who wrote a name that does not exist.

use strsim::damerau_levenshtein;

/// The name that is nearest to a word, where one is near enough: a third of the letters may differ.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 3).max(1);
    let lower = word.to_lowercase();
    let distance = |name: &'a str| (damerau_levenshtein(&lower, &name.to_lowercase()), name);
    let near = names.into_iter().filter(|name| *name != word).map(distance);
    near.filter(|(distance, name)| *distance <= most && *distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// The same as a part of a message: ` (did you mean number?)`, or nothing.
pub fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, names).map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_another_word_none() {
        let fields = ["callerId", "credentials", "displayName", "number", "pin"];
        for (word, name) in [
            ("nmber", Some("number")),
            ("Number", Some("number")),
            ("displayname", Some("displayName")),
            ("credentails", Some("credentials")),
            ("number", None),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, fields), name, "{word}");
        }
    }
}
