-- Call records. A switch adds them through a function that runs as the tenant's role: a switch's login needs no right
-- to any table here, can only add, and cannot reach another tenant by a wrong statement. It is the only function of
-- the schema: Postgres looks at all functions of a name when it resolves one, and so at as many as there are tenants.

CREATE TABLE IF NOT EXISTS cdrs OF public.cdr (
    uuid         NOT NULL,
    leg          NOT NULL CHECK (leg IN ('a', 'b')),
    started_at   NOT NULL,
    received_at  NOT NULL,
    clock_skewed NOT NULL,
    PRIMARY KEY (uuid, leg)
);
CREATE INDEX IF NOT EXISTS cdrs_started_at ON cdrs (started_at);
COMMENT ON TABLE cdrs IS 'Call records, one a leg: a leg that is sent again is not added again';
COMMENT ON COLUMN cdrs.leg IS 'a: the leg that called; b: a leg that Centrex called for it';
COMMENT ON COLUMN cdrs.clock_skewed IS 'The times are in the future, or more than a day before the record was received: a clock is wrong';
COMMENT ON COLUMN cdrs.trunk IS 'Namespace and name of the Trunk it went out or came in by, as far as the switch knew it';
COMMENT ON COLUMN cdrs.recording IS 'Relative to the tenant''s media directory';
COMMENT ON COLUMN cdrs.packets_lost IS 'Packets FreeSWITCH skipped or missed in what it received';

-- Adds records, and returns how many were new.
--
-- Every login that may read all data may use this schema too, and most of them must not add records. A switch is
-- known by its right to add to the quarantine: one grant a database, where a grant a schema would be missing in
-- schemas that are made later.
--
-- pg_temp comes last in the search path: a caller's temporary tables must not replace those of the tenant.
SELECT set_config('search_path', current_schema() || ', pg_temp', true);
-- Postgres would compile the same body for each tenant, which takes as long as the table.
SET LOCAL check_function_bodies = off;
CREATE OR REPLACE FUNCTION take_cdrs(records public.cdr[]) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
DECLARE
    added bigint;
BEGIN
    IF NOT has_table_privilege(session_user, 'public.cdr_quarantine', 'INSERT') THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'login %s may not add call records; the owner can allow it: GRANT INSERT ON public.cdr_quarantine', session_user);
    END IF;
    PERFORM public.commit_to_disk();
    -- In order, so that two batches with the same legs wait for each other once, and not in a circle.
    INSERT INTO cdrs
    SELECT DISTINCT ON (uuid, leg) * FROM unnest(records) ORDER BY uuid, leg
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END $$;
