-- Idempotency records go a table at a time, as the outbox goes a day at a time, and nobody deletes them one by one.
--
-- A key must be known for as long as it is kept, so a commit looks for it wherever it may be. Days would be many places
-- to look; there are two tables: the keys of this turn, and those of the turn before. A turn lasts as long as a key is
-- kept. When it ends, the table of the turn before, in which all is older by then, is emptied, and the two change names.
-- A copy of an older version, which looks for the column `expire_time`, stops committing here.
ALTER TABLE idempotency DROP COLUMN expire_time;

-- What tells what became of a commit without a key of its caller's. It is needed for minutes and has turns of its own.
CREATE TABLE outcome (LIKE idempotency INCLUDING ALL);
CREATE TABLE idempotency_before (LIKE idempotency INCLUDING ALL);
CREATE TABLE outcome_before (LIKE idempotency INCLUDING ALL);
ALTER TABLE outcome ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_before ENABLE ROW LEVEL SECURITY;
ALTER TABLE outcome_before ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON outcome USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
CREATE POLICY workspace ON idempotency_before USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
CREATE POLICY workspace ON outcome_before USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON outcome, idempotency_before, outcome_before TO artel;
REVOKE ALL ON idempotency FROM artel_system;

-- Since when the turns last.
CREATE TABLE idempotency_turn (
    name text PRIMARY KEY,
    time timestamptz NOT NULL DEFAULT now()
);
INSERT INTO idempotency_turn (name) VALUES ('idempotency'), ('outcome');

-- Begins the next turn of a table where this one has lasted for so long, and says whether it did. It does not wait for
-- long: writers would wait behind it.
CREATE FUNCTION artel_turn_keys(name text, keep interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    before text := name || '_before';
BEGIN
    IF NOT EXISTS (SELECT FROM idempotency_turn t WHERE t.name = $1 AND time <= now() - keep) THEN
        RETURN false;
    END IF;
    -- Whoever takes a key holds the table to the end of their transaction, so the commits of the old turn are over here:
    -- those that come later see all of its keys. What they have prepared, PostgreSQL plans anew for the new names.
    EXECUTE format('LOCK TABLE %I, %I IN ACCESS EXCLUSIVE MODE', name, before);
    UPDATE idempotency_turn t SET time = clock_timestamp() WHERE t.name = $1 AND time <= now() - keep;
    -- Another copy was faster.
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    EXECUTE format('TRUNCATE %I', before);
    EXECUTE format('ALTER TABLE %I RENAME TO %I', name, name || '_turning');
    EXECUTE format('ALTER TABLE %I RENAME TO %I', before, name);
    EXECUTE format('ALTER TABLE %I RENAME TO %I', name || '_turning', before);
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION artel_turn_keys(text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION artel_turn_keys(text, interval) TO artel_system;
