//! Tells phones to read their configuration again, and to restart.
//!
//! Level-triggered: while what a Device's phone should have differs from what it fetched last, it gets a NOTIFY. So a
//! lost NOTIFY, a restart of this process and a change that was taken back need no memory. No phone gets more than one a
//! minute, one that does not fetch gets fewer and fewer, and a whole tenant is told at a bounded rate.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::Destination;
use super::esl::{Client, EslError};
use super::registrations::{Registrations, SipUser};
use super::sync::legs;
use crate::phones::notify::{Notify as Request, event_for};
use crate::phones::{Phone, ProvisioningUrls, Site};
use crate::replica::follow::Progress;
use crate::replica::tenants::Replica;
use crate::route::TenantView;
use crate::store::StoreError;
use crate::store::error::in_time;
use crate::util::domain::canonical;

/// Changes within this time are one.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// How often phones are compared with what they should have when nothing changes.
const POLL: Duration = Duration::from_secs(20);
/// Pause between two phones: 20 a second.
const SPREAD: Duration = Duration::from_millis(50);
/// Most phones that are told before everything is compared again.
const MAX_ROUND: usize = 200;
/// Wait for an answer of Postgres.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// First pause between two requests to one phone; it doubles up to [`MAX_PAUSE`] while the phone does not fetch.
const MIN_PAUSE: Duration = Duration::from_secs(60);
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// A Device of a tenant.
pub type DeviceKey = (Uuid, String);
/// What the phones fetched last, by Device.
pub type Fetched = HashMap<DeviceKey, [u8; 32]>;

/// Tells the phones that are registered at this switch.
pub struct Notifier {
    /// The Devices.
    pub replica: Arc<Replica>,
    /// How far the replica has loaded.
    pub progress: watch::Receiver<Progress>,
    /// Where they are registered.
    pub registrations: Registrations,
    /// Sends commands to the switch; `None` while it is not connected.
    pub client: watch::Receiver<Option<Client>>,
    /// Addresses that phones fetch from, as their server has them.
    pub provisioning_urls: ProvisioningUrls,
    /// Time server of phones, as their server has it.
    pub ntp_server: String,
}

/// The revisions of the platform and of a tenant.
type Revisions = (i64, i64);

/// What is remembered of a Device.
#[derive(Debug, Default)]
struct Memory {
    /// The revisions of platform and tenant, and what the phone should have by them.
    wanted: Option<(Revisions, Option<[u8; 32]>)>,
    /// The annotation, and whether a restart is due since it changed.
    restarted_at: Option<String>,
    restart: bool,
    /// What the phone should have fetched, when it was told so last, and until when it is not told again.
    told: Option<([u8; 32], Instant, Duration)>,
}

/// A registered Device.
struct Registered {
    view: Arc<TenantView>,
    /// The profile and the user of its first line that is registered.
    at: (String, SipUser),
    position: i32,
}

/// A phone that is to be told something.
struct Due {
    key: DeviceKey,
    at: (String, SipUser),
    event: &'static str,
    request: Request,
    wanted: Option<[u8; 32]>,
}

impl Notifier {
    /// Tells phones until stopped. `destination` is set once Postgres is known.
    pub async fn run(mut self, destination: Arc<OnceLock<Destination>>, stop: CancellationToken) {
        stop.run_until_cancelled(self.tell_all(&destination)).await;
    }

