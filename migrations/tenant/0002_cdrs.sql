-- Call records, by month of their start. They are written through a function that runs as the
-- tenant's role whoever calls it: a switch's login needs no right to any table here, can only add,
-- and cannot reach another tenant by a wrong statement.

CREATE TABLE IF NOT EXISTS cdrs (
    uuid                 uuid        NOT NULL,
    leg                  text        NOT NULL CHECK (leg IN ('a', 'b')),
    started_at           timestamptz NOT NULL,
    progress_at          timestamptz,
    answered_at          timestamptz,
    bridged_at           timestamptz,
    ended_at             timestamptz,
    received_at          timestamptz NOT NULL,
    clock_skewed         boolean     NOT NULL,
    switch               text,
    direction            text,
    caller_name          text,
    caller_number        text,
    callee_name          text,
    callee_number        text,
    destination          text,
    context              text,
    extension            text,
    trunk                text,
    gateway              text,
    network_address      text,
    duration_ms          bigint,
    billed_ms            bigint,
    waited_ms            bigint,
    held_ms              bigint,
    hangup_cause         text,
    hangup_cause_q850    integer,
    hangup_disposition   text,
    originate_disposition text,
    sip_status           integer,
    sip_call_id          text,
    bridged_uuid         uuid,
    originating_uuid     uuid,
    queue                text,
    recording            text,
    mos                  real,
    quality_percent      real,
    jitter_min_variance  real,
    jitter_max_variance  real,
    packets_in           bigint,
    packets_lost         bigint,
    xml                  text,
    PRIMARY KEY (started_at, uuid, leg)
) PARTITION BY RANGE (started_at);
CREATE INDEX IF NOT EXISTS cdrs_uuid ON cdrs (uuid);
COMMENT ON TABLE cdrs IS 'Call records, one a leg: one that comes again is not added';
COMMENT ON COLUMN cdrs.leg IS 'a: the leg that called; b: one that Centrex called for it';
COMMENT ON COLUMN cdrs.clock_skewed IS 'The times are in the future or more than a day before it was received: a clock is wrong';
COMMENT ON COLUMN cdrs.trunk IS 'Namespace and name of the Trunk it went out or came in by, as far as the switch knew it';
COMMENT ON COLUMN cdrs.recording IS 'Relative to the tenant''s media directory';
COMMENT ON COLUMN cdrs.packets_lost IS 'Packets FreeSWITCH skipped or missed in what it received';

-- What no month was made for: clocks that are wrong, and what was left for months on a switch.
CREATE TABLE IF NOT EXISTS cdrs_other PARTITION OF cdrs DEFAULT;
COMMENT ON TABLE cdrs_other IS 'Call records of months that were not made';

-- Makes the partition of a month (UTC), and takes over what waits for it in the default one.
CREATE OR REPLACE FUNCTION make_cdr_month(month timestamp) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first  timestamptz := date_trunc('month', month) AT TIME ZONE 'UTC';
    next   timestamptz := (date_trunc('month', month) + interval '1 month') AT TIME ZONE 'UTC';
    part   text := 'cdrs_' || to_char(month, 'YYYY_MM');
BEGIN
    IF to_regclass(quote_ident(part)) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE cdrs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
    EXECUTE format('COMMENT ON TABLE %I IS %L', part, 'Call records that began in ' || to_char(month, 'YYYY-MM'));
    EXECUTE format('WITH moved AS (DELETE FROM cdrs_other WHERE started_at >= %L AND started_at < %L RETURNING *)
                    INSERT INTO %I SELECT * FROM moved', first, next, part);
    EXECUTE format('ALTER TABLE cdrs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, first, next);
END $$;

-- Adds records; how many were new. A leg is there once, whatever start it says: no key of a partitioned
-- table can say that, and so one batch of a tenant at a time is added.
--
-- Every login that may read all data may use this schema too, and most of them have no business
-- here. A switch is known by its right to add to the quarantine: a grant a database, where one a
-- schema would be missing in those that are made later.
CREATE OR REPLACE FUNCTION take_cdrs(records public.cdr[]) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    -- A month that has just begun looks empty to the planner, which would read all of it for every batch.
    SET enable_seqscan = off
AS $$
DECLARE
    added bigint;
BEGIN
    IF NOT has_table_privilege(session_user, 'public.cdr_quarantine', 'INSERT') THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'login %s may not add call records; the owner can allow it: GRANT INSERT ON public.cdr_quarantine', session_user);
    END IF;
    PERFORM public.commit_to_disk();
    PERFORM pg_advisory_xact_lock('cdrs'::regclass::oid::bigint);
    WITH held AS MATERIALIZED (
        SELECT uuid, leg FROM cdrs WHERE uuid = ANY (ARRAY(SELECT uuid FROM unnest(records)))
    )
    INSERT INTO cdrs
    SELECT DISTINCT ON (new.uuid, new.leg) new.* FROM unnest(records) AS new
    WHERE NOT EXISTS (SELECT FROM held WHERE held.uuid = new.uuid AND held.leg = new.leg);
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END $$;

-- Makes months ahead, and removes what is older than so many days; for ever when that is null. What
-- began long ago by a wrong clock, or was long on its way, is kept as long from when it was received.
CREATE OR REPLACE FUNCTION keep_cdrs(days integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    now_utc timestamp := now() AT TIME ZONE 'UTC';
    oldest  timestamptz := now() - make_interval(days => days);
    part    text;
    young   boolean;
    gone    bigint;
    removed bigint := 0;
BEGIN
    -- Not while records are added: either would wait for tables that the other holds.
    PERFORM pg_advisory_xact_lock('cdrs'::regclass::oid::bigint);
    FOR ahead IN -1..2 LOOP
        PERFORM make_cdr_month(date_trunc('month', now_utc) + make_interval(months => ahead));
    END LOOP;
    IF days IS NULL THEN
        RETURN 0;
    END IF;
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'cdrs'::regclass AND c.relname ~ '^cdrs_\d{4}_\d\d$'
          AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= oldest
          AND date_trunc('month', now_utc) - interval '1 month' > to_date(right(c.relname, 7), 'YYYY_MM')
    LOOP
        EXECUTE format('SELECT count(*), coalesce(max(received_at) >= $1, false) FROM %I', part)
            INTO gone, young USING oldest;
        CONTINUE WHEN young;
        EXECUTE format('DROP TABLE %I', part);
        removed := removed + gone;
    END LOOP;
    DELETE FROM cdrs WHERE started_at < oldest AND received_at < oldest;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN removed + gone;
END $$;

-- A caller's own temporary tables must not stand in for these.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION make_cdr_month(timestamp) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION take_cdrs(public.cdr[]) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION keep_cdrs(integer) SET search_path = %I, pg_temp', current_schema());
    PERFORM keep_cdrs(NULL);
END $$;
