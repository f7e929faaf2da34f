//! What is proved before the first call is answered: that the database is the one the plans want, and that a workspace
//! sees nothing of another.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use artel_proto::annotations;
use uuid::Uuid;

use crate::database::{Database, Scope};
use crate::failure::Failure;
use crate::persist::Settings;
use crate::plan::Plans;
use crate::schema;
use crate::sql::{DriverRow, Statement, with_column};

/// For how long a database that is not there yet is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The workspace of the row that must not be seen.
const CANARY: Uuid = Uuid::from_u128(0xffff_ffff_ffff_7fff_bfff_ffff_ffff_ffff);

const ROLE: &str = "SELECT r.rolsuper OR r.rolbypassrls, r.rolname::text,
    EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.relnamespace = 'public'::regnamespace),
    current_setting('lc_messages')
FROM pg_roles r WHERE r.rolname = current_user";

/// Refuses to start on a database that does not fit.
pub(crate) async fn start(database: &Database, system: &Database, plans: &Plans) -> anyhow::Result<()> {
    wait(database).await?;
    role(database, "persist.database_url").await?;
    let actual = schema::read(database).await.map_err(plainly)?;
    if !actual.contains_key("canary") {
        bail!("the database is not migrated: run `artel migrate`");
    }
    let missing = schema::migration(&schema::expected(plans), &actual);
    if !missing.is_empty() {
        bail!("the database differs from the entities; the migration that is missing:\n\n{missing}");
    }
    policy(database).await?;
    let all = system.query(Statement::fixed("SELECT 1 FROM canary")).await.map_err(plainly)?;
    if all.is_empty() {
        bail!("the role of persist.system_url does not see all workspaces: it needs BYPASSRLS");
    }
    if let Some(advice) = advice(database, plans).await? {
        tracing::warn!("{advice}");
    }
    Ok(())
}

/// Whether `@@` may look into an index before the policy has been asked.
const LEAKPROOF: &str =
    "SELECT p.proleakproof FROM pg_proc p WHERE p.oid = 'ts_match_vq(tsvector,tsquery)'::regprocedure";

/// What works all the same, and works badly: as a text that says what to do.
async fn advice(database: &Database, plans: &Plans) -> anyhow::Result<Option<&'static str>> {
    let rows = database.query(Statement::fixed(LEAKPROOF)).await.map_err(plainly)?;
    let is_leakproof = rows.first().is_some_and(|row| with_column(row, 0, |cell| cell == Some(&[1])));
    let is_searched = plans.all().any(|entity| entity.scoped && !entity.search.is_empty());
    Ok((is_searched && !is_leakproof).then_some(
        "full-text search reads whole tables: under row-level security PostgreSQL uses its index only if the operator \
         is marked. As a superuser of this database: \
         ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) LEAKPROOF (system/database/roles.sql does)",
    ))
}

/// What separates the database from the entities, as the SQL of a migration; empty where nothing does.
///
/// # Errors
/// Where the database cannot be reached.
pub async fn missing_migration(settings: &Settings) -> anyhow::Result<String> {
    let plans = Plans::of(annotations::pool())?;
    let database = Database::new(&settings.database_url, 1, Duration::from_millis(settings.pool_wait_ms))?;
    let actual = schema::read(&database).await.map_err(plainly)?;
    Ok(schema::migration(&schema::expected(&plans), &actual))
}

async fn wait(database: &Database) -> anyhow::Result<()> {
    let since = Instant::now();
    loop {
        match database.probe().await {
            Ok(()) => return Ok(()),
            Err(failure) if since.elapsed() > PATIENCE => {
                return Err(plainly(failure)).context("persist.database_url");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// The role must be one that policies bind.
async fn role(database: &Database, key: &str) -> anyhow::Result<()> {
    let rows = database.query(Statement::fixed(ROLE)).await.map_err(plainly)?;
    let row = rows.first().context("the database knows no role of ours")?;
    let flag = |index| with_column(row, index, |cell| cell == Some(&[1]));
    let name = text(row, 1);
    if flag(0) {
        bail!(
            "the role {name} of {key} is not bound by row-level security: take one without SUPERUSER and BYPASSRLS"
        );
    }
    if flag(2) {
        bail!("the role {name} of {key} owns tables, which row-level security does not bind it in");
    }
    let language = text(row, 3);
    if !["", "C", "POSIX"].contains(&language.as_str())
        && !language.starts_with("C.")
        && !language.starts_with("en")
    {
        bail!("PostgreSQL speaks `{language}` (lc_messages); persist reads its messages in English");
    }
    Ok(())
}

fn scope(workspace: Uuid) -> Scope {
    Scope { workspace, time: Duration::from_secs(5), trace: Uuid::nil() }
}

/// Proves of a replica that workspaces are kept apart there, too.
pub(crate) async fn replica(database: &Database) -> anyhow::Result<()> {
    role(database, "persist.replica_url").await?;
    hidden(database).await
}

/// The canary sits in a workspace of its own: seen from there, and from nowhere else.
async fn hidden(database: &Database) -> anyhow::Result<()> {
    let seen = |workspace| async move {
        let rows = database.read(scope(workspace), vec![Statement::fixed("SELECT 1 FROM canary")]).await;
        rows.map(|rows| rows.iter().flatten().count()).map_err(plainly)
    };
    if seen(Uuid::from_u128(1)).await? != 0 {
        bail!("row-level security does not bite: a row of another workspace is seen");
    }
    if seen(CANARY).await? != 1 {
        bail!("the canary is gone: without it row-level security cannot be proved");
    }
    Ok(())
}

/// Nothing of another workspace is seen, or written.
async fn policy(database: &Database) -> anyhow::Result<()> {
    hidden(database).await?;
    let write = Statement::fixed("INSERT INTO canary VALUES ('00000000-0000-7000-8000-00000000dead')");
    match database.transaction("BEGIN", scope(CANARY), vec![write]).await {
        Err(failed) if matches!(failed.failure, Failure::Other(_)) => Ok(()),
        Err(failed) => Err(plainly(failed.failure)),
        Ok(_) => bail!("row-level security does not bite: a row of another workspace was written"),
    }
}

fn plainly(failure: Failure) -> anyhow::Error {
    match failure {
        Failure::Away(cause) | Failure::Lost(cause) => {
            anyhow::anyhow!("PostgreSQL cannot be reached: {cause}")
        }
        failure => anyhow::anyhow!("PostgreSQL refused: {failure:?}"),
    }
}

fn text(row: &DriverRow, index: usize) -> String {
    with_column(row, index, |cell| String::from_utf8_lossy(cell.unwrap_or_default()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plans;
    use crate::testing::TestDatabase;

    #[tokio::test]
    async fn a_search_that_cannot_use_its_index_is_warned_of_with_the_remedy() {
        let test = TestDatabase::create().await.unwrap();
        let url = test.settings().unwrap().database_url;
        let database = Database::new(&url, 1, Duration::from_secs(5)).unwrap();
        let warned = advice(&database, &plans()).await.unwrap().unwrap();
        // The remedy as it is told is the one that helps.
        let begin = warned.find("ALTER FUNCTION").unwrap();
        let remedy = &warned[begin..warned.find(" (system/").unwrap()];
        test.superuser().await.unwrap().batch_execute(remedy).await.unwrap();
        assert_eq!(advice(&database, &plans()).await.unwrap(), None);
    }
}
