//! Suggests the name that was meant by a misspelt one.

use strsim::damerau_levenshtein;

/// The name most similar to a word, if at most a third of the letters differ.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let lower = word.to_lowercase();
    let distance = |name: &'a str| (damerau_levenshtein(&lower, &name.to_lowercase()), name);
    let near = names.into_iter().filter(|name| *name != word).map(distance);
    near.filter(|(distance, name)| *distance <= limit && *distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// The suggestion as part of a message: ` (did you mean number?)`, or an empty text.
pub fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, names).map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_found_and_another_word_is_not() {
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
