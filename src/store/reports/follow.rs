//! The reading side: follows the reports of all switches.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::postgres::PgListener;
use sqlx::types::Json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::{ANSWER_TIMEOUT, CHANNEL, Notice};
use crate::plan::heartbeat::{LATE_AFTER, SILENT_AFTER};
use crate::plan::report::SwitchReport;
use crate::plan::report::{Ack, SwitchInfo, SwitchState};
use crate::store::Reader;
use crate::store::error::{PgContext, StoreError, in_time, lost_connection};
use crate::util::backoff::Backoff;

/// Pauses between connections to Postgres.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));

/// Limits for the age of a switch's last heartbeat, by Postgres' clock.
#[derive(Clone, Copy, Debug)]
pub struct HeartbeatLimits {
    /// Interval at which the heartbeats are checked.
    pub poll: Duration,
    /// Age after which a reporting switch is late.
    pub late: Duration,
    /// Age after which a switch is silent.
    pub silent: Duration,
    /// Age after which a switch is gone.
    pub gone: Duration,
}

impl Default for HeartbeatLimits {
    /// Sidecars report every five seconds.
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(3),
            late: LATE_AFTER,
            silent: SILENT_AFTER,
            gone: Duration::from_secs(600),
        }
    }
}

/// Why following ended.
enum End {
    /// The receiver of the acks was dropped.
    Over,
    /// Postgres failed.
    Failed(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// A switch that was sent to the receiver.
struct FollowedSwitch {
    instance: Uuid,
    standing: Standing,
}

#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Reporting,
    /// Without a heartbeat for a while; its last report still counts.
    Late,
    Silent,
    /// The last switch, whose sidecar said that it ended: most likely it restarts. Meanwhile its last report counts.
    /// Otherwise the status of every resource would change twice.
    Ended(Instant),
}

/// A row of `public.switches`.
struct Row {
    info: SwitchInfo,
    instance: Uuid,
    platform: i64,
    /// Seconds since the last heartbeat.
    age: f64,
}

/// The columns of a [`Row`].
type Columns = (String, Option<String>, Uuid, i64, f64);

impl From<Columns> for Row {
    fn from((name, hostname, instance, platform, age): Columns) -> Self {
        Self { info: SwitchInfo { name, hostname }, instance, platform, age }
    }
}

/// Follows the reports of all switches until `stop` is cancelled. Reconnects for ever when the connection is lost, and
/// reads all reports again then.
pub async fn follow_acks(
    reader: Reader,
    limits: HeartbeatLimits,
    acks: mpsc::Sender<Ack>,
    stop: CancellationToken,
) {
    let following = async {
        let mut backoff = BACKOFF;
        loop {
            let mut follower = Follower { limits, acks: &acks, known: None };
            let Err(End::Failed(cause)) = follower.follow(&reader).await else { return };
            warn!(category = cause.category(), %cause, "reports of the switches cannot be followed; retrying");
            if follower.known.is_some() {
                backoff.reset();
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    };
    stop.run_until_cancelled(following).await;
}

struct Follower<'a> {
    limits: HeartbeatLimits,
    acks: &'a mpsc::Sender<Ack>,
    /// Switches by name; `None` before all reports were read.
    known: Option<BTreeMap<String, FollowedSwitch>>,
}

impl Follower<'_> {
    /// Follows over one connection until it fails. All queries use the listening connection: they show that it
    /// works.
    async fn follow(&mut self, reader: &Reader) -> Result<std::convert::Infallible, End> {
        // Listens before it reads, so that no notification is missed between the two.
        let mut listener = in_time(ANSWER_TIMEOUT, reader.listen(CHANNEL)).await?;
        self.reset(&mut listener).await?;
        let mut poll = tokio::time::interval(self.limits.poll);
        loop {
            tokio::select! {
                received = listener.try_recv() => match received.context("listening to switches")? {
                    Some(received) => self.handle(&mut listener, received.payload()).await?,
                    None => return Err(lost_connection().into()),
                },
                _ = poll.tick() => self.check_heartbeats(&mut listener).await?,
            }
        }
    }

    async fn send(&self, ack: Ack) -> Result<(), End> {
        self.acks.send(ack).await.map_err(|_| End::Over)
    }

    fn known(&mut self) -> &mut BTreeMap<String, FollowedSwitch> {
        self.known.get_or_insert_default()
    }

    fn set_standing(&mut self, row: &Row, standing: Standing) {
        self.known().insert(row.info.name.clone(), FollowedSwitch { instance: row.instance, standing });
    }

    /// Reads and sends the reports of all switches.
    async fn reset(&mut self, listener: &mut PgListener) -> Result<(), End> {
        let (mut reporting, mut silent) = (Vec::new(), Vec::new());
        *self.known() = BTreeMap::new();
        for row in self.rows(listener).await? {
            if self.standing(&row) == Standing::Silent {
                self.set_standing(&row, Standing::Silent);
                silent.push(row.info.clone());
            } else {
                self.set_standing(&row, Standing::Reporting);
                reporting.push((row.info.clone(), state(listener, &row).await?));
            }
        }
        self.send(Ack::Reset { reporting, silent }).await
    }

    /// Handles a notification.
    async fn handle(&mut self, listener: &mut PgListener, payload: &str) -> Result<(), End> {
        let Ok(notice) = serde_json::from_str::<Notice>(payload) else { return self.reset(listener).await };
        let Notice { switch, platform, tenants, findings, all, gone } = notice;
        if gone {
            return self.handle_end(switch).await;
        }
        let reports = |known: &FollowedSwitch| known.standing == Standing::Reporting;
        if all || !self.known().get(&switch).is_some_and(reports) {
            let rows = self.rows(listener).await?;
            let Some(row) = rows.iter().find(|row| row.info.name == switch) else { return Ok(()) };
            return self.send_appeared(listener, row).await;
        }
        if findings && let Some(findings) = read_findings(listener, &switch).await? {
            self.send(Ack::Report { switch: switch.clone(), findings }).await?;
        }
        if platform.is_none() && tenants.is_empty() {
            return Ok(());
        }
        self.send(Ack::Revisions { switch, platform, tenants }).await
    }

    async fn send_appeared(&mut self, listener: &mut PgListener, row: &Row) -> Result<(), End> {
        let state = state(listener, row).await?;
        self.set_standing(row, Standing::Reporting);
        self.send(Ack::Appeared(row.info.clone(), state)).await
    }

    async fn handle_end(&mut self, name: String) -> Result<(), End> {
        if self.others_report(&name) {
            self.known().remove(&name);
            return self.send(Ack::Gone(name)).await;
        }
        if let Some(known) = self.known().get_mut(&name) {
            known.standing = Standing::Ended(Instant::now());
        }
        Ok(())
    }

    fn others_report(&mut self, name: &str) -> bool {
        let reports = |(other, known): (&String, &FollowedSwitch)| {
            other.as_str() != name && known.standing == Standing::Reporting
        };
        self.known().iter().any(reports)
    }

    /// Sends the switches that became late, silent or gone, and those that report again.
    async fn check_heartbeats(&mut self, listener: &mut PgListener) -> Result<(), End> {
        let rows = self.rows(listener).await?;
        let names: Vec<String> = self.known().keys().cloned().collect();
        for name in names.into_iter().filter(|name| !rows.iter().any(|row| row.info.name == *name)) {
            let standing = self.known().get(&name).map(|known| known.standing);
            let waits = matches!(standing, Some(Standing::Ended(at)) if at.elapsed() < self.limits.silent);
            if waits && !self.others_report(&name) {
                continue;
            }
            self.known().remove(&name);
            self.send(Ack::Gone(name)).await?;
        }
        for row in &rows {
            let known = self.known().get(&row.info.name).map(|known| (known.standing, known.instance));
            let before = known.map(|(standing, _)| standing);
            match self.standing(row) {
                Standing::Silent if before.is_some_and(|before| before != Standing::Silent) => {
                    self.set_standing(row, Standing::Silent);
                    self.send(Ack::Silent(row.info.name.clone())).await?;
                }
                Standing::Late if before == Some(Standing::Reporting) => {
                    self.set_standing(row, Standing::Late);
                    self.send(Ack::Late(row.info.name.clone())).await?;
                }
                Standing::Reporting if known != Some((Standing::Reporting, row.instance)) => {
                    self.send_appeared(listener, row).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Standing of a switch by the age of its last heartbeat.
    fn standing(&self, row: &Row) -> Standing {
        match Duration::try_from_secs_f64(row.age).unwrap_or_default() {
            age if age >= self.limits.silent => Standing::Silent,
            age if age >= self.limits.late => Standing::Late,
            _ => Standing::Reporting,
        }
    }

    /// Rows of the switches that are not gone.
    async fn rows(&self, listener: &mut PgListener) -> Result<Vec<Row>, StoreError> {
        let rows = sqlx::query_as(
            "SELECT name, hostname, instance, platform_revision,
                    extract(epoch FROM now() - last_seen)::float8
             FROM public.switches WHERE last_seen > now() - make_interval(secs => $1) ORDER BY name",
        )
        .bind(self.limits.gone.as_secs_f64())
        .fetch_all(listener);
        let rows: Vec<Columns> =
            in_time(ANSWER_TIMEOUT, async { rows.await.context("reading switches") }).await?;
        Ok(rows.into_iter().map(Row::from).collect())
    }
}

async fn state(listener: &mut PgListener, row: &Row) -> Result<SwitchState, StoreError> {
    let tenants = sqlx::query_as("SELECT tenant_id, revision FROM public.switch_state WHERE switch = $1")
        .bind(&row.info.name)
        .fetch_all(&mut *listener);
    let tenants: Vec<(Uuid, i64)> =
        in_time(ANSWER_TIMEOUT, async { tenants.await.context("reading the revisions of a switch") }).await?;
    let findings = read_findings(listener, &row.info.name).await?.unwrap_or_default();
    Ok(SwitchState { platform: row.platform, tenants: tenants.into_iter().collect(), findings })
}

/// Findings of a switch; `None` when its row is missing.
async fn read_findings(listener: &mut PgListener, name: &str) -> Result<Option<SwitchReport>, StoreError> {
    let findings = sqlx::query_scalar("SELECT findings FROM public.switches WHERE name = $1")
        .bind(name)
        .fetch_optional(listener);
    let findings: Option<Json<SwitchReport>> =
        in_time(ANSWER_TIMEOUT, async { findings.await.context("reading the findings of a switch") }).await?;
    Ok(findings.map(|Json(findings)| findings))
}
