//! The path of a field in a resource, such as `spec.members[2].extensionRef.name`.

/// One step of a field path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a field or a map's entry, by its key.
    Key(String),
    /// Into a list, by its index from 0.
    Index(usize),
}

/// Path of the current field while a resource is walked: a linked list on the stack, formatted only for errors.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }

    pub(crate) fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Key(parent, key) if plain(key) => match parent {
                Self::Root => write!(f, "{key}"),
                _ => write!(f, "{parent}.{key}"),
            },
            Self::Key(parent, key) => write!(f, "{parent}[{key:?}]"),
        }
    }
}

fn plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Parses a path as problems contain it. Stops at a syntax error: the steps before it lead to a parent.
pub fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let Some((step, tail)) = bracket(after) else { break };
            steps.push(step);
            rest = tail;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, tail) = rest.split_at(end);
            if key.is_empty() {
                break;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = tail;
        }
    }
    steps
}

/// Parses what follows an opening bracket: an index or a quoted key. Returns the rest after the closing one.
fn bracket(after: &str) -> Option<(Step, &str)> {
    if after.starts_with('"') {
        let mut quoted = serde_json::Deserializer::from_str(after).into_iter::<String>();
        let key = quoted.next()?.ok()?;
        let tail = after.get(quoted.byte_offset()..)?.strip_prefix(']')?;
        return Some((Step::Key(key), tail));
    }
    let (index, tail) = after.split_once(']')?;
    Some((Step::Index(index.parse().ok()?), tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formatted_path_parses_to_its_steps() {
        let (root, root_key) = (Path::Root, "metadata");
        let metadata = root.key(root_key);
        let labels = metadata.key("labels");
        let label = labels.key("centrex.dev/carrier");
        let item = label.index(2);
        let name = item.key("name");
        assert_eq!(name.to_string(), r#"metadata.labels["centrex.dev/carrier"][2].name"#);
        assert_eq!(
            steps(&name.to_string()),
            [
                Step::Key("metadata".into()),
                Step::Key("labels".into()),
                Step::Key("centrex.dev/carrier".into()),
                Step::Index(2),
                Step::Key("name".into()),
            ]
        );
    }

    #[test]
    fn a_syntax_error_ends_the_path() {
        assert_eq!(steps("spec.x[nine].y"), [Step::Key("spec".into()), Step::Key("x".into())]);
        assert_eq!(steps(""), []);
    }
}
