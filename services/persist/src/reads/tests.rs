//! What row-level security sees of reads that share a connection, shown on the statements themselves.

use artel_config::Secret;
use futures::future::join_all;
use uuid::Uuid;

use super::*;
use crate::testing::TestDatabase;
use crate::value::read_i64;

const PRODUCTS: &str = "INSERT INTO products (workspace_id, id, version, create_time, update_time)
    SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, gen_random_uuid(), 1, now(), now()
    FROM generate_series(1, 40) AS n, generate_series(1, n)";

fn scope(workspace: u128) -> Scope {
    // The same digits as PostgreSQL writes above.
    let workspace = format!("00000000-0000-7000-8000-{workspace:012}").parse().unwrap();
    Scope { workspace, time: Duration::from_secs(10), trace: Uuid::now_v7() }
}

async fn open(database: &TestDatabase) -> Pipes {
    let limits = Limits { connections: 1, depth: 10_000, time: Duration::from_secs(5), ranked: 1 };
    let config = crate::database::config(&Secret::new(database.url("artel"))).unwrap();
    Pipes::open(config, limits).await
}

async fn count(pipes: &Pipes, scope: Scope, text: &str) -> i64 {
    let rows = pipes.read(scope.time, &begun(Statement::fixed(text), scope)).await.unwrap();
    Row::Shared(rows.into_iter().next().unwrap()).column(0, |cell| read_i64(cell.unwrap())).unwrap()
}

/// Counts without asking for a workspace; two parameters are given to every read.
const ALL: &str = "SELECT count(*) FROM products WHERE $1::uuid IS NOT NULL AND $2::text IS NOT NULL";

#[tokio::test]
async fn the_policy_alone_keeps_reads_of_many_workspaces_on_one_connection_apart() {
    let database = TestDatabase::create().await.unwrap();
    database.superuser().await.unwrap().batch_execute(PRODUCTS).await.unwrap();
    let pipes = open(&database).await;
    // The filter by workspace is forgotten.
    let forgetful = format!("SELECT count(*) FROM products t WHERE {FRAMED}");
    let reads = (0..2_000_u64).map(|index| {
        let (workspace, forgetful, pipes) = (u128::from(index * 7 % 40 + 1), &forgetful, &pipes);
        async move {
            // In between, one that sets nothing: it sees nothing, whoever was before it.
            let framed = index % 3 > 0;
            let seen = count(pipes, scope(workspace), if framed { forgetful } else { ALL }).await;
            (if framed { i64::try_from(workspace).unwrap() } else { 0 }, seen)
        }
    });
    for (own, seen) in join_all(reads).await {
        assert_eq!(own, seen);
    }
}

#[tokio::test]
async fn a_setting_that_outlived_its_read_would_show() {
    let database = TestDatabase::create().await.unwrap();
    database.superuser().await.unwrap().batch_execute(PRODUCTS).await.unwrap();
    let pipes = open(&database).await;
    let outliving = FRAMED.replace("true", "false");
    let outliving = format!("SELECT count(*) FROM products t WHERE {outliving} AND t.name = 'nothing'");
    let (first, second) = futures::join!(count(&pipes, scope(3), &outliving), count(&pipes, scope(5), ALL));
    assert_eq!((first, second), (0, 3), "the control must see what it should not");
}

#[tokio::test]
async fn a_read_carries_its_trace_and_leaves_nothing_behind() {
    let database = TestDatabase::create().await.unwrap();
    let pipes = open(&database).await;
    let named = |what: &str| {
        format!(
            "SELECT count(*) FILTER (WHERE current_setting('application_name') = {what}) FROM canary_or_not"
        )
        .replace("canary_or_not", "(VALUES (1)) AS one")
    };
    let scope = scope(1);
    let within = format!("{} WHERE {FRAMED}", named("$2"));
    assert_eq!(count(&pipes, scope, &within).await, 1);
    let after = named("'artel-persist'") + " WHERE $1::uuid IS NOT NULL AND $2::text IS NOT NULL";
    assert_eq!(count(&pipes, scope, &after).await, 1);
}
