-- Call records that have no place: nobody guesses at one. They are kept for 30 days (store/cdrs/keep.rs).
-- Who may add here may add to tenants' call records too (migrations/tenant/0002_cdrs.sql).

CREATE TABLE public.cdr_quarantine (
    digest      bytea PRIMARY KEY,
    reason      text NOT NULL,
    detail      text NOT NULL,
    tenant_id   uuid,
    uuid        uuid,
    received_at timestamptz NOT NULL,
    body        bytea NOT NULL
);
CREATE INDEX cdr_quarantine_received ON public.cdr_quarantine (received_at);
COMMENT ON TABLE public.cdr_quarantine IS 'Call records that no tenant could be found for, or that cannot be read';
COMMENT ON COLUMN public.cdr_quarantine.digest IS 'SHA-256 of the body: one that comes again is the same one';
COMMENT ON COLUMN public.cdr_quarantine.reason IS 'Why, from a fixed list of words';
COMMENT ON COLUMN public.cdr_quarantine.tenant_id IS 'The tenant a right signature names, where that is not the trouble; no key, for the tenant may be gone';

-- A call record, one leg: what a sidecar gives to take_cdrs, and what tenants' tables are made of
-- (migrations/tenant/0002_cdrs.sql).
CREATE TYPE public.cdr AS (
    uuid                  uuid,
    leg                   text,
    started_at            timestamptz,
    progress_at           timestamptz,
    answered_at           timestamptz,
    bridged_at            timestamptz,
    ended_at              timestamptz,
    received_at           timestamptz,
    clock_skewed          boolean,
    switch                text,
    direction             text,
    caller_name           text,
    caller_number         text,
    callee_name           text,
    callee_number         text,
    destination           text,
    context               text,
    extension             text,
    trunk                 text,
    gateway               text,
    network_address       text,
    duration_ms           bigint,
    billed_ms             bigint,
    waited_ms             bigint,
    held_ms               bigint,
    hangup_cause          text,
    hangup_cause_q850     integer,
    hangup_disposition    text,
    originate_disposition text,
    sip_status            integer,
    sip_call_id           text,
    bridged_uuid          uuid,
    originating_uuid      uuid,
    queue                 text,
    recording             text,
    mos                   real,
    quality_percent       real,
    jitter_min_variance   real,
    jitter_max_variance   real,
    packets_in            bigint,
    packets_lost          bigint,
    xml                   text
);

-- What is acknowledged must not be lost with the server, whatever the default here is. It lasts to the
-- end of the transaction.
CREATE FUNCTION public.commit_to_disk() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END $$;

-- What follows works on the call records of the tenant whose role and schema the caller has taken
-- (store/migrate.rs), with that role's rights. It is here, and not in each schema, because Postgres looks
-- at all functions of a name when it looks for one.

-- Makes the partition of a month (UTC), and takes over what waits for it in the default one.
CREATE FUNCTION public.make_cdr_month(month timestamp) RETURNS void LANGUAGE plpgsql AS $$
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

-- Makes this month and the next.
CREATE FUNCTION public.make_cdr_months() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR ahead IN 0..1 LOOP
        PERFORM public.make_cdr_month(now() AT TIME ZONE 'UTC' + make_interval(months => ahead));
    END LOOP;
END $$;

-- Makes months ahead, and removes what is older than so many days; for ever when that is null. What
-- began long ago by a wrong clock, or was long on its way, is kept as long from when it was received.
CREATE FUNCTION public.keep_cdrs(days integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    last_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month';
    oldest     timestamptz := now() - make_interval(days => days);
    part       text;
    young      boolean;
    gone       bigint;
    removed    bigint := 0;
BEGIN
    -- Not while records are added: either would wait for tables that the other holds.
    PERFORM pg_advisory_xact_lock('cdrs'::regclass::oid::bigint);
    PERFORM public.make_cdr_months();
    IF EXISTS (SELECT FROM cdrs_other WHERE started_at >= last_month AT TIME ZONE 'UTC'
                                        AND started_at < (last_month + interval '1 month') AT TIME ZONE 'UTC') THEN
        PERFORM public.make_cdr_month(last_month);
    END IF;
    IF days IS NULL THEN
        RETURN 0;
    END IF;
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'cdrs'::regclass AND c.relname ~ '^cdrs_\d{4}_\d\d$'
          AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= oldest
          AND last_month > to_date(right(c.relname, 7), 'YYYY_MM')
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
