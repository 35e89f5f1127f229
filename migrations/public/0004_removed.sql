-- Tenants that were dropped. A switch that still holds one learns from its row here that the tenant was removed. Without
-- that row, the tenant may be missing because the database was set back to an older state, and then it comes back.

CREATE TABLE public.removed_tenants (
    id         uuid PRIMARY KEY,
    revision   bigint NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE public.removed_tenants IS 'Tenants whose schema was dropped, for 90 days';
COMMENT ON COLUMN public.removed_tenants.revision IS 'Higher than every revision that the tenant had';
