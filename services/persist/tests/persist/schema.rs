//! The migrated database is the one that the entities want.

use artel_config::Secret;
use artel_persist::migrate;
use artel_persist::testing::TestDatabase;

#[tokio::test]
async fn the_migrations_make_what_the_entities_want() {
    let database = TestDatabase::create().await.unwrap();
    assert_eq!(database.missing_migration().await.unwrap(), "");
}

#[tokio::test]
async fn every_difference_is_told_as_a_migration_that_mends_it() {
    let database = TestDatabase::create().await.unwrap();
    let superuser = database.superuser().await.unwrap();
    for (change, told) in [
        ("ALTER TABLE orders DROP COLUMN user_id", "ALTER TABLE orders ADD COLUMN \"user_id\" text"),
        ("ALTER TABLE orders ADD COLUMN colour text", "ALTER TABLE orders DROP COLUMN \"colour\""),
        ("ALTER TABLE products ALTER COLUMN stock TYPE bigint", "ALTER COLUMN \"stock\" TYPE integer"),
        (
            "ALTER TABLE products ALTER COLUMN price_amount_minor TYPE numeric",
            "\"price_amount_minor\" TYPE bigint",
        ),
        ("ALTER TABLE products ALTER COLUMN name DROP NOT NULL", "ALTER COLUMN \"name\" SET NOT NULL"),
        (
            "ALTER TABLE products ALTER COLUMN name SET DEFAULT 'x'",
            "ALTER COLUMN \"name\" SET DEFAULT ''::text",
        ),
        ("DROP INDEX orders_number_key", "CREATE UNIQUE INDEX orders_number_key"),
        ("DROP INDEX products_vendor_idx", "CREATE INDEX products_vendor_idx"),
        ("CREATE UNIQUE INDEX odd ON products (name)", "DROP INDEX odd"),
        ("ALTER TABLE orders DROP CONSTRAINT orders_status_check", "ADD CONSTRAINT orders_status_check"),
        (
            "ALTER TABLE products DROP CONSTRAINT products_category_id_fkey",
            "ADD CONSTRAINT products_category_id_fkey",
        ),
        ("ALTER TABLE products DROP COLUMN search", "ADD COLUMN \"search\" tsvector GENERATED ALWAYS AS"),
        ("DROP TABLE emails", "CREATE TABLE emails"),
    ] {
        superuser.batch_execute(change).await.unwrap();
        let missing = database.missing_migration().await.unwrap();
        assert!(missing.contains(told), "after {change}:\n{missing}");
        let refused = database.persist().await.err().expect("it started");
        assert!(format!("{refused:#}").contains(told));
        superuser.batch_execute(&missing).await.unwrap();
        assert_eq!(database.missing_migration().await.unwrap(), "", "after {change}");
    }
}

#[tokio::test]
async fn a_migration_runs_once_however_many_start_it() {
    let database = TestDatabase::empty().await.unwrap();
    let url = Secret::new(database.url("artel_owner"));
    assert!(format!("{:#}", database.persist().await.err().unwrap()).contains("artel migrate"));
    let runs = futures::future::try_join_all((0..4).map(|_| migrate(&url))).await.unwrap();
    assert_eq!(runs.iter().filter(|run| !run.is_empty()).count(), 1);
    assert!(migrate(&url).await.unwrap().is_empty());
    let superuser = database.superuser().await.unwrap();
    superuser
        .batch_execute("UPDATE migration SET digest = 'other' WHERE name = '0002_entities'")
        .await
        .unwrap();
    assert!(migrate(&url).await.unwrap_err().to_string().contains("was changed after it was run"));
}
