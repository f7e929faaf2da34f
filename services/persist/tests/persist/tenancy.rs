//! A workspace sees its own, even where a statement forgets to ask for it.

use artel_client::Call;
use artel_config::Secret;
use artel_handle::testing::direct;
use artel_persist::testing::relaying;
use artel_proto::catalog::Product;
use artel_proto::identity::User;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::value::Kind;
use artel_proto::persist::{
    CommitRequest, Comparison, Filter, GetRequest, ListWorkspacesRequest, Operator, QueryRequest, Value,
    filter::Node,
};
use artel_util::new_id;
use tokio_postgres::NoTls;
use tonic::Code;

use crate::support::*;

#[tokio::test]
async fn a_row_of_another_workspace_is_not_there() {
    let bench = Bench::new().await;
    let (own, other) = (bench.client(), bench.client_in(OTHER));
    let product = product("Чай", 5);
    own.commit(vec![insert(&product)]).await.unwrap();
    assert_eq!(other.get::<Product>(&product.id).await, None);
    let query =
        QueryRequest { entity: "artel.catalog.v1.Product".into(), with_total: true, ..Default::default() };
    assert_eq!(answer(other.grpc.clone().query(query).await).unwrap().total, Some(0));
    for mutation in [
        adjust::<Product>(&product.id, "stock", -1, None),
        update(&product, &["name"]),
        delete::<Product>(&product.id),
        check::<Product>(&product.id),
    ] {
        assert_eq!(other.commit(vec![mutation]).await.unwrap_err().reason(), "ROW_NOT_FOUND");
    }
    // The same key and the same unique values are free in another workspace.
    other.commit(vec![insert(&Product { name: "Другой".into(), ..product.clone() })]).await.unwrap();
    assert_eq!(own.get::<Product>(&product.id).await.unwrap().name, "Чай");
    // What is global is the same for all.
    let user = User { id: new_id(), email: Some("anna@example.com".into()), ..User::default() };
    own.commit(vec![insert(&user)]).await.unwrap();
    assert_eq!(other.get::<User>(&user.id).await.unwrap().email, user.email);
    let taken = User { id: new_id(), ..user };
    assert_eq!(other.commit(vec![insert(&taken)]).await.unwrap_err().reason(), "UNIQUE_VIOLATION");
}

