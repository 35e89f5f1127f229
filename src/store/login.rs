//! The URL of Postgres from a file. kubelet replaces a mounted Secret when the password changes; connections that
//! are made from then on log in with the new password.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio_util::task::AbortOnDropHandle;

use super::{StoreError, parse_url};

const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<PgConnectOptions, StoreError> {
    parse(path, &text(path)?)
}

fn text(path: &Path) -> Result<String, StoreError> {
    std::fs::read_to_string(path).map_err(|error| wrong(path, error))
}

fn parse(path: &Path, text: &str) -> Result<PgConnectOptions, StoreError> {
    match parse_url(text.trim()) {
        Err(StoreError::Url(reason)) => Err(wrong(path, reason)),
        parsed => parsed,
    }
}

fn wrong(path: &Path, reason: impl ToString) -> StoreError {
    StoreError::UrlFile { path: path.to_owned(), reason: reason.to_string() }
}

/// Polls the file and updates the login of a pool, until the handle is dropped. A file that cannot be read or
/// parsed changes nothing, and is logged once.
pub(super) fn follow(path: PathBuf, pool: PgPool) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let (mut current, mut logged) = (None, false);
        let mut interval = tokio::time::interval(POLL_INTERVAL);
        loop {
            interval.tick().await;
            // One line, in tmpfs where kubelet mounts it: reading is cheaper than watching.
            let now = text(&path);
            if now.as_ref().ok() == current.as_ref() && current.is_some() {
                continue;
            }
            match now.and_then(|text| Ok((parse(&path, &text)?, text))) {
                Ok((connect, text)) => {
                    let named = match pool.connect_options().get_application_name() {
                        Some(name) => connect.application_name(name),
                        None => connect,
                    };
                    pool.set_connect_options(named);
                    if current.replace(text).is_some() {
                        tracing::info!(path = %path.display(), "the login for Postgres was read again: new connections use it");
                    }
                    logged = false;
                }
                Err(error) if !std::mem::replace(&mut logged, true) => {
                    tracing::error!(%error, "the previous login for Postgres stays in use");
                }
                Err(_) => {}
            }
        }
    }))
}
