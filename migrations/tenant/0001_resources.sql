-- One tenant's compiled resources. This file runs as the tenant's role, with its schema first in the search path.
--
-- Every table costs each tenant six to eight rows in Postgres' catalog (its TOAST table and indexes count), and a
-- catalog of 1,000 tenants slows DDL, backups and pg_upgrade down. So resources of all kinds share one table.

CREATE TABLE IF NOT EXISTS resources (
    kind        text NOT NULL,
    name        text NOT NULL,
    number      text GENERATED ALWAYS AS (coalesce(body ->> 'number', body ->> 'code')) STORED,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint,
    PRIMARY KEY (kind, name),
    -- Checked at the end of a statement, because two rows may swap their numbers in one.
    UNIQUE (kind, number) DEFERRABLE
);
COMMENT ON TABLE resources IS 'Compiled resources of all kinds';
COMMENT ON COLUMN resources.number IS 'What callers dial for it, taken from the body, so that the two cannot differ';
COMMENT ON COLUMN resources.sealed IS 'Secrets, AES-256-GCM: key version (4 bytes), nonce (12), ciphertext with tag';
COMMENT ON COLUMN resources.uid IS 'UID of the Kubernetes object that the row was compiled from. A resource that became invalid may keep its last row';
COMMENT ON COLUMN resources.generation IS 'Generation of that object';

-- Views are for people and reports, which join calls with these four kinds. Centrex itself uses the table. Each view
-- takes 0.7 of the 12 ms that a schema takes, so other kinds have none: SELECT … FROM resources WHERE kind = 'Schedule'.
CREATE OR REPLACE VIEW extensions AS
    SELECT name, number, body, sealed, fingerprint, uid, generation FROM resources WHERE kind = 'Extension';
CREATE OR REPLACE VIEW ring_groups AS
    SELECT name, number, body, sealed, fingerprint, uid, generation FROM resources WHERE kind = 'RingGroup';
CREATE OR REPLACE VIEW queues AS
    SELECT name, number, body, sealed, fingerprint, uid, generation FROM resources WHERE kind = 'Queue';
CREATE OR REPLACE VIEW numbers AS
    SELECT name, number, body, sealed, fingerprint, uid, generation FROM resources WHERE kind = 'Number';

-- A reader that holds one of the last revisions reads only the rows that changed since. A revision that is missing
-- here, or that did not follow the fingerprint that the reader holds, is read as a whole.
CREATE TABLE IF NOT EXISTS changes (
    revision bigint PRIMARY KEY,
    before   bytea NOT NULL,
    rows     jsonb NOT NULL
);
COMMENT ON TABLE changes IS 'Last revisions: the fingerprint of the plan before, and the names of rows that were added, changed or deleted, by kind';
