//! The writing side: one sidecar's reports.

use sqlx::types::Json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::report_filter::lasting;
use super::{ANSWER_TIMEOUT, CHANNEL, FORGOTTEN, Notice};
use crate::plan::report::{Applied, SwitchReport};
use crate::plan::report::{SILENT, SwitchInfo};
use crate::store::error::{Doing, StoreError, in_time};
use crate::store::{Reader, connect};

/// Most bytes of a notification's payload; Postgres takes less than 8000.
const MAX_PAYLOAD: usize = 7900;

/// One statement a report: the sign of life, what differs, what is gone, and the notification. Of
/// all this nothing happens when the name is no longer ours. The version stands in a column too, for
/// people.
const REPORT: &str = "
    WITH mine AS (
        UPDATE public.switches SET last_seen = now(), platform_revision = $3,
            findings = coalesce($9::jsonb, findings),
            version = CASE WHEN $9 IS NULL THEN version ELSE $9::jsonb ->> 'version' END
        WHERE name = $1 AND instance = $2 RETURNING name),
    held AS (
        INSERT INTO public.switch_state (switch, tenant_id, revision)
        SELECT mine.name, t.id, t.revision FROM mine, unnest($4::uuid[], $5::bigint[]) AS t (id, revision)
        ON CONFLICT (switch, tenant_id) DO UPDATE SET revision = excluded.revision),
    gone AS (
        DELETE FROM public.switch_state s USING mine WHERE s.switch = mine.name AND s.tenant_id = ANY ($6))
    SELECT (SELECT pg_notify($7, $8)::text WHERE $8 IS NOT NULL) FROM mine";

/// Takes the name: at first from an older process, later only when it is nobody's, or nobody is heard
/// under it. The revision is what stands there of the process before.
const CLAIM: &str = "
    INSERT INTO public.switches AS s (name, instance, hostname) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET
        instance = $2, hostname = $3, last_seen = now(),
        started_at = CASE WHEN s.instance = $2 THEN s.started_at ELSE now() END
    WHERE $4 OR s.instance = $2 OR s.last_seen < now() - make_interval(secs => $5)
    RETURNING platform_revision, findings";

const REGISTERING: &str = "registering a switch";

/// Reports for one switch, in the name of this process, over a connection of its own: loading and
/// reporting do not wait for each other.
#[derive(Debug)]
pub struct Reporter {
    reader: Reader,
    connection: Option<PgConnection>,
    info: SwitchInfo,
    instance: Uuid,
    /// Whether this process has had the name.
    claimed: bool,
    /// What stands in Postgres.
    held: Applied,
    findings: SwitchReport,
}

impl Reporter {
    /// A reporter that has not said anything yet.
    pub fn new(reader: &Reader, info: SwitchInfo) -> Self {
        Self {
            reader: reader.clone(),
            connection: None,
            info,
            instance: Uuid::new_v4(),
            claimed: false,
            held: Applied::default(),
            findings: SwitchReport::default(),
        }
    }

    /// Whether findings say something that does not stand in Postgres.
    pub fn is_news(&self, findings: &SwitchReport) -> bool {
        lasting(&self.findings, findings) != self.findings
    }

    /// Reports what is held and found now, as far as it differs from what stands in Postgres, and that
    /// the switch is there. False when another process has the name: the younger one, which reports.
    ///
    /// # Errors
    /// When Postgres fails; the next report makes up for it.
    pub async fn report(&mut self, held: Applied, findings: &SwitchReport) -> Result<bool, StoreError> {
        in_time(ANSWER_TIMEOUT, self.try_report(held, findings)).await
    }

    /// An error, and being cut off in between, leaves no connection: the next report begins anew.
    async fn try_report(&mut self, held: Applied, findings: &SwitchReport) -> Result<bool, StoreError> {
        let Some(mut connection) = self.connection.take() else {
            return self.begin(held, findings).await;
        };
        let mine = self.write(&mut connection, held, findings, false).await?;
        self.connection = mine.then_some(connection);
        Ok(mine)
    }

    /// Takes the name and reports in one transaction: nobody sees a switch that holds nothing.
    async fn begin(&mut self, held: Applied, findings: &SwitchReport) -> Result<bool, StoreError> {
        let mut connection = connect(&self.reader.pool().connect_options()).await?;
        let mut transaction = connection.begin().await.doing(REGISTERING)?;
        let mine =
            self.claim(&mut transaction).await? && self.write(&mut transaction, held, findings, true).await?;
        transaction.commit().await.doing(REGISTERING)?;
        self.claimed |= mine;
        self.connection = mine.then_some(connection);
        Ok(mine)
    }

