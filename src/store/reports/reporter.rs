//! The writing side: reports of one sidecar.

use sqlx::types::Json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::report_filter::storable;
use super::{ANSWER_TIMEOUT, CHANNEL, MAX_SILENCE, Notice};
use crate::plan::heartbeat::SILENT_AFTER;
use crate::plan::report::SwitchInfo;
use crate::plan::report::{Applied, SwitchReport};
use crate::store::error::{PgContext, StoreError, in_time};
use crate::store::{Reader, connect};

/// Size of a notification's payload, in bytes; Postgres accepts less than 8000.
const MAX_PAYLOAD: usize = 7900;

/// Writes a report in one statement: heartbeat, changed and removed revisions, and the notification. It does nothing when
/// another process has claimed the name. The version is copied to a column, for people.
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

/// Claims the name. The first claim of a process takes it from an older process; a later one succeeds only when the row
/// is missing or silent. Returns what the previous process reported.
const CLAIM: &str = "
    INSERT INTO public.switches AS s (name, instance, hostname) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET
        instance = $2, hostname = $3, last_seen = now(),
        started_at = CASE WHEN s.instance = $2 THEN s.started_at ELSE now() END
    WHERE $4 OR s.instance = $2 OR s.last_seen < now() - make_interval(secs => $5)
    RETURNING platform_revision, findings";

const REGISTERING: &str = "registering a switch";

/// Reports of one switch by this process. It has its own connection, so that loading and reporting do not wait for each
/// other.
#[derive(Debug)]
pub struct Reporter {
    reader: Reader,
    connection: Option<PgConnection>,
    info: SwitchInfo,
    instance: Uuid,
    /// True when this process has claimed the name before.
    claimed: bool,
    /// Revisions that are stored.
    held: Applied,
    /// Findings that are stored.
    findings: SwitchReport,
}

impl Reporter {
    /// A reporter that has written nothing yet.
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

    /// True when the findings differ from the stored ones.
    pub fn is_news(&self, findings: &SwitchReport) -> bool {
        storable(&self.findings, findings) != self.findings
    }

    /// Writes a heartbeat, and the revisions and findings that differ from the stored ones. Returns false when a younger
    /// process has claimed the name and reports in place of this one.
    ///
    /// # Errors
    /// When Postgres fails. The next report writes what this one could not.
    pub async fn report(&mut self, held: Applied, findings: &SwitchReport) -> Result<bool, StoreError> {
        in_time(ANSWER_TIMEOUT, self.try_report(held, findings)).await
    }

    /// After an error or a timeout there is no connection: the next report connects and claims the name again.
    async fn try_report(&mut self, held: Applied, findings: &SwitchReport) -> Result<bool, StoreError> {
        let Some(mut connection) = self.connection.take() else {
            return self.begin(held, findings).await;
        };
        let mine = self.write(&mut connection, held, findings, false).await?;
        self.connection = mine.then_some(connection);
        Ok(mine)
    }

    /// Claims the name and reports in one transaction, so that followers never see a switch without revisions.
    async fn begin(&mut self, held: Applied, findings: &SwitchReport) -> Result<bool, StoreError> {
        let mut connection = connect(&self.reader.pool().connect_options()).await?;
        let mut transaction = connection.begin().await.context(REGISTERING)?;
        let mine =
            self.claim(&mut transaction).await? && self.write(&mut transaction, held, findings, true).await?;
        transaction.commit().await.context(REGISTERING)?;
        self.claimed |= mine;
        self.connection = mine.then_some(connection);
        Ok(mine)
    }

    /// Claims the name and reads what is stored under it. Returns false when another process has it.
    async fn claim(&mut self, connection: &mut PgConnection) -> Result<bool, StoreError> {
        sqlx::query("DELETE FROM public.switches WHERE last_seen < now() - make_interval(secs => $1)")
            .bind(MAX_SILENCE.as_secs_f64())
            .execute(&mut *connection)
            .await
            .context(REGISTERING)?;
        let stored: Option<(i64, Json<SwitchReport>)> = sqlx::query_as(CLAIM)
            .bind(&self.info.name)
            .bind(self.instance)
            .bind(&self.info.hostname)
            .bind(!self.claimed)
            .bind(SILENT_AFTER.as_secs_f64())
            .fetch_optional(&mut *connection)
            .await
            .context(REGISTERING)?;
        let Some((platform, Json(findings))) = stored else { return Ok(false) };
        let tenants: Vec<(Uuid, i64)> =
            sqlx::query_as("SELECT tenant_id, revision FROM public.switch_state WHERE switch = $1")
                .bind(&self.info.name)
                .fetch_all(connection)
                .await
                .context(REGISTERING)?;
        self.held = Applied { platform, tenants: tenants.into_iter().collect() };
        self.findings = findings;
        Ok(true)
    }

    /// Writes what differs from the stored report. With `is_new`, followers are told to read the whole row.
    async fn write(
        &mut self,
        connection: &mut PgConnection,
        held: Applied,
        findings: &SwitchReport,
        is_new: bool,
    ) -> Result<bool, StoreError> {
        let (before, tenants) = (&self.held.tenants, &held.tenants);
        let changed = |(id, revision): &(&Uuid, &i64)| before.get(*id) != Some(*revision);
        let (ids, revisions): (Vec<Uuid>, Vec<i64>) = tenants.iter().filter(changed).unzip();
        let gone: Vec<Uuid> = before.keys().filter(|id| !tenants.contains_key(id)).copied().collect();
        let platform = (held.platform != self.held.platform).then_some(held.platform);
        let news = std::iter::zip(&ids, &revisions).map(|(id, revision)| (*id, Some(*revision)));
        let news: Vec<_> = news.chain(gone.iter().map(|id| (*id, None))).collect();
        let findings = storable(&self.findings, findings);
        let found = (findings != self.findings).then_some(Json(&findings));
        let notice = match is_new {
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
            .context("writing a switch's report")?;
        (self.held, self.findings) = (held, findings);
        Ok(mine.is_some())
    }

    /// Deletes the switch's row and notifies that the switch has ended, unless another process has claimed the name.
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
        .context("deleting a switch's report")?;
        connection.close().await.context("closing a connection")
    }

    /// The payload of a notification about this switch; one that is too large becomes `"all": true`.
    fn payload(&self, notice: Notice) -> String {
        let text = |notice: &Notice| serde_json::to_string(notice).unwrap_or_default();
        let payload = text(&Notice { switch: self.info.name.clone(), ..notice });
        if payload.len() <= MAX_PAYLOAD {
            return payload;
        }
        text(&Notice { switch: self.info.name.clone(), all: true, ..Notice::default() })
    }
}
