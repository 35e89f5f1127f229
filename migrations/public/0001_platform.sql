-- The platform's resources, and the registry of tenants.

CREATE TABLE public.platform (
    one_row     boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    revision    bigint NOT NULL DEFAULT 0,
    fingerprint bytea
);
INSERT INTO public.platform DEFAULT VALUES;
COMMENT ON TABLE public.platform IS 'One row: the revision of the platform''s own rows (platform_resources)';
COMMENT ON COLUMN public.platform.fingerprint IS 'Keyed hash of the whole plan: a plan with the same one is not written again';

CREATE TABLE public.system_settings (
    name   text PRIMARY KEY,
    sealed bytea NOT NULL
);
COMMENT ON TABLE public.system_settings IS 'Secrets of the installation, sealed (AES-256-GCM): key_check detects a wrong key file, signing_key signs what our dialplan writes';

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
COMMENT ON COLUMN public.tenants.fingerprint IS 'Keyed hash of the whole plan: a plan with the same one is not written again';
COMMENT ON COLUMN public.tenants.body IS 'The tenant as compiled';
COMMENT ON COLUMN public.tenants.retained_at IS 'When the Tenant resource was deleted and its data were kept; nothing is served for it';

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

-- The platform's compiled resources, in the columns of a tenant's table (migrations/tenant/0001_resources.sql).
CREATE TABLE public.platform_resources (
    kind        text NOT NULL,
    name        text NOT NULL,
    body        jsonb NOT NULL,
    sealed      bytea,
    fingerprint bytea NOT NULL,
    uid         text,
    generation  bigint,
    PRIMARY KEY (kind, name)
);
COMMENT ON TABLE public.platform_resources IS 'Compiled resources of the platform; a view for each kind has its rows';
COMMENT ON COLUMN public.platform_resources.sealed IS 'Secrets, AES-256-GCM: key version (4 bytes), nonce (12), ciphertext with tag';
COMMENT ON COLUMN public.platform_resources.uid IS 'UID of the Kubernetes object that the row was compiled from. A resource that became invalid may keep its last row';
COMMENT ON COLUMN public.platform_resources.generation IS 'Generation of that object';

CREATE VIEW public.sip_profiles AS
    SELECT name, body, sealed, fingerprint, uid, generation FROM public.platform_resources WHERE kind = 'SipProfile';
COMMENT ON VIEW public.sip_profiles IS 'Sofia profiles of the switches';

CREATE VIEW public.trunks AS
    SELECT name, body, sealed, fingerprint, uid, generation FROM public.platform_resources WHERE kind = 'Trunk';
COMMENT ON VIEW public.trunks IS 'Trunks of all namespaces; name is namespace/name';

CREATE VIEW public.dial_rules AS
    SELECT name, body, sealed, fingerprint, uid, generation FROM public.platform_resources WHERE kind = 'DialRule';
COMMENT ON VIEW public.dial_rules IS 'The platform''s dial plan before and after every tenant''s';
