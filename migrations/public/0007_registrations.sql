-- Registrations of phones: each switch writes its own, for the REST API and the portal.
-- A switch's login needs INSERT, UPDATE and DELETE on public.registrations, INSERT and UPDATE on public.device_alerts.

CREATE UNLOGGED TABLE public.registrations (
    switch        text NOT NULL,
    profile       text NOT NULL,
    tenant_id     uuid NOT NULL,
    sip_user      text NOT NULL,
    domain        text NOT NULL,
    extension     text NOT NULL,
    device        text,
    address       inet,
    port          integer,
    user_agent    text NOT NULL,
    transport     text NOT NULL,
    call_id       text,
    registered_at timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    PRIMARY KEY (switch, profile, sip_user, domain)
);
CREATE INDEX registrations_tenant ON public.registrations (tenant_id);
COMMENT ON TABLE public.registrations IS 'Registrations of phones; unlogged, because the switches write them again. A row counts until expires_at, and while its switch reports (public.switches.last_seen)';
COMMENT ON COLUMN public.registrations.switch IS 'Name of the switch; no foreign key, because rows come before the first report';
COMMENT ON COLUMN public.registrations.tenant_id IS 'No foreign key, because the tenant may have been dropped';
COMMENT ON COLUMN public.registrations.sip_user IS 'The extension''s number, or the user of a Device''s line';
COMMENT ON COLUMN public.registrations.domain IS 'Domain as the phone spells it';
COMMENT ON COLUMN public.registrations.extension IS 'Name of the Extension';
COMMENT ON COLUMN public.registrations.device IS 'Name of the Device; null for the extension''s own user';
COMMENT ON COLUMN public.registrations.user_agent IS 'The phone''s own text: untrusted';
COMMENT ON COLUMN public.registrations.transport IS 'udp, tcp, tls, ws or wss; empty when unknown';
COMMENT ON COLUMN public.registrations.call_id IS 'Call-ID of its REGISTER requests: the phone''s own text';

CREATE TABLE public.device_alerts (
    tenant_id     uuid NOT NULL REFERENCES public.tenants ON DELETE CASCADE,
    device        text NOT NULL,
    minutes       integer NOT NULL,
    registered_at timestamptz NOT NULL,
    announced_at  timestamptz,
    PRIMARY KEY (tenant_id, device)
);
COMMENT ON TABLE public.device_alerts IS 'Devices with alertWhenOffline that were registered';
COMMENT ON COLUMN public.device_alerts.minutes IS 'Minutes without a registration until the absence is announced';
COMMENT ON COLUMN public.device_alerts.registered_at IS 'When one of its lines was registered last, to half a minute';
COMMENT ON COLUMN public.device_alerts.announced_at IS 'When the absence was announced; null while the Device is there';
