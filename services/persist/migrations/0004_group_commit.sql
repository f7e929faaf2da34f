-- A commit that is refused within a group leaves its key free.
GRANT DELETE ON idempotency TO artel;

-- A sale changes a product's stock and no column that stands in an index, so the new version stays on the page of the old
-- one, where there is room for it, and no index is written.
DROP INDEX products_stock_idx;
ALTER TABLE products SET (fillfactor = 90);
