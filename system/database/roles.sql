-- Who may do what in PostgreSQL. Run by the superuser at each start; nothing else uses the superuser.
--
--   artel_owner   owns the schema and migrates it
--   artel         what persist works as: owns nothing, and row-level security binds it to a workspace
--   artel_system  persist's work across workspaces (the relay): row-level security doesn't bind it
--
-- The migrations grant the rights on each table. Variables: the three passwords.
\set ON_ERROR_STOP on

SELECT format('CREATE ROLE %I', name)
FROM (VALUES ('artel_owner'), ('artel'), ('artel_system')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE artel_owner  LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'owner_password';
ALTER ROLE artel        LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'artel_password';
ALTER ROLE artel_system LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS   PASSWORD :'system_password';

SELECT 'CREATE DATABASE artel OWNER artel_owner'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'artel') \gexec

REVOKE ALL ON DATABASE artel FROM PUBLIC;
GRANT CONNECT ON DATABASE artel TO artel, artel_system;

\connect artel
ALTER SCHEMA public OWNER TO artel_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO artel, artel_system;

-- Under row-level security the planner may use an index before the policy only for operators that cannot tell anything
-- of the rows they read. `@@` is not marked so; without this, each search reads the whole table. All it can tell is
-- whether a row matches: it raises no error about what the row holds.
ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) LEAKPROOF;
