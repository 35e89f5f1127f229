//! Writes through an API server, by the API server's own metrics.

use std::collections::BTreeMap;

/// Verbs of requests that write.
const VERBS: &[&str] = &["APPLY", "DELETE", "DELETECOLLECTION", "PATCH", "POST", "PUT"];

/// Number of writes by request, such as `PATCH centrex.dev/extensions/status`, including refused ones and dry
/// runs; the core group is `core`. Leases and Events are left out, because they are written in idle clusters,
/// too.
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

    /// Writes since an earlier reading of the same process; a new process counts from 0.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |name: &str| earlier.0.get(name).copied().unwrap_or_default();
        let news = self.0.iter().map(|(name, count)| (name.clone(), count.saturating_sub(before(name))));
        Self(news.filter(|(_, count)| *count > 0).collect())
    }

    /// Writes to the kinds of one API group.
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

    /// Number of writes of one name, such as `PATCH centrex.dev/extensions/status`.
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Total number of writes.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}
