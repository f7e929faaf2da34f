-- One product by its key, as persist's Get reads it.
\set n random(1, 10000)
SELECT id, name, description, vendor, vendor_code, category_id, price_amount_minor, price_currency, old_price_amount_minor, old_price_currency, stock, pictures, params, barcodes, url, version, create_time, update_time, delete_time FROM products WHERE workspace_id = '00000000-0000-7000-8000-000000000001' AND id = ('00000000-0000-7000-8000-' || lpad(:n::text, 12, '0'))::uuid AND delete_time IS NULL;
