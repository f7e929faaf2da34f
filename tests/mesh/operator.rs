//! What an operator sees and relies on: the command line's words, and the database as `roles.sql` sets it up.

use tokio_postgres::NoTls;

use crate::shop::Person;
use crate::support::{Mesh, PATIENCE, eventually, unique};

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

/// The change log is checked from outside, and what was altered past persist is found out.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_checks_the_change_log() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let product = editor.product(&unique("Sealed "), 100, 1).await;
    let superuser: tokio_postgres::Config = mesh.place("postgresSuperuser").parse().unwrap();
    let (client, connection) = superuser.clone().dbname("artel").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let row = format!("entity_id = '{product}' AND operation = 'insert'");
    let verify = |more: &[&str]| {
        let output = mesh.command(&[&["audit", "verify"], more].concat()).output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.code(), said)
    };
    let said = eventually("the row to be sealed", PATIENCE, async || {
        let (code, said) = verify(&[]);
        assert!(code == Some(0) && said.starts_with("All holds: "), "{code:?} {said}");
        said.contains(" 0 not sealed yet").then_some(said)
    })
    .await;
    // What it printed last is where the next check begins.
    let last = said.trim().lines().last().unwrap().trim();
    let (code, said) = verify(&["--after", last]);
    assert!(code == Some(0), "{code:?} {said}");

    let alter = |by: i64| format!("UPDATE change_log SET version = version + {by} WHERE {row}");
    assert_eq!(client.execute(&alter(1), &[]).await.unwrap(), 1);
    let (code, said) = verify(&[]);
    assert_eq!(client.execute(&alter(-1), &[]).await.unwrap(), 1);
    assert!(code == Some(3) && said.starts_with("The change log does not hold: "), "{code:?} {said}");
    assert!(said.contains(&product), "{said}");
    let (code, said) = verify(&["--after", &format!("1:{}", "ab".repeat(32))]);
    assert!(code == Some(1) && said.contains("afterDigest"), "{code:?} {said}");
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
