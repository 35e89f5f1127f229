-- Call records that have no place: nobody guesses at one. They are kept for 30 days (store/cdrs/keep.rs).
-- Who may add here may add to tenants' call records too (migrations/tenant/0002_cdrs.sql).

CREATE TABLE public.cdr_quarantine (
    digest      bytea PRIMARY KEY,
    reason      text NOT NULL,
    detail      text NOT NULL,
    tenant_id   uuid,
    uuid        uuid,
    received_at timestamptz NOT NULL,
    body        bytea NOT NULL
);
CREATE INDEX cdr_quarantine_received ON public.cdr_quarantine (received_at);
COMMENT ON TABLE public.cdr_quarantine IS 'Call records that no tenant could be found for, or that cannot be read';
COMMENT ON COLUMN public.cdr_quarantine.digest IS 'SHA-256 of the body: one that comes again is the same one';
COMMENT ON COLUMN public.cdr_quarantine.reason IS 'Why, from a fixed list of words';
COMMENT ON COLUMN public.cdr_quarantine.tenant_id IS 'The tenant a right signature names, where that is not the trouble; no key, for the tenant may be gone';
