-- The switches and the revisions that each of them serves: written by their sidecars, read by the operator.

CREATE TABLE public.switches (
    name              text PRIMARY KEY,
    instance          uuid        NOT NULL,
    hostname          text,
    version           text,
    platform_revision bigint      NOT NULL DEFAULT 0,
    started_at        timestamptz NOT NULL DEFAULT now(),
    last_seen         timestamptz NOT NULL DEFAULT now(),
    findings          jsonb       NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE public.switches IS 'Running FreeSWITCHes with their sidecars';
COMMENT ON COLUMN public.switches.instance IS 'The sidecar process: of two with one name the younger reports';
COMMENT ON COLUMN public.switches.version IS 'Version of FreeSWITCH; null until FreeSWITCH was asked';
COMMENT ON COLUMN public.switches.findings IS 'What the sidecar found on the switch: version, connection, drift, problems by tenant, states of gateways by trunk';

CREATE TABLE public.switch_state (
    switch    text   NOT NULL REFERENCES public.switches (name) ON DELETE CASCADE,
    tenant_id uuid   NOT NULL,
    revision  bigint NOT NULL,
    PRIMARY KEY (switch, tenant_id)
);
COMMENT ON TABLE public.switch_state IS 'The revision of each tenant that each switch serves';
