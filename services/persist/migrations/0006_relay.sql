-- The relay's work is divided into shards by the key of the events, so that several copies of persist relay at once; the
-- outbox becomes a partition a day, so that what is old goes with its partition; and what was replayed to whom is kept.

-- Events of one key are in one shard. Sixteen, as many as there are rows in `relay`.
CREATE FUNCTION artel_shard(key text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtext(key) & 15 $$;

-- How far each shard is. A copy of an older version, which looks for the column `name`, stops relaying here.
ALTER TABLE relay RENAME TO relay_before;
ALTER INDEX relay_pkey RENAME TO relay_before_pkey;
CREATE TABLE relay (
    shard integer PRIMARY KEY,
    txid bigint NOT NULL,
    until bigint NOT NULL,
    position bigint NOT NULL,
    time timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10);
INSERT INTO relay (shard, txid, until, position)
SELECT shard, txid, until, position FROM relay_before, generate_series(0, 15) AS shard WHERE name = 'outbox';
DROP TABLE relay_before;
GRANT SELECT, UPDATE ON relay TO artel_system;

-- The outbox, partitioned by position. Each day has a range of positions of its own, 2^40 of them, and the sequence jumps
-- into it when the day comes. Positions still only grow, and a reader that knows how far it is looks into one partition.
ALTER TABLE outbox RENAME TO outbox_before;
ALTER TABLE outbox_before ALTER COLUMN position DROP IDENTITY;
ALTER TABLE outbox_before DROP CONSTRAINT outbox_pkey;
ALTER TABLE outbox_before ADD CONSTRAINT outbox_before_pkey PRIMARY KEY USING INDEX outbox_position_idx;
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
    PRIMARY KEY (position)
) PARTITION BY RANGE (position);
CREATE INDEX outbox_txid_idx ON outbox (txid, position);
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON outbox USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT INSERT ON outbox TO artel;
GRANT SELECT, UPDATE ON outbox TO artel_system;

