-- The relay reads window by window: the transactions from `txid` up to `until`, in the order of positions. Positions are
-- given out under the locks of the rows an event is about, transaction numbers before them.
ALTER TABLE relay ADD COLUMN until bigint;
UPDATE relay SET until = txid + 1;
ALTER TABLE relay ALTER COLUMN until SET NOT NULL;
CREATE UNIQUE INDEX outbox_position_idx ON outbox (position);
