-- Compiled rows of one tenant. Run as the tenant's role, with its schema first in the search path.
-- A number is taken from the body, so that the two cannot differ; its uniqueness is checked at the
-- end of a statement, because two rows may swap their numbers.
--
-- uid and generation are those of the resource that the row was compiled from, when it was written: a
-- resource that is not accepted any more may keep its last row, and its status says of which generation.

CREATE TABLE IF NOT EXISTS extensions (
    name        text PRIMARY KEY,
    number      text GENERATED ALWAYS AS (body ->> 'number') STORED UNIQUE DEFERRABLE,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE extensions IS 'Extensions: number is what phones dial and the SIP user';

CREATE TABLE IF NOT EXISTS ring_groups (
    name        text PRIMARY KEY,
    number      text GENERATED ALWAYS AS (body ->> 'number') STORED UNIQUE DEFERRABLE,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE ring_groups IS 'Ring groups';

CREATE TABLE IF NOT EXISTS queues (
    name        text PRIMARY KEY,
    number      text GENERATED ALWAYS AS (body ->> 'number') STORED UNIQUE DEFERRABLE,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE queues IS 'Queues and their agents';

CREATE TABLE IF NOT EXISTS ivr_menus (
    name        text PRIMARY KEY,
    number      text GENERATED ALWAYS AS (body ->> 'number') STORED UNIQUE DEFERRABLE,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE ivr_menus IS 'IVR menus';

CREATE TABLE IF NOT EXISTS conferences (
    name        text PRIMARY KEY,
    number      text GENERATED ALWAYS AS (body ->> 'number') STORED UNIQUE DEFERRABLE,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE conferences IS 'Conference rooms';

CREATE TABLE IF NOT EXISTS schedules (
    name        text PRIMARY KEY,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE schedules IS 'Schedules: opening hours and holidays';

CREATE TABLE IF NOT EXISTS numbers (
    name        text PRIMARY KEY,
    number      text GENERATED ALWAYS AS (body ->> 'number') STORED UNIQUE DEFERRABLE,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE numbers IS 'Public numbers (E.164) and where their calls go';

CREATE TABLE IF NOT EXISTS outbound_routes (
    name        text PRIMARY KEY,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE outbound_routes IS 'Outbound routes';

CREATE TABLE IF NOT EXISTS feature_codes (
    name        text PRIMARY KEY,
    code        text GENERATED ALWAYS AS (body ->> 'code') STORED UNIQUE DEFERRABLE,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE feature_codes IS 'Feature codes';

-- What the last revisions changed, for whoever holds one of them. A revision that is not here, or is not
-- from the one with the fingerprint that is held, is read as a whole.
CREATE TABLE IF NOT EXISTS changes (
    revision bigint PRIMARY KEY,
    before   bytea NOT NULL,
    rows     jsonb NOT NULL
);
COMMENT ON TABLE changes IS 'Last revisions: the fingerprint of the plan before, and names of the rows that are new, different or gone, by table';
