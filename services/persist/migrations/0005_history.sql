-- The change log is read in windows (Watch) and sealed in them (Verify).

-- How far the log is sealed, and from where on it can be read: one row.
CREATE TABLE history (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    epoch bigint NOT NULL,              -- counts the restores from a dump: after each, transactions count anew
    floor bigint NOT NULL,              -- rows up to this position are of an epoch before
    sealed text NOT NULL,               -- a pg_snapshot: what it sees of this epoch is sealed
    oldest bigint NOT NULL,             -- rows of the transactions before this one may be swept
    time timestamptz NOT NULL DEFAULT now()
);
INSERT INTO history (epoch, floor, sealed, oldest)
VALUES (1, 0, '-9223372036854775808:-9223372036854775808:', -9223372036854775808);

-- The seals of the change log, a chain for each workspace. A seal holds the rows that `until` sees and `since` does not
-- and whose positions are greater than `after` and at most `through`.
CREATE TABLE seals (
    workspace_id uuid NOT NULL,
    number bigint NOT NULL,             -- 1, 2, 3, …
    epoch bigint NOT NULL,
    since text NOT NULL,
    until text NOT NULL,
    oldest bigint NOT NULL,             -- in `until` all transactions before this one are over
    after bigint NOT NULL,
    through bigint NOT NULL,
    leaves bytea NOT NULL,              -- a row: its position (8 bytes) and its digest (32), in the order of positions
    root bytea NOT NULL,                -- of the Merkle tree over the leaves
    previous bytea NOT NULL,            -- the digest of the seal before; empty in the first
    digest bytea NOT NULL,              -- of all of this but the leaves
    public_key bytea NOT NULL,
    signature bytea NOT NULL,           -- Ed25519, of the digest
    time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, number)
);
CREATE INDEX seals_oldest_idx ON seals (workspace_id, epoch, oldest);
ALTER TABLE seals ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON seals USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);

GRANT SELECT ON history, seals TO artel;
GRANT SELECT, UPDATE ON history TO artel_system;
GRANT SELECT, INSERT ON seals TO artel_system;
