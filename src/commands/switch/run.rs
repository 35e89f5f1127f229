//! `centrex switch`: a sidecar on its own. The operator, which writes, runs elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Sidecar, SidecarError, SwitchArgs, directory};
use crate::freeswitch::listener::Probe;
use crate::replica::follow::Progress;
use crate::replica::tenants::Replica;
use crate::store::StoreOptions;

/// Connections of a sidecar to Postgres, whose `max_connections` many switches share.
const MAX_CONNECTIONS: u32 = 5;

/// Ready once the replica is loaded, from Postgres or from the data directory.
struct Ready {
    replica: Arc<Replica>,
    progress: watch::Receiver<Progress>,
}

impl Probe for Ready {
    fn missing(&self) -> Vec<String> {
        let progress = self.progress.borrow();
        let mut missing = Vec::new();
        if !progress.filled {
            missing.push("not all tenants are loaded yet, from Postgres or from --data-dir".to_owned());
        }
        if progress.filled && self.replica.platform_revision() == 0 {
            missing.push("nothing was stored yet by the operator".to_owned());
        }
        if progress.signing_key.is_none() {
            missing.push("the signing key is not loaded yet".to_owned());
        }
        if !missing.is_empty() {
            missing.extend(progress.trouble.clone());
        }
        missing
    }

    fn replica_age(&self) -> Option<Duration> {
        Some(self.progress.borrow().last_heard?.elapsed())
    }

    fn held_back(&self) -> usize {
        self.progress.borrow().held_back.len()
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// An option is wrong. Postgres that is unreachable is no error: it is retried, and logged.
pub async fn run(args: SwitchArgs) -> Result<(), SidecarError> {
    let stop = CancellationToken::new();
    crate::util::signals::end_on_signals(stop.clone()).map_err(SidecarError::Signals)?;
    let name = name(args.name.clone())?;
    let options = StoreOptions { max_connections: MAX_CONNECTIONS, ..args.store.options::<SidecarError>()? };
    let data_dir = directory("--data-dir", &args.data_dir)?;
    let probe = |replica, progress| Arc::new(Ready { replica, progress }) as Arc<dyn Probe>;
    let mut sidecar = Sidecar::open(
        &args.answer,
        Some(args.health_listen),
        &data_dir,
        options.keyring.clone(),
        probe,
        |_| (),
    )
    .await?;
    sidecar.notify_phones(&args.site);
    sidecar.follow(&options, &name, &stop);
    sidecar.stop_following().await;
    sidecar.close().await;
    Ok(())
}

/// The given name, or the host name. It names the Switch resource.
fn name(given: Option<String>) -> Result<String, SidecarError> {
    let name = given.unwrap_or_else(|| crate::util::hostname::name().to_ascii_lowercase());
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = name.len() <= 63
        && name.starts_with(plain)
        && name.ends_with(plain)
        && name.chars().all(|c| plain(c) || matches!(c, '-' | '.'));
    if good { Ok(name) } else { Err(SidecarError::Name(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_valid_for_a_resource() {
        for good in ["a", "switch-0", "sw1.example.com", &"x".repeat(63)] {
            assert_eq!(name(Some(good.to_owned())).unwrap(), good);
        }
        for bad in ["", "-a", "a-", "A", "a_b", "ä", "a b", &"x".repeat(64)] {
            let error = name(Some(bad.to_owned())).unwrap_err().to_string();
            assert!(error.contains("--name") && error.contains("lower-case"), "{error}");
        }
    }
}