/// A job may learn in which workspaces there is something to do, and nothing else about them.
#[tokio::test]
async fn a_job_learns_where_there_is_something_to_do() {
    let bench = Bench::new().await;
    let (own, other) = (bench.client(), bench.client_in(OTHER));
    let ask = async |asked: ListWorkspacesRequest| {
        let mut persist = own.grpc.clone();
        answer(persist.list_workspaces(asked).await)
    };
    let asked = ListWorkspacesRequest { entity: "artel.catalog.v1.Product".into(), ..Default::default() };
    assert!(ask(asked.clone()).await.unwrap().workspace_ids.is_empty());
    own.commit(vec![insert(&product("Чай", 5))]).await.unwrap();
    let (soup, bread) = (product("Суп", 0), product("Хлеб", 7));
    other.commit(vec![insert(&soup), insert(&bread)]).await.unwrap();

    let mut both = vec![WORKSPACE.to_owned(), OTHER.to_owned()];
    both.sort();
    assert_eq!(ask(asked.clone()).await.unwrap().workspace_ids, both);
    let mut page = ListWorkspacesRequest { page_size: 1, ..asked.clone() };
    let first = ask(page.clone()).await.unwrap();
    page.page_token = first.next_page_token.clone();
    let second = ask(page.clone()).await.unwrap();
    assert_eq!([first.workspace_ids, second.workspace_ids].concat(), both);
    assert!(!first.next_page_token.is_empty() && second.next_page_token.is_empty());

    // Only where rows match, and what is deleted is not there.
    let is_soup = Comparison {
        field: "name".into(),
        operator: Operator::Equal.into(),
        values: vec![Value { kind: Some(Kind::StringValue("Суп".into())) }],
    };
    let soup_only = Filter { node: Some(Node::Compare(is_soup)) };
    let sold_out = ListWorkspacesRequest { r#where: Some(soup_only), ..asked.clone() };
    assert_eq!(ask(sold_out.clone()).await.unwrap().workspace_ids, [OTHER]);
    other.commit(vec![delete::<Product>(&soup.id)]).await.unwrap();
    assert!(ask(sold_out).await.unwrap().workspace_ids.is_empty());

    for (field, wrong) in [
        ("entity", ListWorkspacesRequest { entity: "artel.identity.v1.User".into(), ..Default::default() }),
        ("pageToken", ListWorkspacesRequest { page_token: "junk".into(), ..asked.clone() }),
    ] {
        assert_eq!(ask(wrong).await.unwrap_err().fields()[0].field, field);
    }
}

#[tokio::test]
async fn the_policy_holds_where_a_statement_forgets_the_workspace() {
    let bench = Bench::new().await;
    bench.client().commit(vec![insert(&product("Чай", 5))]).await.unwrap();
    let happened = happened(&artel_proto::order::OrderPlaced { order_id: "k".into(), ..Default::default() });
    let idempotency = once("k", b"d", b"a");
    let request = CommitRequest { events: vec![happened], idempotency, ..Default::default() };
    bench.client().send(request).await.unwrap();

    let (client, connection) = tokio_postgres::connect(&bench.database.url("artel"), NoTls).await.unwrap();
    tokio::spawn(connection);
    let count = async |workspace: &str, table: &str| -> i64 {
        client.execute("SELECT set_config('artel.workspace', $1, false)", &[&workspace]).await.unwrap();
        client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
    };
    for table in ["products", "change_log", "idempotency", "outcome"] {
        assert!(count(WORKSPACE, table).await > 0, "{table}");
        assert_eq!(count(OTHER, table).await, 0, "{table}");
        assert_eq!(count("", table).await, 0, "{table}");
    }
    client.execute("SELECT set_config('artel.workspace', $1, false)", &[&OTHER]).await.unwrap();
    assert_eq!(client.execute("UPDATE products SET stock = 0", &[]).await.unwrap(), 0);
    assert_eq!(client.execute("DELETE FROM products", &[]).await.unwrap(), 0);
    let moved = "INSERT INTO products (workspace_id, id, version, create_time, update_time)
                 VALUES ('00000000-0000-7000-8000-000000000001', gen_random_uuid(), 1, now(), now())";
    assert!(client.execute(moved, &[]).await.is_err());
    // The events of all workspaces are the relay's alone.
    assert!(client.query("SELECT 1 FROM outbox", &[]).await.is_err());
    assert!(client.execute("UPDATE relay SET oldest = 0", &[]).await.is_err());
}

#[tokio::test]
async fn persist_does_not_start_where_workspaces_are_not_kept_apart() {
    let bench = Bench::new().await;
    let superuser = bench.database.superuser().await.unwrap();
    let refusal = async || format!("{:#}", bench.database.persist().await.err().expect("it started"));

    superuser.batch_execute("ALTER TABLE products DISABLE ROW LEVEL SECURITY").await.unwrap();
    assert!(refusal().await.contains("ALTER TABLE products ENABLE ROW LEVEL SECURITY"));
    superuser
        .batch_execute(
            "ALTER TABLE products ENABLE ROW LEVEL SECURITY; DROP POLICY workspace ON products;
             CREATE POLICY workspace ON products USING (true)",
        )
        .await
        .unwrap();
    assert!(refusal().await.contains("CREATE POLICY workspace ON products"));
    superuser
        .batch_execute(
            "DROP POLICY workspace ON products;
             CREATE POLICY workspace ON products
                 USING (workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid);
             ALTER TABLE canary DISABLE ROW LEVEL SECURITY",
        )
        .await
        .unwrap();
    assert!(refusal().await.contains("row-level security does not bite"));
    superuser.batch_execute("ALTER TABLE canary ENABLE ROW LEVEL SECURITY").await.unwrap();
    bench.database.persist().await.unwrap();
}

#[tokio::test]
async fn a_call_without_a_workspace_is_refused() {
    let bench = Bench::new().await;
    let call = artel_client::Call::by_service("order", "");
    let mut client =
        artel_proto::persist::persist_service_client::PersistServiceClient::new(direct(&bench.service, call));
    let request =
        GetRequest { entity: "artel.order.v1.Order".into(), ids: vec![new_id()], ..Default::default() };
    assert_eq!(client.get(request).await.unwrap_err().code(), tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn a_role_that_policies_do_not_bind_is_refused() {
    let bench = Bench::new().await;
    for (role, reason) in
        [("artel_owner", "owns tables"), ("artel_system", "not bound by row-level security")]
    {
        let mut settings = bench.database.settings().unwrap();
        settings.set_database_url(Secret::new(bench.database.url(role)));
        let refused = relaying(&settings, crate::broker::Nowhere).await.err().expect("it started");
        assert!(format!("{refused:#}").contains(reason), "{refused:#}");
    }
}

#[tokio::test]
async fn an_event_is_taken_from_its_own_service_only() {
    let bench = Bench::new().await;
    let placed = happened(&artel_proto::order::OrderPlaced { order_id: "k".into(), ..Default::default() });
    let product = product("Чай", 5);
    let request =
        CommitRequest { mutations: vec![insert(&product)], events: vec![placed], ..Default::default() };
    let catalog = PersistServiceClient::new(direct(&bench.service, Call::by_service("catalog", WORKSPACE)));
    let error = answer(catalog.clone().commit(request.clone()).await).unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::PermissionDenied, "FOREIGN_EVENT"));
    // Nothing of the batch was done.
    assert_eq!(bench.client().get::<Product>(&product.id).await, None);
    bench.client().send(request).await.unwrap();
}
