-- Who writes: one at a time.

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
COMMENT ON TABLE public.writer IS 'One row: who writes plans. A transaction that writes one checks that its term is still this one';
COMMENT ON COLUMN public.writer.term IS 'Goes up by one whenever somebody begins to write; only the last one may go on';
COMMENT ON COLUMN public.writer.holder IS 'Who that is, for people';
COMMENT ON COLUMN public.writer.lease IS 'UID of the Lease it was elected by; null without an election';
COMMENT ON COLUMN public.writer.transition IS 'How often that Lease had changed hands: an earlier leader of the same Lease cannot begin again';
COMMENT ON COLUMN public.writer.backend IS 'Process of Postgres that holds the advisory lock for it';
