//! Whether the API server can be reached, in one line where every watch and every request fails.

use std::time::Duration;

use http::Uri;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::source::cluster::Watches;

/// How often it is told that the API server still cannot be reached.
const AGAIN: Duration = Duration::from_secs(60);

/// What was told of it last.
pub struct ApiServer {
    url: String,
    /// Since when it is away, and when that was told last.
    away: Option<(Instant, Instant)>,
}

impl ApiServer {
    /// One at an address.
    pub fn at(url: &Uri) -> Self {
        Self { url: url.to_string(), away: None }
    }

    /// Looks, and tells what is new: that it cannot be reached, at once and every minute, and that it can.
    pub fn look(&mut self, watches: &Watches) {
        let (now, url) = (Instant::now(), &self.url);
        match (watches.away(), self.away) {
            (Some(why), None) => {
                warn!(%url, "{why}; trying again, and what was seen stays");
                self.away = Some((now, now));
            }
            (Some(why), Some((since, told))) if told.elapsed() >= AGAIN => {
                warn!(%url, seconds = since.elapsed().as_secs(), "{why}; trying again, and what was seen stays");
                self.away = Some((since, now));
            }
            (None, Some((since, _))) => {
                info!(%url, seconds = since.elapsed().as_secs(), "the API server can be reached again");
                self.away = None;
            }
            _ => {}
        }
    }
}
