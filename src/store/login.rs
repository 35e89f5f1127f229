//! Where Postgres is and who logs in, from a file: a Secret that is mounted is written anew when the password
//! changes, and connections that are made from then on log in with the new one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio_util::task::AbortOnDropHandle;

use super::{StoreError, parse_url};

/// How often the file is read.
const LOOK: Duration = Duration::from_secs(1);

/// What the file says.
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

/// Has a pool log in as the file says, as long as what is returned lives. What cannot be read changes
/// nothing.
pub(super) fn follow(path: PathBuf, pool: PgPool) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let (mut taken, mut told) = (None, false);
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            // A file of one line, in memory where a kubelet mounts it.
            let now = text(&path);
            if now.as_ref().ok() == taken.as_ref() && taken.is_some() {
                continue;
            }
            match now.and_then(|text| Ok((parse(&path, &text)?, text))) {
                Ok((connect, text)) => {
                    let named = match pool.connect_options().get_application_name() {
                        Some(name) => connect.application_name(name),
                        None => connect,
                    };
                    pool.set_connect_options(named);
                    if taken.replace(text).is_some() {
                        tracing::info!(path = %path.display(), "new connections to Postgres log in as the file says now");
                    }
                    told = false;
                }
                Err(error) if !std::mem::replace(&mut told, true) => {
                    tracing::error!(%error, "the login that was read before stays");
                }
                Err(_) => {}
            }
        }
    }))
}
