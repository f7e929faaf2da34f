-- What persist itself needs: the change log, the outbox, the idempotency records, and how a commit refuses.
-- The roles `artel` (owns nothing, bound to a workspace by row-level security) and `artel_system` (sees all) exist.

-- Ends a transaction because a condition of a mutation did not hold.
CREATE FUNCTION artel_fail(mutation bigint, condition text, field text, actual text) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'AR001',
        MESSAGE = 'artel: condition',
        DETAIL = json_build_object(
            'mutation', mutation, 'condition', condition, 'field', field, 'actual', left(actual, 200)
        )::text;
END $$;

-- What of the first differs in the second.
CREATE FUNCTION artel_difference(one jsonb, other jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_object_agg(key, value) FILTER (WHERE value IS DISTINCT FROM other -> key), '{}')
    FROM jsonb_each(one)
$$;

-- The transaction's number: transactions that are over have smaller ones than pg_snapshot_xmin, so reading below that
-- in the order of (txid, position) never skips one that commits late.
CREATE FUNCTION artel_txid() RETURNS bigint
LANGUAGE sql VOLATILE AS $$ SELECT pg_current_xact_id()::text::bigint $$;

-- Who changed what, and when.
CREATE TABLE change_log (
    txid bigint NOT NULL DEFAULT artel_txid(),
    position bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    workspace_id uuid NOT NULL,
    entity text NOT NULL,
    entity_id uuid NOT NULL,
    operation text NOT NULL,
    version bigint NOT NULL,
    ordinal integer NOT NULL,           -- the mutation's place in its commit
    actor_user text NOT NULL,
    actor_service text NOT NULL,
    trace text NOT NULL,
    time timestamptz NOT NULL DEFAULT now(),
    before jsonb,
    after jsonb,
    PRIMARY KEY (txid, position)
);
CREATE INDEX change_log_entity_idx ON change_log (workspace_id, entity, entity_id, position);

-- Events on their way to the broker, in the order of their commits.
CREATE TABLE outbox (
    txid bigint NOT NULL DEFAULT artel_txid(),
    position bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    type text NOT NULL,
    name text NOT NULL,
    key text NOT NULL,
    body bytea NOT NULL,
    actor_user text NOT NULL,
    actor_service text NOT NULL,
    trace text NOT NULL,
    time timestamptz NOT NULL DEFAULT now(),
    expire_time timestamptz,
    unroutable boolean NOT NULL DEFAULT false,
    PRIMARY KEY (txid, position)
);

-- How far the relay is: everything up to here was taken by the broker.
CREATE TABLE relay (
    name text PRIMARY KEY,
    txid bigint NOT NULL,
    position bigint NOT NULL,
    time timestamptz NOT NULL DEFAULT now()
);
INSERT INTO relay (name, txid, position) VALUES ('outbox', 0, 0);

-- What makes a commit happen once.
CREATE TABLE idempotency (
    workspace_id uuid NOT NULL,
    key text NOT NULL,
    digest bytea NOT NULL,
    answer bytea NOT NULL,
    commit_id uuid NOT NULL,
    txid bigint NOT NULL DEFAULT artel_txid(),
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, key)
);
CREATE INDEX idempotency_expire_time_idx ON idempotency (expire_time);

-- A row that persist must not see at start: the proof that the policies bite.
CREATE TABLE canary (workspace_id uuid PRIMARY KEY);
INSERT INTO canary VALUES ('ffffffff-ffff-7fff-bfff-ffffffffffff');

ALTER TABLE change_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE canary ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON change_log USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
CREATE POLICY workspace ON outbox USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
CREATE POLICY workspace ON idempotency USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
CREATE POLICY workspace ON canary USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);

GRANT SELECT, INSERT ON change_log, idempotency, canary TO artel;
GRANT INSERT ON outbox TO artel;
GRANT SELECT ON change_log, canary TO artel_system;
GRANT SELECT, UPDATE, DELETE ON outbox TO artel_system;
GRANT SELECT, DELETE ON idempotency TO artel_system;
GRANT SELECT, UPDATE ON relay TO artel_system;
