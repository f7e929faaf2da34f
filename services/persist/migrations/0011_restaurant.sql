-- The restaurant: menu, kitchen, points, payments as sagas, receipts, numbers; guests who sign in by phone.

CREATE TABLE board_clocks (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
ALTER TABLE board_clocks ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON board_clocks USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON board_clocks TO artel;
GRANT SELECT ON board_clocks TO artel_system;

CREATE TABLE board_moves (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    order_id text NOT NULL DEFAULT '',
    number integer NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'ORDER_STATUS_UNSPECIFIED'
        CONSTRAINT board_moves_status_check CHECK (status IN ('ORDER_STATUS_CANCELLED', 'ORDER_STATUS_HANDED_OVER', 'ORDER_STATUS_PAID', 'ORDER_STATUS_PAYING', 'ORDER_STATUS_PLACED', 'ORDER_STATUS_PREPARING', 'ORDER_STATUS_READY', 'ORDER_STATUS_REFUNDED', 'ORDER_STATUS_UNSPECIFIED')),
    version bigint NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX board_moves_position_key ON board_moves (workspace_id, position);
ALTER TABLE board_moves ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON board_moves USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON board_moves TO artel;
GRANT SELECT ON board_moves TO artel_system;

CREATE TABLE board_numbers (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    number integer NOT NULL DEFAULT 0,
    version bigint NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX board_numbers_number_key ON board_numbers (workspace_id, number);
ALTER TABLE board_numbers ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON board_numbers USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON board_numbers TO artel;
GRANT SELECT ON board_numbers TO artel_system;

CREATE TABLE bonus_accounts (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    balance bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0,
    owed bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
ALTER TABLE bonus_accounts ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON bonus_accounts USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON bonus_accounts TO artel;
GRANT SELECT ON bonus_accounts TO artel_system;

CREATE TABLE bonus_entries (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id text NOT NULL DEFAULT '',
    kind text NOT NULL DEFAULT 'BONUS_ENTRY_KIND_UNSPECIFIED'
        CONSTRAINT bonus_entries_kind_check CHECK (kind IN ('BONUS_ENTRY_KIND_EARN', 'BONUS_ENTRY_KIND_GRANT', 'BONUS_ENTRY_KIND_RETURN', 'BONUS_ENTRY_KIND_REVERSE', 'BONUS_ENTRY_KIND_SPEND', 'BONUS_ENTRY_KIND_UNSPECIFIED')),
    amount bigint NOT NULL DEFAULT 0,
    order_id text NOT NULL DEFAULT '',
    cause text NOT NULL DEFAULT '',
    comment text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    reversed bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX bonus_entries_cause_key ON bonus_entries (workspace_id, cause);
CREATE INDEX bonus_entries_kind_idx ON bonus_entries (workspace_id, kind, id);
CREATE INDEX bonus_entries_order_id_idx ON bonus_entries (workspace_id, order_id, id);
CREATE INDEX bonus_entries_user_id_create_time_idx ON bonus_entries (workspace_id, user_id, create_time DESC, id DESC);
ALTER TABLE bonus_entries ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON bonus_entries USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON bonus_entries TO artel;
GRANT SELECT ON bonus_entries TO artel_system;

CREATE TABLE bonus_holds (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id text NOT NULL DEFAULT '',
    amount bigint NOT NULL DEFAULT 0,
    returned bigint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'BONUS_HOLD_STATUS_UNSPECIFIED'
        CONSTRAINT bonus_holds_status_check CHECK (status IN ('BONUS_HOLD_STATUS_HELD', 'BONUS_HOLD_STATUS_RELEASED', 'BONUS_HOLD_STATUS_SPENT', 'BONUS_HOLD_STATUS_UNSPECIFIED')),
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX bonus_holds_status_idx ON bonus_holds (workspace_id, status, id);
CREATE INDEX bonus_holds_user_id_idx ON bonus_holds (workspace_id, user_id, id);
ALTER TABLE bonus_holds ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON bonus_holds USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON bonus_holds TO artel;
GRANT SELECT ON bonus_holds TO artel_system;

CREATE TABLE cooking_jobs (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    order_id text NOT NULL DEFAULT '',
    payment_id text NOT NULL DEFAULT '',
    user_id text NOT NULL DEFAULT '',
    board_number integer NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'COOKING_STATUS_UNSPECIFIED'
        CONSTRAINT cooking_jobs_status_check CHECK (status IN ('COOKING_STATUS_COOKING', 'COOKING_STATUS_QUEUED', 'COOKING_STATUS_READY', 'COOKING_STATUS_UNSPECIFIED')),
    lines jsonb NOT NULL DEFAULT '[]',
    attempts integer NOT NULL DEFAULT 0,
    next_time timestamptz,
    error text NOT NULL DEFAULT '',
    start_time timestamptz,
    ready_time timestamptz,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX cooking_jobs_order_id_key ON cooking_jobs (workspace_id, order_id);
CREATE INDEX cooking_jobs_status_next_time_idx ON cooking_jobs (workspace_id, status, next_time, id);
ALTER TABLE cooking_jobs ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON cooking_jobs USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON cooking_jobs TO artel;
GRANT SELECT ON cooking_jobs TO artel_system;

CREATE TABLE devices (
    id uuid NOT NULL,
    user_id uuid,
    device_id text NOT NULL DEFAULT '',
    token_digest bytea NOT NULL DEFAULT '',
    expire_time timestamptz,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX devices_expire_time_idx ON devices (expire_time, id);
CREATE UNIQUE INDEX devices_user_id_device_id_key ON devices (user_id, device_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON devices TO artel;
GRANT SELECT ON devices TO artel_system;

CREATE TABLE dishes (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    category_id uuid,
    name jsonb,
    description jsonb,
    price_amount_minor bigint,
    price_currency text,
    photo_url text NOT NULL DEFAULT '',
    allergens jsonb NOT NULL DEFAULT '[]',
    modifiers jsonb NOT NULL DEFAULT '[]',
    day_parts jsonb NOT NULL DEFAULT '[]',
    hidden boolean NOT NULL DEFAULT false,
    position integer NOT NULL DEFAULT 0,
    version bigint NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX dishes_category_id_idx ON dishes (workspace_id, category_id, id);
ALTER TABLE dishes ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON dishes USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON dishes TO artel;
GRANT SELECT ON dishes TO artel_system;

CREATE TABLE ingredients (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL DEFAULT '',
    unit text NOT NULL DEFAULT '',
    stock bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
ALTER TABLE ingredients ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON ingredients USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON ingredients TO artel;
GRANT SELECT ON ingredients TO artel_system;

CREATE TABLE menu_categories (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    name jsonb,
    position integer NOT NULL DEFAULT 0,
    version bigint NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
ALTER TABLE menu_categories ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON menu_categories USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON menu_categories TO artel;
GRANT SELECT ON menu_categories TO artel_system;

ALTER TABLE notification_preferences ADD COLUMN sms boolean NOT NULL DEFAULT false;
ALTER TABLE notification_preferences ADD COLUMN push boolean NOT NULL DEFAULT false;
-- Who chose before there were these ways has not refused them.
UPDATE notification_preferences SET sms = true, push = true;
CREATE INDEX notifications_subject_id_idx ON notifications (workspace_id, subject_id, id);

CREATE TABLE order_facts (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id text NOT NULL DEFAULT '',
    place_time timestamptz,
    pay_time timestamptz,
    start_time timestamptz,
    ready_time timestamptz,
    amount_minor bigint NOT NULL DEFAULT 0,
    bonus_minor bigint NOT NULL DEFAULT 0,
    refunded_minor bigint NOT NULL DEFAULT 0,
    refunded_bonus_minor bigint NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT '',
    dishes jsonb NOT NULL DEFAULT '[]',
    version bigint NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX order_facts_pay_time_idx ON order_facts (workspace_id, pay_time, id);
CREATE INDEX order_facts_place_time_idx ON order_facts (workspace_id, place_time, id);
ALTER TABLE order_facts ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON order_facts USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON order_facts TO artel;
GRANT SELECT ON order_facts TO artel_system;

ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_status_check;
ALTER TABLE orders ADD CONSTRAINT orders_status_check CHECK (status IN ('ORDER_STATUS_CANCELLED', 'ORDER_STATUS_HANDED_OVER', 'ORDER_STATUS_PAID', 'ORDER_STATUS_PAYING', 'ORDER_STATUS_PLACED', 'ORDER_STATUS_PREPARING', 'ORDER_STATUS_READY', 'ORDER_STATUS_REFUNDED', 'ORDER_STATUS_UNSPECIFIED'));
ALTER TABLE orders ADD COLUMN board_number integer NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN payment_id text NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN bonus_minor bigint NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN pay_time timestamptz;
ALTER TABLE orders ADD COLUMN start_time timestamptz;
ALTER TABLE orders ADD COLUMN ready_time timestamptz;
ALTER TABLE orders ADD COLUMN hand_over_time timestamptz;
ALTER TABLE orders ADD COLUMN expire_time timestamptz;
ALTER TABLE orders ADD COLUMN refunded_minor bigint NOT NULL DEFAULT 0;
CREATE INDEX orders_expire_time_idx ON orders (workspace_id, expire_time, id);
CREATE TABLE payments (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    order_id text NOT NULL DEFAULT '',
    user_id text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'PAYMENT_STATUS_UNSPECIFIED'
        CONSTRAINT payments_status_check CHECK (status IN ('PAYMENT_STATUS_CAPTURED', 'PAYMENT_STATUS_COMPLETED', 'PAYMENT_STATUS_FAILED', 'PAYMENT_STATUS_PENDING', 'PAYMENT_STATUS_UNSPECIFIED')),
    amount_minor bigint NOT NULL DEFAULT 0,
    bonus_minor bigint NOT NULL DEFAULT 0,
    card_minor bigint NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT '',
    acquirer text NOT NULL DEFAULT '',
    transaction_id text NOT NULL DEFAULT '',
    card text NOT NULL DEFAULT '',
    card_token text NOT NULL DEFAULT '',
    refunded_minor bigint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    error text NOT NULL DEFAULT '',
    capture_time timestamptz,
    board_number integer NOT NULL DEFAULT 0,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    check_time timestamptz,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX payments_capture_time_idx ON payments (workspace_id, capture_time, id);
CREATE INDEX payments_check_time_idx ON payments (workspace_id, check_time, id);
CREATE INDEX payments_create_time_idx ON payments (workspace_id, create_time, id);
CREATE INDEX payments_order_id_idx ON payments (workspace_id, order_id, id);
CREATE INDEX payments_status_update_time_idx ON payments (workspace_id, status, update_time, id);
CREATE INDEX payments_transaction_id_idx ON payments (workspace_id, transaction_id, id);
CREATE INDEX payments_user_id_idx ON payments (workspace_id, user_id, id);
ALTER TABLE payments ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON payments USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON payments TO artel;
GRANT SELECT ON payments TO artel_system;

CREATE TABLE phone_codes (
    id uuid NOT NULL,
    phone text NOT NULL DEFAULT '',
    sealed_code bytea NOT NULL DEFAULT '',
    code_digest bytea NOT NULL DEFAULT '',
    token_digest bytea NOT NULL DEFAULT '',
    device_id text NOT NULL DEFAULT '',
    locale text NOT NULL DEFAULT '',
    tries integer NOT NULL DEFAULT 0,
    expire_time timestamptz,
    use_time timestamptz,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX phone_codes_expire_time_idx ON phone_codes (expire_time, id);
CREATE INDEX phone_codes_phone_idx ON phone_codes (phone, id);
GRANT SELECT, INSERT, UPDATE, DELETE ON phone_codes TO artel;
GRANT SELECT ON phone_codes TO artel_system;

CREATE TABLE push_devices (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id text NOT NULL DEFAULT '',
    token text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX push_devices_token_key ON push_devices (workspace_id, token);
CREATE INDEX push_devices_user_id_idx ON push_devices (workspace_id, user_id, id);
ALTER TABLE push_devices ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON push_devices USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON push_devices TO artel;
GRANT SELECT ON push_devices TO artel_system;

CREATE TABLE pushes (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id text NOT NULL DEFAULT '',
    event_id text NOT NULL DEFAULT '',
    event_type text NOT NULL DEFAULT '',
    subject_id text NOT NULL DEFAULT '',
    device_id text NOT NULL DEFAULT '',
    title text NOT NULL DEFAULT '',
    body text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'SEND_STATUS_UNSPECIFIED'
        CONSTRAINT pushes_status_check CHECK (status IN ('SEND_STATUS_FAILED', 'SEND_STATUS_PENDING', 'SEND_STATUS_SENDING', 'SEND_STATUS_SENT', 'SEND_STATUS_UNSPECIFIED')),
    attempts integer NOT NULL DEFAULT 0,
    lease_time timestamptz,
    send_time timestamptz,
    error text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX pushes_event_id_device_id_key ON pushes (workspace_id, event_id, device_id);
CREATE INDEX pushes_lease_time_idx ON pushes (workspace_id, lease_time, id);
CREATE INDEX pushes_status_idx ON pushes (workspace_id, status, id);
CREATE INDEX pushes_subject_id_idx ON pushes (workspace_id, subject_id, id);
CREATE INDEX pushes_user_id_idx ON pushes (workspace_id, user_id, id);
ALTER TABLE pushes ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON pushes USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON pushes TO artel;
GRANT SELECT ON pushes TO artel_system;

CREATE TABLE receipts (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    payment_id text NOT NULL DEFAULT '',
    kind text NOT NULL DEFAULT 'RECEIPT_KIND_UNSPECIFIED'
        CONSTRAINT receipts_kind_check CHECK (kind IN ('RECEIPT_KIND_SELL', 'RECEIPT_KIND_SELL_REFUND', 'RECEIPT_KIND_UNSPECIFIED')),
    status text NOT NULL DEFAULT 'RECEIPT_STATUS_UNSPECIFIED'
        CONSTRAINT receipts_status_check CHECK (status IN ('RECEIPT_STATUS_FAILED', 'RECEIPT_STATUS_PRINTED', 'RECEIPT_STATUS_SENT', 'RECEIPT_STATUS_UNSPECIFIED', 'RECEIPT_STATUS_WAITING')),
    amount_minor bigint NOT NULL DEFAULT 0,
    card_minor bigint NOT NULL DEFAULT 0,
    bonus_minor bigint NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT '',
    lines jsonb NOT NULL DEFAULT '[]',
    contact text NOT NULL DEFAULT '',
    task_id text NOT NULL DEFAULT '',
    fiscal_number text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0,
    next_time timestamptz,
    error text NOT NULL DEFAULT '',
    print_time timestamptz,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX receipts_create_time_idx ON receipts (workspace_id, create_time, id);
CREATE INDEX receipts_payment_id_idx ON receipts (workspace_id, payment_id, id);
CREATE INDEX receipts_status_next_time_idx ON receipts (workspace_id, status, next_time, id);
ALTER TABLE receipts ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON receipts USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON receipts TO artel;
GRANT SELECT ON receipts TO artel_system;

CREATE TABLE recipes (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    ingredients jsonb NOT NULL DEFAULT '[]',
    modifiers jsonb NOT NULL DEFAULT '[]',
    steps jsonb NOT NULL DEFAULT '[]',
    version bigint NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
ALTER TABLE recipes ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON recipes USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON recipes TO artel;
GRANT SELECT ON recipes TO artel_system;

CREATE TABLE refunds (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    payment_id text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'REFUND_STATUS_UNSPECIFIED'
        CONSTRAINT refunds_status_check CHECK (status IN ('REFUND_STATUS_COMPLETED', 'REFUND_STATUS_FAILED', 'REFUND_STATUS_PENDING', 'REFUND_STATUS_UNSPECIFIED')),
    amount_minor bigint NOT NULL DEFAULT 0,
    bonus_minor bigint NOT NULL DEFAULT 0,
    card_minor bigint NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT '',
    before_minor bigint NOT NULL DEFAULT 0,
    transaction_id text NOT NULL DEFAULT '',
    comment text NOT NULL DEFAULT '',
    actor_id text NOT NULL DEFAULT '',
    error text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX refunds_payment_id_idx ON refunds (workspace_id, payment_id, id);
CREATE INDEX refunds_status_update_time_idx ON refunds (workspace_id, status, update_time, id);
ALTER TABLE refunds ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON refunds USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON refunds TO artel;
GRANT SELECT ON refunds TO artel_system;

CREATE TABLE released_claims (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    order_id text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX released_claims_create_time_idx ON released_claims (workspace_id, create_time, id);
ALTER TABLE released_claims ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON released_claims USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON released_claims TO artel;
GRANT SELECT ON released_claims TO artel_system;

CREATE TABLE reservations (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    order_id text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'RESERVATION_STATUS_UNSPECIFIED'
        CONSTRAINT reservations_status_check CHECK (status IN ('RESERVATION_STATUS_HELD', 'RESERVATION_STATUS_RELEASED', 'RESERVATION_STATUS_UNSPECIFIED', 'RESERVATION_STATUS_USED')),
    ingredients jsonb NOT NULL DEFAULT '[]',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX reservations_order_id_idx ON reservations (workspace_id, order_id, id);
CREATE INDEX reservations_status_idx ON reservations (workspace_id, status, id);
ALTER TABLE reservations ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON reservations USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON reservations TO artel;
GRANT SELECT ON reservations TO artel_system;

CREATE TABLE sagas (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'SAGA_STATE_UNSPECIFIED'
        CONSTRAINT sagas_state_check CHECK (state IN ('SAGA_STATE_DONE', 'SAGA_STATE_RUNNING', 'SAGA_STATE_UNDOING', 'SAGA_STATE_UNDONE', 'SAGA_STATE_UNSPECIFIED')),
    step text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0,
    holder text NOT NULL DEFAULT '',
    lease_time timestamptz,
    refusal bytea NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    error text NOT NULL DEFAULT '',
    last_error text NOT NULL DEFAULT '',
    user_id text NOT NULL DEFAULT '',
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    unsure boolean NOT NULL DEFAULT false,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX sagas_kind_lease_time_idx ON sagas (workspace_id, kind, lease_time, id);
CREATE INDEX sagas_kind_state_update_time_idx ON sagas (workspace_id, kind, state, update_time, id);
ALTER TABLE sagas ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON sagas USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON sagas TO artel;
GRANT SELECT ON sagas TO artel_system;

CREATE TABLE sms (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id text NOT NULL DEFAULT '',
    event_id text NOT NULL DEFAULT '',
    event_type text NOT NULL DEFAULT '',
    subject_id text NOT NULL DEFAULT '',
    phone text NOT NULL DEFAULT '',
    text text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'SEND_STATUS_UNSPECIFIED'
        CONSTRAINT sms_status_check CHECK (status IN ('SEND_STATUS_FAILED', 'SEND_STATUS_PENDING', 'SEND_STATUS_SENDING', 'SEND_STATUS_SENT', 'SEND_STATUS_UNSPECIFIED')),
    attempts integer NOT NULL DEFAULT 0,
    lease_time timestamptz,
    send_time timestamptz,
    error text NOT NULL DEFAULT '',
    expire_time timestamptz,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX sms_event_id_phone_key ON sms (workspace_id, event_id, phone);
CREATE INDEX sms_lease_time_idx ON sms (workspace_id, lease_time, id);
CREATE INDEX sms_status_idx ON sms (workspace_id, status, id);
CREATE INDEX sms_subject_id_idx ON sms (workspace_id, subject_id, id);
CREATE INDEX sms_user_id_idx ON sms (workspace_id, user_id, id);
ALTER TABLE sms ENABLE ROW LEVEL SECURITY;
CREATE POLICY workspace ON sms USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON sms TO artel;
GRANT SELECT ON sms TO artel_system;

ALTER TABLE users ALTER COLUMN email DROP DEFAULT;
ALTER TABLE users ALTER COLUMN email DROP NOT NULL;
ALTER TABLE users ADD COLUMN phone text;
CREATE UNIQUE INDEX users_phone_key ON users (phone);
ALTER TABLE devices ADD CONSTRAINT devices_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE dishes ADD CONSTRAINT dishes_category_id_fkey FOREIGN KEY (workspace_id, category_id) REFERENCES menu_categories (workspace_id, id)
    DEFERRABLE INITIALLY DEFERRED;
