-- The one process that may write plans.

CREATE TABLE public.writer (
    one_row    boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    term       bigint NOT NULL DEFAULT 0,
    holder     text NOT NULL DEFAULT '',
    lease      text,
    transition bigint,
    backend    integer,
    since      timestamptz NOT NULL DEFAULT now()
);
INSERT INTO public.writer DEFAULT VALUES;
COMMENT ON TABLE public.writer IS 'One row: the process that writes plans. A transaction that writes a plan checks that its term is still this one';
COMMENT ON COLUMN public.writer.term IS 'Goes up by one with every new writer; only the writer of the newest term may write';
COMMENT ON COLUMN public.writer.holder IS 'Name of the writer, for people';
COMMENT ON COLUMN public.writer.lease IS 'UID of the Lease that elected the writer; null without an election';
COMMENT ON COLUMN public.writer.transition IS 'leaseTransitions of that Lease: an earlier leader of the same Lease cannot become the writer again';
COMMENT ON COLUMN public.writer.backend IS 'Postgres process that holds the writer''s advisory lock';
