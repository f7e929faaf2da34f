-- What `{{name}}` stores.

CREATE TABLE {{entities}} (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id text NOT NULL DEFAULT '',
    name text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    create_time timestamptz,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX {{entities}}_user_id_create_time_idx
    ON {{entities}} (workspace_id, user_id, create_time DESC, id DESC);
ALTER TABLE {{entities}} ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON {{entities}}
    USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON {{entities}} TO artel;
GRANT SELECT ON {{entities}} TO artel_system;
