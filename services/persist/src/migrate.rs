//! Migrations: plain SQL, embedded, each run once and in order, under a lock.

use artel_config::Secret;
use sha2::{Digest as _, Sha256};
use tokio_postgres::{Client, NoTls};

/// The migrations in their order. What is in here never changes once it was run somewhere: a new one is added.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_foundation", include_str!("../migrations/0001_foundation.sql")),
    ("0002_entities", include_str!("../migrations/0002_entities.sql")),
    ("0003_relay_window", include_str!("../migrations/0003_relay_window.sql")),
    ("0004_group_commit", include_str!("../migrations/0004_group_commit.sql")),
    ("0005_history", include_str!("../migrations/0005_history.sql")),
    ("0006_relay", include_str!("../migrations/0006_relay.sql")),
    ("0008_webhook", include_str!("../migrations/0008_webhook.sql")),
    ("0009_relay", include_str!("../migrations/0009_relay.sql")),
    ("0010_history", include_str!("../migrations/0010_history.sql")),
    ("0011_restaurant", include_str!("../migrations/0011_restaurant.sql")),
];

/// The number of the lock that keeps two migrations apart.
const LOCK: i64 = 0x0061_7274_656c;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migration (
    name text PRIMARY KEY,
    digest text NOT NULL,
    time timestamptz NOT NULL DEFAULT now()
)";

/// Why the database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// PostgreSQL refused something, or is away.
    #[error("migration {name}: {}", spelled(source))]
    Database {
        /// Which migration; `connect` before the first.
        name: String,
        /// Why.
        source: tokio_postgres::Error,
    },
    /// A migration that was run is not the one in this program.
    #[error("migration {0} was changed after it was run; add a new one instead")]
    Changed(String),
}

fn spelled(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |error| {
            format!(
                "{}{}",
                error.message(),
                error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default()
            )
        },
    )
}

/// Brings the database up to date, as the role of the URL, and says which migrations were run.
///
/// # Errors
/// Where PostgreSQL is away or refuses, and where a migration was changed after it was run.
pub async fn migrate(url: &Secret) -> Result<Vec<String>, MigrateError> {
    migrate_before(url, None).await
}

/// The same, but only as far as the migration of that name.
pub(crate) async fn migrate_before(url: &Secret, end: Option<&str>) -> Result<Vec<String>, MigrateError> {
    let at = |name: &str| {
        let name = name.to_owned();
        move |source| MigrateError::Database { name, source }
    };
    let (mut client, connection) =
        tokio_postgres::connect(url.reveal(), NoTls).await.map_err(at("connect"))?;
    let driver = tokio::spawn(connection);
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(at("lock"))?;
    client.batch_execute(TABLE).await.map_err(at("table"))?;
    let mut run = Vec::new();
    for (name, text) in MIGRATIONS.iter().take_while(|(name, _)| Some(*name) != end) {
        if once(&mut client, name, text).await? {
            tracing::info!(migration = name, "migrated");
            run.push((*name).to_owned());
        }
    }
    // The lock goes with the connection.
    drop(client);
    let _ = driver.await;
    Ok(run)
}

async fn once(client: &mut Client, name: &str, text: &str) -> Result<bool, MigrateError> {
    let at = |source| MigrateError::Database { name: name.to_owned(), source };
    let digest = hex(&Sha256::digest(text));
    let done =
        client.query_opt("SELECT digest FROM migration WHERE name = $1", &[&name]).await.map_err(at)?;
    if let Some(row) = done {
        let before: String = row.get(0);
        return if before == digest { Ok(false) } else { Err(MigrateError::Changed(name.to_owned())) };
    }
    let transaction = client.transaction().await.map_err(at)?;
    transaction.batch_execute(text).await.map_err(at)?;
    transaction
        .execute("INSERT INTO migration (name, digest) VALUES ($1, $2)", &[&name, &digest])
        .await
        .map_err(at)?;
    transaction.commit().await.map_err(at)?;
    Ok(true)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
