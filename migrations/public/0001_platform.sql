-- What belongs to the platform, and what says which tenant is which.

CREATE TABLE public.platform (
    one_row     boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    revision    bigint NOT NULL DEFAULT 0,
    fingerprint bytea
);
INSERT INTO public.platform DEFAULT VALUES;
COMMENT ON TABLE public.platform IS 'One row: the revision of the platform''s own rows (sip_profiles, trunks, dial_rules)';
COMMENT ON COLUMN public.platform.fingerprint IS 'Of the whole plan, keyed; an equal plan is not written again';

CREATE TABLE public.system_settings (
    name   text PRIMARY KEY,
    sealed bytea NOT NULL
);
COMMENT ON TABLE public.system_settings IS 'Secrets of the installation, sealed (AES-256-GCM): key_check tells a wrong key file, signing_key signs what our dialplan writes';

CREATE TABLE public.tenants (
    id          uuid PRIMARY KEY,
    namespace   text NOT NULL,
    name        text NOT NULL,
    owner_uid   text NOT NULL,
    schema_name text NOT NULL,
    role_name   text NOT NULL,
    revision    bigint NOT NULL,
    fingerprint bytea,
    body        jsonb NOT NULL,
    suspended   boolean NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    retained_at timestamptz
);
CREATE UNIQUE INDEX tenants_live_name ON public.tenants (namespace, name) WHERE retained_at IS NULL;
COMMENT ON TABLE public.tenants IS 'Tenants: each has a schema, and a role without login that owns that schema and nothing else';
COMMENT ON COLUMN public.tenants.namespace IS 'Namespace of the Tenant resource';
COMMENT ON COLUMN public.tenants.name IS 'Name of the Tenant resource';
COMMENT ON COLUMN public.tenants.owner_uid IS 'UID of the Tenant resource: only this owner may drop the schema';
COMMENT ON COLUMN public.tenants.revision IS 'Goes up by one with every change of the tenant';
COMMENT ON COLUMN public.tenants.fingerprint IS 'Of the whole plan, keyed; an equal plan is not written again';
COMMENT ON COLUMN public.tenants.body IS 'The tenant as compiled';
COMMENT ON COLUMN public.tenants.retained_at IS 'When the Tenant resource went and its data were kept; nothing is served for it';

CREATE TABLE public.tenant_migrations (
    tenant_id  uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    version    integer NOT NULL,
    name       text NOT NULL,
    checksum   bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, version)
);
COMMENT ON TABLE public.tenant_migrations IS 'Which files of migrations/tenant each tenant''s schema has';

CREATE TABLE public.domains (
    domain    text PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE
);
CREATE INDEX domains_tenant ON public.domains (tenant_id);
COMMENT ON TABLE public.domains IS 'SIP domains, each held by one tenant';

CREATE TABLE public.numbers (
    number    text PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE
);
CREATE INDEX numbers_tenant ON public.numbers (tenant_id);
COMMENT ON TABLE public.numbers IS 'Public numbers (E.164), each held by one tenant';

CREATE TABLE public.sip_profiles (
    name        text PRIMARY KEY,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE public.sip_profiles IS 'Sofia profiles of the switches';
COMMENT ON COLUMN public.sip_profiles.uid IS 'Of the resource that the row was compiled from, when it was written; as its generation';

CREATE TABLE public.trunks (
    name        text PRIMARY KEY,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE public.trunks IS 'Trunks of all namespaces; name is namespace/name';
COMMENT ON COLUMN public.trunks.sealed IS 'Credentials, AES-256-GCM: key version (4 bytes), nonce (12), ciphertext with tag';

CREATE TABLE public.dial_rules (
    name        text PRIMARY KEY,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint
);
COMMENT ON TABLE public.dial_rules IS 'The platform''s dial plan before and after every tenant''s';