    async fn tell_all(&mut self, destination: &OnceLock<Destination>) {
        let mut memory = HashMap::new();
        let mut failing = false;
        loop {
            let is_finished = match self.round(destination, &mut memory).await {
                Ok(is_finished) => {
                    failing = false;
                    is_finished
                }
                Err(cause) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(%cause, "phones cannot be told of their new configuration; retrying");
                    }
                    true
                }
            };
            if !is_finished {
                continue;
            }
            tokio::select! {
                changed = self.progress.changed() => match changed {
                    Ok(()) => tokio::time::sleep(DEBOUNCE).await,
                    Err(_) => tokio::time::sleep(POLL).await,
                },
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Compares all phones, and tells those that differ. Returns whether no others are due.
    async fn round(
        &mut self,
        destination: &OnceLock<Destination>,
        memory: &mut HashMap<DeviceKey, Memory>,
    ) -> Result<bool, NotifyError> {
        let complete = self.progress.borrow_and_update().complete;
        let client = self.client.borrow_and_update().clone();
        let (true, Some(client), Some((reader, _))) = (complete, client, destination.get()) else {
            return Ok(true);
        };
        let devices = self.registered();
        let keys: Vec<DeviceKey> = devices.keys().cloned().collect();
        // A phone that is away reads its configuration when it starts.
        memory.retain(|key, _| devices.contains_key(key));
        if keys.is_empty() {
            return Ok(true);
        }
        let fetched = in_time(ANSWER_TIMEOUT, reader.fetched_fingerprints(&keys)).await?;
        let due = self.due(&devices, &fetched, memory);
        if due.is_empty() {
            return Ok(true);
        }
        let busy = match due.iter().any(|due| due.request == Request::Resync) {
            true => busy_extensions(&client, &self.replica).await?,
            false => HashSet::new(),
        };
        let mut told = 0;
        for due in due {
            if told == MAX_ROUND {
                return Ok(false);
            }
            let view = devices.get(&due.key).map(|device| &device.view);
            if due.request == Request::Resync && view.is_none_or(|view| is_busy(view, &due.key, &busy)) {
                continue;
            }
            if self.tell(&client, &due).await? {
                told += 1;
                remember(memory.entry(due.key).or_default(), due.request, due.wanted);
                tokio::time::sleep(SPREAD).await;
            }
        }
        Ok(true)
    }

    /// The registered Devices.
    fn registered(&self) -> BTreeMap<DeviceKey, Registered> {
        let mut devices: BTreeMap<DeviceKey, Registered> = BTreeMap::new();
        for (profile, user, _) in self.registrations.current(Timestamp::now()) {
            let Some(view) = canonical(&user.host).and_then(|domain| self.replica.by_domain(&domain)) else {
                continue;
            };
            let Some((device, row)) = view.sip_user(&user.user).and_then(|found| found.device) else {
                continue;
            };
            let line = row.lines.iter().find(|line| line.user == user.user);
            let (Some(line), false) = (line, row.disabled) else { continue };
            let (key, position) = ((view.plan.tenant.id, device.to_owned()), line.position);
            if devices.get(&key).is_none_or(|held| position < held.position) {
                devices.insert(key, Registered { view: view.clone(), at: (profile, user), position });
            }
        }
        devices
    }

    /// The phones that are to be told something now.
    fn due(
        &self,
        devices: &BTreeMap<DeviceKey, Registered>,
        fetched: &Fetched,
        memory: &mut HashMap<DeviceKey, Memory>,
    ) -> Vec<Due> {
        let platform = self.replica.platform();
        let site = Site::new(&platform, &self.provisioning_urls, &self.ntp_server, Timestamp::now());
        let Some(site) = site else { return Vec::new() };
        let wanted_by = |view: &TenantView, device: &str| Some(Phone::of(view, device, &site)?.fingerprint());
        let platform_revision = self.replica.platform_revision();
        let revisions = self.replica.revisions();
        let mut due = Vec::new();
        for (key, Registered { view, at, .. }) in devices {
            let Some(row) = view.plan.devices.get(&key.1) else { continue };
            let is_new = !memory.contains_key(key);
            let of = memory.entry(key.clone()).or_default();
            if of.restarted_at != row.restarted_at {
                // What was asked for before the phone registered was for another start of it.
                of.restart = !is_new && row.restarted_at.is_some();
                of.restarted_at = row.restarted_at.clone();
            }
            // A phone that never fetched is not ours to configure.
            let Some(has) = fetched.get(key) else { continue };
            if of.restart
                && let Some(event) = event_for(row, Request::Reboot)
            {
                due.push(Due {
                    key: key.clone(),
                    at: at.clone(),
                    event,
                    request: Request::Reboot,
                    wanted: None,
                });
                continue;
            }
            let revision = (platform_revision, revisions.get(&key.0).copied().unwrap_or_default());
            let wanted = match of.wanted {
                // A phone's rules of daylight saving change with time.
                Some((held, wanted)) if held == revision && wanted == Some(*has) => wanted,
                _ => wanted_by(view, &key.1),
            };
            of.wanted = Some((revision, wanted));
            let Some(wanted) = wanted.filter(|wanted| wanted != has) else {
                if let Some((_, _, pause)) = &mut of.told {
                    *pause = MIN_PAUSE;
                }
                continue;
            };
            let waits = |(before, at, pause): (_, Instant, _)| {
                at.elapsed() < if before == wanted { pause } else { MIN_PAUSE }
            };
            if of.told.is_some_and(waits) {
                continue;
            }
            if let Some(event) = event_for(row, Request::Resync) {
                let (key, at) = (key.clone(), at.clone());
                due.push(Due { key, at, event, request: Request::Resync, wanted: Some(wanted) });
            }
        }
        due
    }

    /// Sends one NOTIFY, if the phone is still registered and its Call-ID is its own.
    async fn tell(&self, client: &Client, due: &Due) -> Result<bool, EslError> {
        let (profile, user) = &due.at;
        let Some(notify) = self.registrations.notify(profile, user, due.event) else {
            debug!(
                device = due.key.1,
                "the phone cannot be told: its registration has no Call-ID of its own"
            );
            return Ok(false);
        };
        match client.notify(notify).await {
            Ok(()) => {
                info!(tenant = %due.key.0, device = due.key.1, event = due.event, "the phone was told");
                Ok(true)
            }
            Err(cause) if cause.ends_session() => Err(cause),
            Err(cause) => {
                warn!(device = due.key.1, %cause, "the phone could not be told");
                Ok(false)
            }
        }
    }
}

/// Why a round was not finished.
#[derive(Debug, thiserror::Error)]
enum NotifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Esl(#[from] EslError),
}

/// Remembers that a phone was told. The pause doubles while it is told the same, and never falls below a minute.
fn remember(of: &mut Memory, request: Request, wanted: Option<[u8; 32]>) {
    let (Request::Resync, Some(wanted)) = (request, wanted) else {
        of.restart = false;
        return;
    };
    let pause = match of.told {
        Some((before, _, pause)) if before == wanted => (pause * 2).min(MAX_PAUSE),
        _ => MIN_PAUSE,
    };
    of.told = Some((wanted, Instant::now(), pause));
}

/// The extensions that have a call, each as tenant and number.
async fn busy_extensions(client: &Client, replica: &Replica) -> Result<HashSet<(Uuid, String)>, EslError> {
    let extension = |presence_id: &str| {
        let (number, domain) = presence_id.split_once('@')?;
        let tenant = replica.of_phones(&canonical(domain)?)?.plan.tenant.id;
        Some((tenant, number.to_owned()))
    };
    Ok(legs(client).await?.iter().filter_map(|leg| extension(&leg.presence_id)).collect())
}

/// Whether an extension of a Device has a call.
fn is_busy(view: &TenantView, (tenant, device): &DeviceKey, busy: &HashSet<(Uuid, String)>) -> bool {
    let lines = view.plan.devices.get(device).into_iter().flat_map(|row| &row.lines);
    let mut numbers = lines.filter_map(|line| Some(&view.plan.extensions.get(&line.extension)?.number));
    numbers.any(|number| busy.contains(&(*tenant, number.clone())))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::freeswitch::registrations::Registration;
    use crate::plan::{PlatformPlan, TenantPlan, TenantRow};

    const TENANT: Uuid = Uuid::from_u128(7);

    /// Acme with one phone of two lines, and the annotation of its restart.
    fn plan(restarted_at: Option<&str>) -> TenantPlan {
        let tenant: TenantRow = serde_json::from_value(json!({
            "id": TENANT, "namespace": "acme", "name": "acme", "ownerUid": "u", "displayName": "Acme",
            "domains": ["acme.example.com"], "suspended": false, "timeZone": "UTC", "recordingTone": false,
            "deletionPolicy": "Retain"
        }))
        .unwrap();
        let mut plan = TenantPlan::empty(tenant);
        for (name, number) in [("alice", "1001"), ("bob", "1002")] {
            let row = json!({"number": number, "displayName": name, "ringSeconds": 20, "recording": "Never"});
            plan.extensions.insert(name.to_owned(), serde_json::from_value(row).unwrap());
        }
        let device = json!({
            "mac": "80:5e:c0:00:00:01", "vendor": "Yealink", "dtmf": "Rfc2833", "registerSeconds": 300,
            "timeZone": "UTC", "provisioningUser": "d-1", "pollHours": 24, "restartedAt": restarted_at,
            "lines": [
                {"position": 1, "extension": "alice", "user": "1001-aaaaaaaa"},
                {"position": 2, "extension": "bob", "user": "1002-bbbbbbbb"}
            ]
        });
        plan.devices.insert("desk".to_owned(), serde_json::from_value(device).unwrap());
        plan
    }

    fn notifier(users: &[&str]) -> Notifier {
        let replica = Arc::new(Replica::default());
        replica.put_platform(1, platform());
        replica.replace_tenant(1, plan(None));
        let registrations = Registrations::default();
        for user in users {
            let registered_at = Timestamp::now();
            let registration = Registration {
                call_id: Some(format!("call-of-{user}")),
                address: None,
                port: None,
                user_agent: String::new(),
                transport: String::new(),
                registered_at,
                expires_at: registered_at + SignedDuration::from_secs(300),
            };
            let user = SipUser { user: (*user).to_owned(), host: "acme.example.com".to_owned() };
            registrations.registered("internal", user, registration);
        }
        Notifier {
            replica,
            progress: watch::Sender::default().subscribe(),
            registrations,
            client: watch::Sender::default().subscribe(),
            provisioning_urls: ProvisioningUrls::new("https://phones.example.com/provision", None),
            ntp_server: "pool.ntp.org".to_owned(),
        }
    }

    fn platform() -> PlatformPlan {
        let profile = json!({
            "role": "Phones", "sipPort": 5060, "codecs": ["PCMA"], "updatePolicy": "WhenIdle"
        });
        let mut platform = PlatformPlan::default();
        platform.sip_profiles.insert("internal".to_owned(), serde_json::from_value(profile).unwrap());
        platform
    }

    /// What the phone should have.
    fn wanted(notifier: &Notifier) -> [u8; 32] {
        let view = notifier.replica.by_domain("acme.example.com").unwrap();
        let platform = notifier.replica.platform();
        let (url, ntp) = (&notifier.provisioning_urls, &notifier.ntp_server);
        let site = Site::new(&platform, url, ntp, Timestamp::now()).unwrap();
        Phone::of(&view, "desk", &site).unwrap().fingerprint()
    }

    fn key() -> DeviceKey {
        (TENANT, "desk".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_phone_that_does_not_fetch_is_told_less_and_less() {
        let notifier = notifier(&["1002-bbbbbbbb", "1001-aaaaaaaa"]);
        let mut memory = HashMap::new();
        let fetched = Fetched::from([(key(), [0; 32])]);
        let mut due = || {
            let due = notifier.due(&notifier.registered(), &fetched, &mut memory);
            for due in &due {
                // The first line of the two.
                assert_eq!((due.at.1.user.as_str(), due.event), ("1001-aaaaaaaa", "check-sync;reboot=false"));
                remember(memory.get_mut(&due.key).unwrap(), due.request, due.wanted);
            }
            due.len()
        };
        for (seconds, expected) in [(0, 1), (59, 0), (2, 1), (61, 0), (58, 0), (2, 1), (200, 0), (41, 1)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(due(), expected, "after {seconds} more seconds");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_phone_is_left_alone_that_has_what_it_should_or_never_fetched() {
        let notifier = notifier(&["1001-aaaaaaaa"]);
        let mut memory = HashMap::new();
        for fetched in [Fetched::new(), Fetched::from([(key(), wanted(&notifier))])] {
            assert!(notifier.due(&notifier.registered(), &fetched, &mut memory).is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_is_asked_for_once_when_the_annotation_changes() {
        let notifier = notifier(&["1001-aaaaaaaa"]);
        notifier.replica.replace_tenant(2, plan(Some("before")));
        let mut memory = HashMap::new();
        let fetched = Fetched::from([(key(), wanted(&notifier))]);
        let mut due = || {
            let due = notifier.due(&notifier.registered(), &fetched, &mut memory);
            for due in &due {
                remember(memory.get_mut(&due.key).unwrap(), due.request, due.wanted);
            }
            due.iter().map(|due| due.event).collect::<Vec<_>>()
        };
        assert!(due().is_empty(), "it was set before the phone was seen");
        notifier.replica.replace_tenant(3, plan(Some("now")));
        assert_eq!(due(), ["check-sync;reboot=true"]);
        assert!(due().is_empty());
        notifier.replica.replace_tenant(4, plan(None));
        assert!(due().is_empty(), "it was taken away");
    }

    #[test]
    fn a_call_of_any_line_keeps_a_phone_from_being_told() {
        let view = TenantView::new(plan(None));
        let busy = |number: &str| HashSet::from([(TENANT, number.to_owned())]);
        assert!(is_busy(&view, &key(), &busy("1002")));
        assert!(!is_busy(&view, &key(), &busy("1003")));
        let other = HashSet::from([(Uuid::from_u128(8), "1002".to_owned())]);
        assert!(!is_busy(&view, &key(), &other));
    }
}
