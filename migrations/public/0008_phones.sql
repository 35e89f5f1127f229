-- Phones that fetch their configuration: what `centrex api` and standalone record of them. A login that serves phones
-- needs INSERT, UPDATE and DELETE on both tables, and may read.

CREATE TABLE public.phones (
    tenant_id       uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    device          text NOT NULL,
    fetched_at      timestamptz,
    fingerprint     bytea,
    address         inet,
    user_agent      text,
    enrolled_at     timestamptz,
    enrolled_window timestamptz,
    PRIMARY KEY (tenant_id, device)
);
COMMENT ON TABLE public.phones IS 'Phones: the last time that each fetched its settings, until 90 days after it';
COMMENT ON COLUMN public.phones.device IS 'Name of the Device';
COMMENT ON COLUMN public.phones.fetched_at IS 'When it last got its settings, or was told that it has them';
COMMENT ON COLUMN public.phones.fingerprint IS 'SHA-256 of what the settings were made of: where the Device''s differs, the phone does not have the current ones';
COMMENT ON COLUMN public.phones.user_agent IS 'What the phone called itself, at most 200 characters';
COMMENT ON COLUMN public.phones.enrolled_at IS 'When it got its provisioning password without showing one';
COMMENT ON COLUMN public.phones.enrolled_window IS 'The enrollUntil of the Device then: nothing is got a second time in one window';

CREATE TABLE public.phone_fetches (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    device     text NOT NULL,
    fetched_at timestamptz NOT NULL,
    address    inet NOT NULL,
    user_agent text NOT NULL,
    file       text NOT NULL,
    result     text NOT NULL
);
CREATE INDEX phone_fetches_device ON public.phone_fetches (tenant_id, device, id);
CREATE INDEX phone_fetches_time ON public.phone_fetches (fetched_at);
COMMENT ON TABLE public.phone_fetches IS 'Requests of known phones: the last 50 of each Device, for 90 days';
COMMENT ON COLUMN public.phone_fetches.file IS 'The file''s name, as it was asked for';
COMMENT ON COLUMN public.phone_fetches.result IS 'What came of it, from a fixed list of words';
