-- The relay's windows lie between snapshots of the transactions that are over: what the later one sees and the earlier
-- does not, in the order of positions. A window that ended at the oldest running transaction could tear the order of a
-- row apart, and waited for that transaction.

-- What `since` sees is published, and of what `until` sees everything up to `position`. Both are a pg_snapshot's text. A
-- copy of an older version, which looks for the column `txid`, stops relaying here.
ALTER TABLE relay RENAME COLUMN txid TO oldest;     -- all transactions before this one are published
ALTER TABLE relay ADD COLUMN since text;
UPDATE relay SET oldest = greatest(oldest, 1), until = greatest(until, 1);
UPDATE relay SET since = oldest || ':' || oldest || ':';
ALTER TABLE relay ALTER COLUMN since SET NOT NULL, ALTER COLUMN until TYPE text USING until || ':' || until || ':';

-- What was published when a replay began: a pg_snapshot's text.
ALTER TABLE replay ADD COLUMN published text;
UPDATE replay SET published = before_txid || ':' || before_txid || ':';
ALTER TABLE replay ALTER COLUMN published SET NOT NULL, DROP COLUMN before_txid;

-- As before, with the relay's new columns.
CREATE OR REPLACE FUNCTION artel_drop_outbox_day(today date, days integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    oldest_day text;
    next_first bigint;
    last_txid bigint;
    last_time timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(x'006172746c000001'::bigint);
    SELECT name INTO oldest_day FROM outbox_day ORDER BY first LIMIT 1;
    SELECT first INTO next_first FROM outbox_day ORDER BY first OFFSET 1 LIMIT 1;
    -- It may still be written into while positions are in its range.
    IF next_first IS NULL OR next_first > artel_first_position(today - days)
        OR (SELECT last_value < next_first FROM outbox_position_seq)
    THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT max(txid) FROM %I', oldest_day) INTO last_txid;
    EXECUTE format('SELECT time FROM %I ORDER BY position DESC LIMIT 1', oldest_day) INTO last_time;
    IF last_txid >= (SELECT min(r.oldest) FROM relay r) OR last_time >= today - days THEN
        RETURN NULL;
    END IF;
    EXECUTE format('ALTER TABLE outbox DETACH PARTITION %I', oldest_day);
    EXECUTE format('DROP TABLE %I', oldest_day);
    DELETE FROM outbox_day WHERE name = oldest_day;
    RETURN oldest_day;
END $$;

-- In a cluster that was restored from a dump transactions count from the beginning again, so those of the dump seem to lie
-- in the future. What was published goes before the next window, what was not into it. What was committed since, which has
-- greater positions than anything in the dump, stays as it is.
CREATE OR REPLACE FUNCTION artel_restore_relay() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(x'006172746c000002'::bigint);
    WITH future AS MATERIALIZED (
        SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS txid
    ), dump AS MATERIALIZED (
        SELECT greatest(
            (SELECT max(o.position) FROM outbox o WHERE o.txid >= f.txid),
            (SELECT max(r.position) FROM relay r
             WHERE pg_snapshot_xmax(r.until::pg_snapshot)::text::bigint > f.txid)
        ) AS last
        FROM future f
    ), moved AS (
        UPDATE outbox o
        SET txid = CASE WHEN pg_visible_in_snapshot(o.txid::text::xid8, r.since::pg_snapshot)
            OR pg_visible_in_snapshot(o.txid::text::xid8, r.until::pg_snapshot) AND o.position <= r.position
            THEN 0 ELSE 1 END
        FROM dump d, relay r WHERE o.position <= d.last AND r.shard = artel_shard(o.key)
    )
    UPDATE relay r SET since = '1:1:', until = '1:1:', position = 0, oldest = 1
    FROM dump d WHERE d.last IS NOT NULL;
END $$;