-- The partitions that there are. Nobody is let into one but through the outbox.
CREATE TABLE outbox_day (
    name text PRIMARY KEY,
    first bigint NOT NULL UNIQUE,       -- the first position of the day
    make_time timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON outbox_day TO artel_system;

-- The first position of a day.
CREATE FUNCTION artel_first_position(day date) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT (day - date '2000-01-01')::bigint << 40 $$;

-- Makes the partitions of this day and so many after it, and says how many it made. A partition is filled and checked
-- before it is attached, which waits for no writer.
CREATE FUNCTION artel_make_outbox_days(today date, ahead integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    made bigint := 0;
    day date;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(x'006172746c000001'::bigint);
    FOR day IN SELECT today + n FROM generate_series(0, ahead) AS n LOOP
        partition := 'outbox_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN EXISTS (SELECT FROM outbox_day WHERE name = partition);
        EXECUTE format('CREATE TABLE %I (LIKE outbox INCLUDING DEFAULTS INCLUDING INDEXES)', partition);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition);
        EXECUTE format('ALTER TABLE outbox ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            partition, artel_first_position(day), artel_first_position(day + 1));
        INSERT INTO outbox_day (name, first) VALUES (partition, artel_first_position(day));
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

-- Lets positions jump into this day's range once. Only where its partition has been there for a while: a statement that
-- began before it was made does not know it.
CREATE FUNCTION artel_turn_outbox_day(today date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    start bigint := artel_first_position(today);
BEGIN
    PERFORM pg_advisory_xact_lock(x'006172746c000001'::bigint);
    IF (SELECT last_value >= start FROM outbox_position_seq)
        OR NOT EXISTS (SELECT FROM outbox_day WHERE first = start AND make_time < now() - interval '1 minute')
    THEN
        RETURN false;
    END IF;
    PERFORM setval('outbox_position_seq', start, false);
    RETURN true;
END $$;

-- Drops the oldest partition where all of it is older than so many days, and was published. Says which; NULL where there
-- is none. It does not wait for long: writers would wait behind it.
CREATE FUNCTION artel_drop_outbox_day(today date, days integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    oldest text;
    next_first bigint;
    last_txid bigint;
    last_time timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(x'006172746c000001'::bigint);
    SELECT name INTO oldest FROM outbox_day ORDER BY first LIMIT 1;
    SELECT first INTO next_first FROM outbox_day ORDER BY first OFFSET 1 LIMIT 1;
    -- It may still be written into while positions are in its range.
    IF next_first IS NULL OR next_first > artel_first_position(today - days)
        OR (SELECT last_value < next_first FROM outbox_position_seq)
    THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT max(txid) FROM %I', oldest) INTO last_txid;
    EXECUTE format('SELECT time FROM %I ORDER BY position DESC LIMIT 1', oldest) INTO last_time;
    IF last_txid >= (SELECT min(txid) FROM relay) OR last_time >= today - days THEN
        RETURN NULL;
    END IF;
    EXECUTE format('ALTER TABLE outbox DETACH PARTITION %I', oldest);
    EXECUTE format('DROP TABLE %I', oldest);
    DELETE FROM outbox_day WHERE name = oldest;
    RETURN oldest;
END $$;

REVOKE ALL ON FUNCTION artel_make_outbox_days(date, integer), artel_turn_outbox_day(date),
    artel_drop_outbox_day(date, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION artel_make_outbox_days(date, integer), artel_turn_outbox_day(date),
    artel_drop_outbox_day(date, integer) TO artel_system;

-- What there is stays where it is, as the partition of all days before this one.
DO $$ BEGIN
    EXECUTE format('ALTER TABLE outbox ATTACH PARTITION outbox_before FOR VALUES FROM (MINVALUE) TO (%s)',
        artel_first_position(current_date));
END $$;
INSERT INTO outbox_day (name, first) VALUES ('outbox_before', 0);
SELECT artel_make_outbox_days(current_date, 3);
SELECT setval('outbox_position_seq', artel_first_position(current_date), false);

-- In a cluster that was restored from a dump transactions count from the beginning again, so those of the dump seem to lie
-- in the future. What was published goes before the next window, what was not into it. What was committed since, which has
-- greater positions than anything in the dump, stays as it is.
CREATE FUNCTION artel_restore_relay() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(x'006172746c000002'::bigint);
    WITH future AS MATERIALIZED (
        SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS txid
    ), dump AS MATERIALIZED (
        SELECT greatest(
            (SELECT max(o.position) FROM outbox o WHERE o.txid >= f.txid),
            (SELECT max(r.position) FROM relay r WHERE r.txid >= f.txid)
        ) AS last
        FROM future f
    ), moved AS (
        UPDATE outbox o
        SET txid = CASE WHEN o.txid < r.txid OR o.txid < r.until AND o.position <= r.position THEN 0 ELSE 1 END
        FROM dump d, relay r WHERE o.position <= d.last AND r.shard = artel_shard(o.key)
    )
    UPDATE relay r SET txid = 1, until = 1, position = 0
    FROM dump d WHERE d.last IS NOT NULL;
END $$;

-- The sweeper passes over records that another copy is at.
GRANT UPDATE ON idempotency TO artel_system;

-- Past events that an operator had sent to a service once more.
CREATE TABLE replay (
    id uuid PRIMARY KEY,
    service text NOT NULL,
    events text[] NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    only_workspace uuid,                -- NULL for the events of all
    force boolean NOT NULL,
    before_txid bigint NOT NULL,        -- what was published when it began
    position bigint NOT NULL DEFAULT 0, -- everything up to here was sent
    found bigint NOT NULL,
    sent bigint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'cancelled')),
    actor_user text NOT NULL,
    actor_service text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE ON replay TO artel_system;
GRANT INSERT ON change_log TO artel_system;
