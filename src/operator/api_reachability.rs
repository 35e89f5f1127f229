//! Logs whether the API server can be reached: one line, where every watch and every request would log
//! its own.

use std::time::Duration;

use http::Uri;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::source::cluster::Watches;

/// Interval of the log line during an outage.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
const CONSEQUENCE: &str = "trying again, and the resources read so far stay in force";

/// The reachability of the API server, as it was logged last.
pub struct ApiServer {
    url: String,
    /// Begin of the outage, and time of its last log line.
    outage: Option<(Instant, Instant)>,
}

impl ApiServer {
    /// An API server that can be reached, at an address for log lines.
    pub fn at(url: &Uri) -> Self {
        Self { url: url.to_string(), outage: None }
    }

    /// Logs an outage when it begins, every minute while it lasts, and when it ends.
    pub fn log_outage(&mut self, watches: &Watches) {
        let (now, url) = (Instant::now(), &self.url);
        match (watches.away(), self.outage) {
            (Some(why), None) => {
                warn!(%url, "{why}; {CONSEQUENCE}");
                self.outage = Some((now, now));
            }
            (Some(why), Some((since, logged))) if logged.elapsed() >= LOG_INTERVAL => {
                warn!(%url, seconds = since.elapsed().as_secs(), "{why}; {CONSEQUENCE}");
                self.outage = Some((since, now));
            }
            (None, Some((since, _))) => {
                info!(%url, seconds = since.elapsed().as_secs(), "the API server can be reached again");
                self.outage = None;
            }
            _ => {}
        }
    }
}
