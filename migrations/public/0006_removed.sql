-- Tenants that are gone for good. Whoever still holds one is told by its row here that it was removed: a
-- database that was set back to an older state does not have it either, and there it is to come back.

CREATE TABLE public.removed_tenants (
    id         uuid PRIMARY KEY,
    revision   bigint NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE public.removed_tenants IS 'Tenants whose schema was dropped, for 90 days';
COMMENT ON COLUMN public.removed_tenants.revision IS 'Higher than every revision the tenant had';
