-- A commit that is refused within a group leaves its key free.
GRANT DELETE ON idempotency TO artel;
