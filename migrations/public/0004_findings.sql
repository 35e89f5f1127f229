-- What a switch says of itself, besides the revisions it answers with.

ALTER TABLE public.switches ADD COLUMN findings jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN public.switches.findings IS 'What its sidecar found on it: version, connection, drift, problems by tenant, states of gateways by trunk';
