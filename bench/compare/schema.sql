-- What an order takes, the way a team writes it without Artel: the same rows that Artel writes for it.
CREATE TABLE products (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    price_minor bigint NOT NULL,
    stock integer NOT NULL CHECK (stock >= 0),
    version bigint NOT NULL DEFAULT 1,
    update_time timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE orders (
    id uuid PRIMARY KEY,
    number text NOT NULL UNIQUE,
    user_id text NOT NULL,
    status text NOT NULL,
    items jsonb NOT NULL,
    total_minor bigint NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_user_id_idx ON orders (user_id, create_time DESC, id DESC);
CREATE INDEX orders_create_time_idx ON orders (create_time, id);
CREATE INDEX orders_status_idx ON orders (status, id);
CREATE TABLE change_log (
    position bigserial PRIMARY KEY,
    entity text NOT NULL,
    entity_id uuid NOT NULL,
    before jsonb,
    after jsonb,
    actor text NOT NULL,
    time timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE outbox (
    position bigserial PRIMARY KEY,
    id uuid NOT NULL,
    name text NOT NULL,
    key text NOT NULL,
    body jsonb NOT NULL,
    sent boolean NOT NULL DEFAULT false
);
CREATE INDEX outbox_unsent_idx ON outbox (position) WHERE NOT sent;
CREATE TABLE idempotency (
    key text PRIMARY KEY,
    answer jsonb NOT NULL,
    expire_time timestamptz NOT NULL
);
CREATE TABLE notifications (
    id uuid PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    user_id text NOT NULL,
    title text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE emails (
    id uuid PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    user_id text NOT NULL,
    status text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);
