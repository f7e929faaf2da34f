//! What an operator sees and relies on: the command line's words, and the database as `roles.sql` sets it up.

use tokio_postgres::NoTls;

use crate::support::Mesh;

/// The planner may not use an index before row-level security for an operator that isn't marked leakproof. That is
/// invisible with the few products of a test, and every search of a real catalogue runs into its deadline.
#[tokio::test]
async fn a_search_uses_its_index_under_row_level_security() {
    let mesh = Mesh::get();
    let superuser: tokio_postgres::Config = mesh.place("postgresSuperuser").parse().unwrap();
    let (client, connection) = superuser.clone().dbname("artel").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let workspace = "00000000-0000-7000-8000-000000000001";
    // Without sequential scans whatever index may be used is used, however small the table.
    client
        .batch_execute(&format!(
            "SET ROLE artel; SET artel.workspace = '{workspace}'; SET enable_seqscan = off; SET enable_indexscan = off"
        ))
        .await
        .unwrap();
    let explain = format!(
        "EXPLAIN SELECT t.id FROM products t WHERE t.workspace_id = '{workspace}' \
         AND t.search @@ websearch_to_tsquery('simple', 'kettle')"
    );
    let plan: Vec<String> =
        client.query(&explain, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)).collect();
    assert!(plan.iter().any(|line| line.contains("Index Cond: (search @@")), "{}", plan.join("\n"));
}

#[test]
fn a_refused_command_says_why_in_one_line() {
    let mesh = Mesh::get();
    for (args, said) in [
        (["role", "grant", "nobody@example.com", "catalog_editor"], "Nobody has registered with this e-mail"),
        (["role", "grant", "no address", "catalog_editor"], "email: must be an e-mail address"),
        (["role", "grant", "nobody@example.com", "Not A Role"], "role: must be lower-case letters"),
    ] {
        let output = mesh.command(&args).env("RUST_BACKTRACE", "1").output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{args:?} was taken");
        assert!(error.starts_with("Error: ") && error.contains(said), "{error}");
        assert_eq!(error.trim().lines().count(), 1, "{error}");
    }
}

#[test]
fn every_service_has_a_configuration_to_show() {
    let mesh = Mesh::get();
    for service in ["mesh", "persist", "identity", "catalog", "order", "notify", "webhook", "gateway"] {
        let shown = mesh.artel(&["config", service]);
        assert!(shown.contains(service), "{shown}");
    }
}
