//! Keeps the running switch in step with the replica. A revision's changes are applied while calls
//! continue, other differences are found and repaired, and a revision counts as applied only when the
//! switch shows it.

mod apply;
mod change;
mod difference;
mod metrics;
mod plan;
mod pod_ending_marker;
mod read;
mod rekeyed;
mod replies;
mod state;
mod switch_loop;
mod verify;

pub use change::{Change, Changes};
pub use metrics::Metrics;
pub use pod_ending_marker::PodEndingMarker;
pub(super) use read::legs;
pub use switch_loop::{Live, Options, Order};
