//! What persist promises, tried on a real PostgreSQL.

mod commit;
mod support;
