//! Tests of pure code, without Postgres, network or FreeSWITCH.

// A test ends at the first `unwrap` that fails, and helpers of tests are not marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arrows;
mod cases;
mod check;
mod crds;
mod golden;
mod hostile;
mod hostile_fields;
mod inert;
mod kinds;
mod last_good;
mod numbers;
mod properties;
mod provision;
mod routing;
mod validate;

use std::path::{Path, PathBuf};

/// A path of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
