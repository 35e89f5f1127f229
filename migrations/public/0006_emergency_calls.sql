-- Emergency calls: a switch adds one row a call; the operator raises the event; the notifications read the rest.
-- A switch's login needs INSERT here, and nothing else.

CREATE TABLE public.emergency_calls (
    uuid         uuid NOT NULL,
    number       text NOT NULL,
    called_at    timestamptz NOT NULL,
    tenant_id    uuid NOT NULL,
    extension    text NOT NULL,
    internal     text,
    shown        text,
    location     jsonb,
    switch       text NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    announced_at timestamptz,
    delivered_at timestamptz,
    PRIMARY KEY (uuid, number)
);
CREATE INDEX emergency_calls_unannounced ON public.emergency_calls (called_at) WHERE announced_at IS NULL;
CREATE INDEX emergency_calls_undelivered ON public.emergency_calls (called_at) WHERE delivered_at IS NULL;
COMMENT ON TABLE public.emergency_calls IS 'Emergency calls of all tenants';
COMMENT ON COLUMN public.emergency_calls.uuid IS 'The caller''s leg, as in its call record';
COMMENT ON COLUMN public.emergency_calls.number IS 'The emergency number';
COMMENT ON COLUMN public.emergency_calls.tenant_id IS 'No foreign key, because the tenant may have been dropped';
COMMENT ON COLUMN public.emergency_calls.extension IS 'Name of the Extension that called';
COMMENT ON COLUMN public.emergency_calls.internal IS 'Its internal number';
COMMENT ON COLUMN public.emergency_calls.shown IS 'The number that the emergency service was shown';
COMMENT ON COLUMN public.emergency_calls.location IS 'The caller''s location as it was then: name, number, address, who is notified';
COMMENT ON COLUMN public.emergency_calls.announced_at IS 'When the operator raised the event on the Tenant; null without a cluster';
COMMENT ON COLUMN public.emergency_calls.delivered_at IS 'When everybody was notified whom the location names';