    /// Takes the name, and finds out what stands under it.
    async fn claim(&mut self, connection: &mut PgConnection) -> Result<bool, StoreError> {
        sqlx::query("DELETE FROM public.switches WHERE last_seen < now() - make_interval(secs => $1)")
            .bind(FORGOTTEN.as_secs_f64())
            .execute(&mut *connection)
            .await
            .doing(REGISTERING)?;
        let stands: Option<(i64, Json<SwitchReport>)> = sqlx::query_as(CLAIM)
            .bind(&self.info.name)
            .bind(self.instance)
            .bind(&self.info.hostname)
            .bind(!self.claimed)
            .bind(SILENT.as_secs_f64())
            .fetch_optional(&mut *connection)
            .await
            .doing(REGISTERING)?;
        let Some((platform, Json(findings))) = stands else { return Ok(false) };
        let tenants: Vec<(Uuid, i64)> =
            sqlx::query_as("SELECT tenant_id, revision FROM public.switch_state WHERE switch = $1")
                .bind(&self.info.name)
                .fetch_all(connection)
                .await
                .doing(REGISTERING)?;
        self.held = Applied { platform, tenants: tenants.into_iter().collect() };
        self.findings = findings;
        Ok(true)
    }

    /// Writes what differs; has everything read when it is to be read anew.
    async fn write(
        &mut self,
        connection: &mut PgConnection,
        held: Applied,
        findings: &SwitchReport,
        anew: bool,
    ) -> Result<bool, StoreError> {
        let (before, tenants) = (&self.held.tenants, &held.tenants);
        let changed = |(id, revision): &(&Uuid, &i64)| before.get(*id) != Some(*revision);
        let (ids, revisions): (Vec<Uuid>, Vec<i64>) = tenants.iter().filter(changed).unzip();
        let gone: Vec<Uuid> = before.keys().filter(|id| !tenants.contains_key(id)).copied().collect();
        let platform = (held.platform != self.held.platform).then_some(held.platform);
        let news = std::iter::zip(&ids, &revisions).map(|(id, revision)| (*id, Some(*revision)));
        let news: Vec<_> = news.chain(gone.iter().map(|id| (*id, None))).collect();
        let findings = lasting(&self.findings, findings);
        let found = (findings != self.findings).then_some(Json(&findings));
        let notice = match anew {
            true => Some(Notice { all: true, ..Notice::default() }),
            false if platform.is_none() && news.is_empty() && found.is_none() => None,
            false => Some(Notice { platform, tenants: news, findings: found.is_some(), ..Notice::default() }),
        };
        let mine = sqlx::query(REPORT)
            .bind(&self.info.name)
            .bind(self.instance)
            .bind(held.platform)
            .bind(ids)
            .bind(revisions)
            .bind(gone)
            .bind(CHANNEL)
            .bind(notice.map(|notice| self.payload(notice)))
            .bind(found)
            .fetch_optional(connection)
            .await
            .doing("reporting what a switch holds")?;
        (self.held, self.findings) = (held, findings);
        Ok(mine.is_some())
    }

    /// Says that the switch has ended. Nothing is said in the name of another process.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn leave(mut self) -> Result<(), StoreError> {
        if !self.claimed {
            return Ok(());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.reader.pool().connect_options()).await?,
        };
        sqlx::query(
            "WITH gone AS (DELETE FROM public.switches WHERE name = $1 AND instance = $2 RETURNING name)
             SELECT pg_notify($3, $4) FROM gone",
        )
        .bind(&self.info.name)
        .bind(self.instance)
        .bind(CHANNEL)
        .bind(self.payload(Notice { gone: true, ..Notice::default() }))
        .execute(&mut connection)
        .await
        .doing("taking a switch's report back")?;
        connection.close().await.doing("closing a connection")
    }

    /// What is said of this switch; to read it, when it is too much to be said.
    fn payload(&self, notice: Notice) -> String {
        let text = |notice: &Notice| serde_json::to_string(notice).unwrap_or_default();
        let payload = text(&Notice { switch: self.info.name.clone(), ..notice });
        if payload.len() <= MAX_PAYLOAD {
            return payload;
        }
        text(&Notice { switch: self.info.name.clone(), all: true, ..Notice::default() })
    }
}
