-- As place_order.sql, of one product that everybody wants.
BEGIN;
SELECT id, price_amount_minor FROM products WHERE workspace_id = '00000000-0000-7000-8000-000000000001' AND id = '00000000-0000-7000-8000-000000000001';
UPDATE products SET stock = stock - 1, version = version + 1, update_time = now() WHERE workspace_id = '00000000-0000-7000-8000-000000000001' AND id = '00000000-0000-7000-8000-000000000001' AND stock >= 1;
INSERT INTO orders (workspace_id, id, number, user_id, status, items, total_amount_minor, total_currency, version, create_time, update_time) VALUES ('00000000-0000-7000-8000-000000000001', gen_random_uuid(), gen_random_uuid()::text, 'anna', 'ORDER_STATUS_PLACED', '[{"product_id": "p", "name": "n", "quantity": 1}]', 100, 'RUB', 1, now(), now());
INSERT INTO change_log (workspace_id, entity, entity_id, operation, version, ordinal, actor_user, actor_service, trace, before, after) SELECT '00000000-0000-7000-8000-000000000001', 'artel.catalog.v1.Product', gen_random_uuid(), 'adjust', 2, n, 'anna', 'order', 't', '{"stock": 2}', '{"stock": 1}' FROM generate_series(0, 1) n;
INSERT INTO outbox (id, workspace_id, type, name, key, body, actor_user, actor_service, trace) VALUES (gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'artel.order.v1.OrderPlaced', 'order.placed', 'k', '', 'anna', 'order', 't');
INSERT INTO idempotency (workspace_id, key, digest, answer, commit_id) VALUES ('00000000-0000-7000-8000-000000000001', gen_random_uuid()::text, 'd', 'a', gen_random_uuid());
COMMIT;
