//! The table of results, for the terminal and for the document.

use crate::facts::Facts;

/// One result.
pub struct Row {
    what: &'static str,
    centrex: String,
    limit: String,
    ratio: String,
    goal: String,
    outcome: &'static str,
}

impl Row {
    /// A result without a limit or goal.
    pub fn new(what: &'static str, centrex: impl Into<String>) -> Self {
        let (limit, ratio, goal) = (String::new(), String::new(), String::new());
        Self { what, centrex: centrex.into(), limit, ratio, goal, outcome: "" }
    }

    /// A measurement that could not run, with the reason.
    pub fn skipped(what: &'static str, why: impl Into<String>) -> Self {
        Self { outcome: "SKIPPED", ..Self::new(what, why) }
    }

    /// A part that failed; its error is on standard error.
    pub fn failed(part: &'static str) -> Self {
        Self { outcome: "FAILED", ..Self::new(part, "") }
    }

    /// A result compared with a limit measured in the same run.
    pub fn against(mut self, limit: impl Into<String>, ratio: f64) -> Self {
        self.limit = limit.into();
        self.ratio = if ratio < 0.1 { format!("{ratio:.3}") } else { format!("{ratio:.2}") };
        self
    }

    /// A result with a goal.
    pub fn goal(mut self, goal: &str, met: bool) -> Self {
        self.goal = goal.to_owned();
        self.outcome = if met { "met" } else { "MISSED" };
        self
    }

    fn cells(&self) -> [&str; 6] {
        [self.what, &self.centrex, &self.limit, &self.ratio, &self.goal, self.outcome]
    }

    /// One line for the terminal.
    pub fn line(&self) -> String {
        self.cells().into_iter().filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" · ")
    }
}

/// All rows as an aligned Markdown table.
pub fn table(rows: &[Row]) -> String {
    let head = ["Measured", "Centrex", "Limit in the same run", "Ratio", "Goal", ""];
    let lines: Vec<[&str; 6]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let rules = line(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    let mut text: String = lines.iter().map(|cells| line(cells)).collect();
    let head_end = text.find('\n').map_or(0, |end| end + 1);
    text.insert_str(head_end, &rules);
    text
}

/// The complete document.
pub fn document(rows: &[Row], facts: &Facts) -> String {
    include_str!("benchmarks.md").replace("{table}", &table(rows)).replace("{facts}", &facts.list())
}
