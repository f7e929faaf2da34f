-- A table for each entity of identity, catalog, order and notify, as their annotations want it.

CREATE TABLE categories (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    parent_id uuid,
    name text NOT NULL DEFAULT '',
    shop text NOT NULL DEFAULT '',
    external_id text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX categories_external_id_idx ON categories (workspace_id, external_id, id);
CREATE INDEX categories_name_idx ON categories (workspace_id, name, id);
CREATE INDEX categories_parent_id_idx ON categories (workspace_id, parent_id, id);
CREATE INDEX categories_shop_external_id_idx ON categories (workspace_id, shop, external_id, id);
ALTER TABLE categories ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON categories USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON categories TO artel;
GRANT SELECT ON categories TO artel_system;

CREATE TABLE credentials (
    id uuid NOT NULL,
    password_hash text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON credentials TO artel;
GRANT SELECT ON credentials TO artel_system;

CREATE TABLE emails (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id text NOT NULL DEFAULT '',
    event_id text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    subject text NOT NULL DEFAULT '',
    text text NOT NULL DEFAULT '',
    html text NOT NULL DEFAULT '',
    locale text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'EMAIL_STATUS_UNSPECIFIED'
        CONSTRAINT emails_status_check CHECK (status IN ('EMAIL_STATUS_FAILED', 'EMAIL_STATUS_PENDING', 'EMAIL_STATUS_SENDING', 'EMAIL_STATUS_SENT', 'EMAIL_STATUS_UNSPECIFIED')),
    attempts integer NOT NULL DEFAULT 0,
    lease_time timestamptz,
    send_time timestamptz,
    error text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX emails_event_id_user_id_key ON emails (workspace_id, event_id, user_id);
CREATE INDEX emails_lease_time_idx ON emails (workspace_id, lease_time, id);
CREATE INDEX emails_status_idx ON emails (workspace_id, status, id);
CREATE INDEX emails_user_id_idx ON emails (workspace_id, user_id, id);
ALTER TABLE emails ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON emails USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON emails TO artel;
GRANT SELECT ON emails TO artel_system;

CREATE TABLE feed_offers (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    shop text NOT NULL DEFAULT '',
    offer_id text NOT NULL DEFAULT '',
    digest bytea NOT NULL DEFAULT '',
    count integer NOT NULL DEFAULT 0,
    version bigint NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX feed_offers_offer_id_idx ON feed_offers (workspace_id, offer_id, id);
CREATE UNIQUE INDEX feed_offers_shop_offer_id_key ON feed_offers (workspace_id, shop, offer_id);
ALTER TABLE feed_offers ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON feed_offers USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON feed_offers TO artel;
GRANT SELECT ON feed_offers TO artel_system;

CREATE TABLE notification_preferences (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    email boolean NOT NULL DEFAULT false,
    in_app boolean NOT NULL DEFAULT false,
    locale text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
ALTER TABLE notification_preferences ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON notification_preferences USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON notification_preferences TO artel;
GRANT SELECT ON notification_preferences TO artel_system;

CREATE TABLE notifications (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id text NOT NULL DEFAULT '',
    event_id text NOT NULL DEFAULT '',
    event_type text NOT NULL DEFAULT '',
    subject_id text NOT NULL DEFAULT '',
    title text NOT NULL DEFAULT '',
    body text NOT NULL DEFAULT '',
    locale text NOT NULL DEFAULT '',
    read_time timestamptz,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX notifications_create_time_idx ON notifications (workspace_id, create_time, id);
CREATE UNIQUE INDEX notifications_event_id_user_id_key ON notifications (workspace_id, event_id, user_id);
CREATE INDEX notifications_read_time_idx ON notifications (workspace_id, read_time, id);
CREATE INDEX notifications_user_id_create_time_idx ON notifications (workspace_id, user_id, create_time DESC, id DESC);
ALTER TABLE notifications ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON notifications USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON notifications TO artel;
GRANT SELECT ON notifications TO artel_system;

CREATE TABLE orders (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    number text NOT NULL DEFAULT '',
    user_id text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'ORDER_STATUS_UNSPECIFIED'
        CONSTRAINT orders_status_check CHECK (status IN ('ORDER_STATUS_CANCELLED', 'ORDER_STATUS_PLACED', 'ORDER_STATUS_UNSPECIFIED')),
    items jsonb NOT NULL DEFAULT '[]',
    total_amount_minor bigint,
    total_currency text,
    cancel_time timestamptz,
    version bigint NOT NULL,
    create_time timestamptz,
    update_time timestamptz,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX orders_create_time_idx ON orders (workspace_id, create_time, id);
CREATE UNIQUE INDEX orders_number_key ON orders (workspace_id, number);
CREATE INDEX orders_status_idx ON orders (workspace_id, status, id);
CREATE INDEX orders_user_id_create_time_idx ON orders (workspace_id, user_id, create_time DESC, id DESC);
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON orders USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO artel;
GRANT SELECT ON orders TO artel_system;

CREATE TABLE products (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    vendor text NOT NULL DEFAULT '',
    vendor_code text NOT NULL DEFAULT '',
    category_id uuid,
    price_amount_minor bigint,
    price_currency text,
    old_price_amount_minor bigint,
    old_price_currency text,
    stock integer NOT NULL DEFAULT 0,
    pictures text[] NOT NULL DEFAULT '{}',
    params jsonb NOT NULL DEFAULT '[]',
    barcodes text[] NOT NULL DEFAULT '{}',
    url text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    delete_time timestamptz,
    search tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('russian', name), 'A')
        || setweight(to_tsvector('english', name), 'A')
        || setweight(to_tsvector('simple', name), 'A')
        || setweight(to_tsvector('russian', description), 'D')
        || setweight(to_tsvector('english', description), 'D')
        || setweight(to_tsvector('simple', description), 'D')
        || setweight(to_tsvector('russian', vendor), 'B')
        || setweight(to_tsvector('english', vendor), 'B')
        || setweight(to_tsvector('simple', vendor), 'B')
        || setweight(to_tsvector('russian', vendor_code), 'B')
        || setweight(to_tsvector('english', vendor_code), 'B')
        || setweight(to_tsvector('simple', vendor_code), 'B')
    ) STORED,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX products_category_id_price_amount_minor_idx ON products (workspace_id, category_id, price_amount_minor, id);
CREATE INDEX products_create_time_idx ON products (workspace_id, create_time, id);
CREATE INDEX products_name_idx ON products (workspace_id, name, id);
CREATE INDEX products_price_amount_minor_idx ON products (workspace_id, price_amount_minor, id);
CREATE INDEX products_search_idx ON products USING gin (search);
CREATE INDEX products_stock_idx ON products (workspace_id, stock, id);
CREATE INDEX products_vendor_code_idx ON products (workspace_id, vendor_code, id);
CREATE INDEX products_vendor_idx ON products (workspace_id, vendor, id);
ALTER TABLE products ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON products USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON products TO artel;
GRANT SELECT ON products TO artel_system;

CREATE TABLE sessions (
    id uuid NOT NULL,
    user_id uuid,
    refresh_digest bytea NOT NULL DEFAULT '',
    generation integer NOT NULL DEFAULT 0,
    expire_time timestamptz,
    revoke_time timestamptz,
    revoke_reason text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX sessions_expire_time_idx ON sessions (expire_time, id);
CREATE INDEX sessions_user_id_idx ON sessions (user_id, id);
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO artel;
GRANT SELECT ON sessions TO artel_system;

CREATE TABLE signing_keys (
    id uuid NOT NULL,
    public_key bytea NOT NULL DEFAULT '',
    sealed_private_key bytea NOT NULL DEFAULT '',
    activate_time timestamptz,
    expire_time timestamptz,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX signing_keys_activate_time_idx ON signing_keys (activate_time, id);
CREATE INDEX signing_keys_expire_time_idx ON signing_keys (expire_time, id);
GRANT SELECT, INSERT, UPDATE, DELETE ON signing_keys TO artel;
GRANT SELECT ON signing_keys TO artel_system;

CREATE TABLE users (
    id uuid NOT NULL,
    email text NOT NULL DEFAULT '',
    display_name text NOT NULL DEFAULT '',
    locale text NOT NULL DEFAULT '',
    roles text[] NOT NULL DEFAULT '{}',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX users_email_key ON users (email);
GRANT SELECT, INSERT, UPDATE, DELETE ON users TO artel;
GRANT SELECT ON users TO artel_system;

ALTER TABLE categories ADD CONSTRAINT categories_parent_id_fkey FOREIGN KEY (workspace_id, parent_id) REFERENCES categories (workspace_id, id)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE credentials ADD CONSTRAINT credentials_id_fkey FOREIGN KEY (id) REFERENCES users (id)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE feed_offers ADD CONSTRAINT feed_offers_id_fkey FOREIGN KEY (workspace_id, id) REFERENCES products (workspace_id, id)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE products ADD CONSTRAINT products_category_id_fkey FOREIGN KEY (workspace_id, category_id) REFERENCES categories (workspace_id, id)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE sessions ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id)
    DEFERRABLE INITIALLY DEFERRED;
