//! Speed and size, as ratios to limits that are measured in the same run, alternately, so that other load on
//! a shared machine affects both sides. `make bench` writes `docs/benchmarks.md`.
//!
//! `cargo bench --bench speed -- --quick` measures a tenth and writes nothing; the words `answers`,
//! `provision`, `phones`, `freeswitch`, `size`, `cdr`, `esl`, `sip`, `live` and `cluster` select parts.

// A benchmark ends at the first `unwrap` that fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod cdr;
mod cluster;
mod constant;
mod esl;
mod facts;
mod freeswitch;
mod live;
mod load;
mod manifests;
mod peers;
mod phones;
mod processor;
mod provision;
mod report;
mod served;
mod sip;
mod size;
mod standalone;
mod turns;

use std::sync::OnceLock;

use report::Row;

/// The program's allocator serves every side of a comparison.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Path of the table.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md");

/// Measures one part.
type Measure = fn(&Options) -> Vec<Row>;

/// All parts, in the order in which they are measured.
const PARTS: [(&str, Measure); 10] = [
    ("answers", answers::rows),
    ("provision", provision::rows),
    ("phones", phones::rows),
    ("freeswitch", freeswitch::rows),
    ("sip", sip::rows),
    ("esl", esl::rows),
    ("size", size::rows),
    ("cdr", cdr::rows),
    ("live", live::rows),
    ("cluster", cluster::rows),
];

/// What to measure.
pub struct Options {
    /// A tenth of every size, for development.
    quick: bool,
    /// The selected parts; all parts if none is named.
    parts: Vec<String>,
    /// Calls a second that the FreeSWITCH of this run set up and ended: the part `sip` sets it, `cdr` compares
    /// with it.
    calls: OnceLock<f64>,
}

impl Options {
    fn from_args() -> Self {
        let mut options = Self { quick: false, parts: Vec::new(), calls: OnceLock::new() };
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--bench" => {} // cargo adds it
                "--quick" => options.quick = true,
                part if PARTS.iter().any(|(name, _)| *name == part) => options.parts.push(argument),
                other => {
                    let names = PARTS.map(|(name, _)| name).join(", ");
                    eprintln!("{other}: allowed are --quick, {names}");
                    std::process::exit(2);
                }
            }
        }
        options
    }

    /// A full size, or a tenth with `--quick`.
    fn size(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(10) } else { full }
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|named| named == part)
    }

    fn is_whole(&self) -> bool {
        !self.quick && self.parts.is_empty()
    }
}

fn main() {
    let options = Options::from_args();
    let facts = facts::gather();
    let mut rows = Vec::new();
    let mut failed = false;
    for (name, measure) in PARTS.iter().filter(|(name, _)| options.wants(name)) {
        // A part that fails does not stop the others.
        let found = std::panic::catch_unwind(|| measure(&options)).unwrap_or_else(|_| {
            failed = true;
            vec![Row::failed(name)]
        });
        found.iter().for_each(|row| eprintln!("{}", row.line()));
        rows.extend(found);
    }
    println!("\n{}\n{}", report::table(&rows), facts.list());
    if options.is_whole() {
        std::fs::write(DOCUMENT, report::document(&rows, &facts)).expect("docs/benchmarks.md");
    }
    if failed {
        std::process::exit(1);
    }
}
