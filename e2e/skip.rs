//! A test that needs something absent says so, and is counted: never a silent pass.

use std::io::Write;

/// Notes that a test is skipped, and why: on standard error and, where `CENTREX_SKIPS` names a
/// file, as a line of it, which `make test` counts in its last lines.
pub fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
    if let Ok(path) = std::env::var("CENTREX_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        // In one write: tests run side by side.
        let _ = file.write_all(format!("{test}: {why}\n").as_bytes());
    }
}
