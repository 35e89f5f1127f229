-- Call records that no tenant could be found for. They are kept for 30 days (src/store/cdrs/prune.rs).
-- A login that may insert here may add to tenants' call records too (migrations/tenant/0002_cdrs.sql).

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
COMMENT ON COLUMN public.cdr_quarantine.digest IS 'SHA-256 of the body: a record that is sent again is kept once';
COMMENT ON COLUMN public.cdr_quarantine.reason IS 'Why it is here, from a fixed list of words';
COMMENT ON COLUMN public.cdr_quarantine.tenant_id IS 'The tenant that a valid signature names, where there is one; no foreign key, because the tenant may have been dropped';

-- A call record of one leg: the argument of take_cdrs, and the row type of tenants' tables
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

-- A record that was acknowledged must survive a crash of the server, whatever its default is. The setting lasts until the
-- end of the transaction.
CREATE FUNCTION public.commit_to_disk() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END $$;
