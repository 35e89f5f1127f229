//! The running switch kept as it should be: what a revision changes is changed there while calls go
//! on, what differs is found and repaired, and a revision counts only when it was seen there.

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
