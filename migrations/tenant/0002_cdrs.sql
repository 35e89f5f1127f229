-- Call records, by month of their start. They are written through a function that runs as the
-- tenant's role whoever calls it: a switch's login needs no right to any table here, can only add,
-- and cannot reach another tenant by a wrong statement. That is the only function here, for Postgres
-- looks at all functions of a name when it looks for one, and so at as many as there are tenants.

CREATE TABLE IF NOT EXISTS cdrs OF public.cdr (
    uuid         NOT NULL,
    leg          NOT NULL CHECK (leg IN ('a', 'b')),
    started_at   NOT NULL,
    received_at  NOT NULL,
    clock_skewed NOT NULL,
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
SELECT public.make_cdr_months();

-- Adds records; how many were new. A leg is there once, whatever start it says: no key of a partitioned
-- table can say that, and so one batch of a tenant at a time is added.
--
-- Every login that may read all data may use this schema too, and most of them have no business
-- here. A switch is known by its right to add to the quarantine: a grant a database, where one a
-- schema would be missing in those that are made later.
--
-- A caller's own temporary tables must not stand in for those of the tenant.
SELECT set_config('search_path', current_schema() || ', pg_temp', true);
CREATE OR REPLACE FUNCTION take_cdrs(records public.cdr[]) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT
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
