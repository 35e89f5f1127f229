//! What is written through an API server, as it counts by itself.

use std::collections::BTreeMap;

/// Requests that write.
const VERBS: &[&str] = &["APPLY", "DELETE", "DELETECOLLECTION", "PATCH", "POST", "PUT"];

/// Writes by what was written, such as `PATCH centrex.dev/extensions/status`, refused ones and dry
/// runs among them; the core group is `core`. Leases and Events are left out: they are written
/// while nothing happens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Writes(BTreeMap<String, u64>);

impl Writes {
    /// Reads the API server's metrics.
    pub fn parse(metrics: &str) -> Self {
        let mut writes = Self::default();
        for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let label = |name: &str| {
                let from = line.split_once(&format!(",{name}=\"")).unwrap_or_default().1;
                from.split_once('"').unwrap_or_default().0
            };
            let (verb, resource) = (label("verb"), label("resource"));
            if !VERBS.contains(&verb) || ["leases", "events"].contains(&resource) {
                continue;
            }
            let group = Some(label("group")).filter(|group| !group.is_empty()).unwrap_or("core");
            let mut name = format!("{verb} {group}/{resource}");
            if !label("subresource").is_empty() {
                name = format!("{name}/{}", label("subresource"));
            }
            let count: u64 = line.rsplit_once(' ').and_then(|(_, count)| count.parse().ok()).unwrap();
            *writes.0.entry(name).or_default() += count;
        }
        writes
    }

    /// What was written since an earlier look at the same process: a new one counts from 0.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |name: &str| earlier.0.get(name).copied().unwrap_or_default();
        let news = self.0.iter().map(|(name, count)| (name.clone(), count.saturating_sub(before(name))));
        Self(news.filter(|(_, count)| *count > 0).collect())
    }

    /// Those to the kinds of one API group.
    pub fn of(&self, group: &str) -> Self {
        let of_group =
            |name: &str| name.split_once(' ').is_some_and(|(_, kind)| kind.starts_with(&format!("{group}/")));
        Self(
            self.0
                .iter()
                .filter(|(name, _)| of_group(name))
                .map(|(name, count)| (name.clone(), *count))
                .collect(),
        )
    }

    /// How many were of one name, such as `PATCH centrex.dev/extensions/status`.
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}
