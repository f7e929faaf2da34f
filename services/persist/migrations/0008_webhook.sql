-- What systems outside sent, and what it was to the byte.

CREATE TABLE webhooks (
    id uuid NOT NULL,
    source text NOT NULL DEFAULT '',
    owner text NOT NULL DEFAULT '',
    delivery_id text NOT NULL DEFAULT '',
    size integer NOT NULL DEFAULT 0,
    remote_address text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'WEBHOOK_STATUS_UNSPECIFIED'
        CONSTRAINT webhooks_status_check CHECK (status IN ('WEBHOOK_STATUS_ACCEPTED', 'WEBHOOK_STATUS_RECEIVED', 'WEBHOOK_STATUS_REJECTED', 'WEBHOOK_STATUS_UNSPECIFIED')),
    reject_reason text NOT NULL DEFAULT '',
    settle_time timestamptz,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX webhooks_owner_source_create_time_idx ON webhooks (owner, source, create_time DESC, id DESC);
CREATE INDEX webhooks_status_create_time_idx ON webhooks (status, create_time, id);
GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks TO artel;
GRANT SELECT ON webhooks TO artel_system;

CREATE TABLE webhook_contents (
    id uuid NOT NULL,
    method text NOT NULL DEFAULT '',
    query text NOT NULL DEFAULT '',
    headers jsonb NOT NULL DEFAULT '[]',
    body bytea NOT NULL DEFAULT '',
    version bigint NOT NULL,
    PRIMARY KEY (id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_contents TO artel;
GRANT SELECT ON webhook_contents TO artel_system;

ALTER TABLE webhook_contents ADD CONSTRAINT webhook_contents_id_fkey FOREIGN KEY (id) REFERENCES webhooks (id)
    DEFERRABLE INITIALLY DEFERRED;
