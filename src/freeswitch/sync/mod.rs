//! Keeps the running switch in step with the replica. A revision's changes are applied while calls
//! continue, other differences are found and repaired, and a revision counts as applied only when the
//! switch shows it.

mod apply;
mod change;
mod compare;
mod difference;
mod ending;
mod metrics;
mod plan;
mod read;
mod replies;
mod state;
mod task;

pub use change::{Change, Changes};
pub use ending::Ending;
pub use metrics::Metrics;
pub use task::{Live, Options, Order};
