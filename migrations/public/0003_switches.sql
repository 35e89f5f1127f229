-- The switches, and what each of them holds: written by their sidecars, read by whoever says what
-- is live.

CREATE TABLE public.switches (
    name              text PRIMARY KEY,
    instance          uuid        NOT NULL,
    hostname          text,
    version           text,
    platform_revision bigint      NOT NULL DEFAULT 0,
    started_at        timestamptz NOT NULL DEFAULT now(),
    last_seen         timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE public.switches IS 'Running FreeSWITCHes with their sidecars';
COMMENT ON COLUMN public.switches.instance IS 'The sidecar process: of two with one name the younger reports';
COMMENT ON COLUMN public.switches.version IS 'Of FreeSWITCH; null until it was asked';

CREATE TABLE public.switch_state (
    switch    text   NOT NULL REFERENCES public.switches (name) ON DELETE CASCADE,
    tenant_id uuid   NOT NULL,
    revision  bigint NOT NULL,
    PRIMARY KEY (switch, tenant_id)
);
COMMENT ON TABLE public.switch_state IS 'The revision of each tenant that each switch answers with';
