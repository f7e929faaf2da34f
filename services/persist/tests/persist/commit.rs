use artel_proto::catalog::{Category, Product};
use artel_proto::order::{Order, OrderStatus};
use artel_proto::persist::value::Kind;
use artel_util::new_id;
use tonic::Code;

use crate::support::*;

#[tokio::test]
async fn what_is_inserted_is_read_with_stamps_of_persists_own() {
    let bench = Bench::new().await;
    let client = bench.client();
    let mut product = product("Чай", 1);
    // Whatever a caller says here, it is not his.
    product.version = 77;
    product.create_time = Some(artel_proto::Timestamp { seconds: 1, nanos: 0 });
    product.delete_time = product.create_time;
    let answer = client.commit(vec![insert(&product)]).await.unwrap();
    assert_eq!((answer.results[0].version, answer.results[0].id.as_str()), (1, product.id.as_str()));
    assert!(answer.position > 0 && !answer.replayed);
    let read: Product = client.get(&product.id).await.unwrap();
    assert!(read.create_time.unwrap().seconds > 1_000_000_000);
    assert_eq!((read.update_time, read.delete_time), (read.create_time, None));
}

#[tokio::test]
async fn every_kind_of_field_survives() {
    let bench = Bench::new().await;
    let client = bench.client();
    let mut product = product("Чайник \"Б\" \\ 5", 7);
    product.barcodes = vec!["46".into(), String::new()];
    product.old_price = rubles(i64::MAX);
    let category = Category { id: new_id(), name: "Чай".into(), ..Category::default() };
    product.category_id = category.id.clone();
    // The reference comes before what it points to: order inside a batch does not matter.
    client.commit(vec![insert(&product), insert(&category)]).await.unwrap();
    let read: Product = client.get(&product.id).await.unwrap();
    let expected = Product {
        version: 1,
        create_time: read.create_time,
        update_time: read.update_time,
        ..product.clone()
    };
    assert_eq!(read, expected);
    // An empty reference is absent.
    product.category_id = String::new();
    product.old_price = None;
    client.commit(vec![update(&product, &["category_id", "old_price"])]).await.unwrap();
    let read: Product = client.get(&product.id).await.unwrap();
    assert_eq!((read.category_id.as_str(), read.old_price, read.version), ("", None, 2));
}

#[tokio::test]
async fn update_writes_what_the_mask_names() {
    let bench = Bench::new().await;
    let client = bench.client();
    let order = order("A-1");
    client.commit(vec![insert(&order)]).await.unwrap();
    let change = Order {
        id: order.id.clone(),
        status: OrderStatus::Cancelled.into(),
        number: "ignored".into(),
        ..Order::default()
    };
    let answer = client.commit(vec![update(&change, &["status"])]).await.unwrap();
    assert_eq!(answer.results[0].version, 2);
    let read: Order = client.get(&order.id).await.unwrap();
    assert_eq!((read.status(), read.number.as_str(), read.items.len()), (OrderStatus::Cancelled, "A-1", 2));
    for mask in [&["nonsense"][..], &["id"], &[]] {
        let error = client.commit(vec![update(&change, mask)]).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, "INVALID_FIELDS"));
        assert_eq!(error.fields()[0].field, "mutations[0].update.mask");
    }
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_says_which_condition_failed() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 5);
    client.commit(vec![insert(&product)]).await.unwrap();

    let take = |amount: i64| adjust::<Product>(&product.id, "stock", -amount, Some(0));
    let error = client.commit(vec![insert(&order("A-1")), take(6)]).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::FailedPrecondition, "PRECONDITION_FAILED"));
    let told =
        ["mutation", "condition", "field", "actual", "id"].map(|key| error.get(key).unwrap().to_owned());
    assert_eq!(told, ["1", "floor", "stock", "5", &product.id]);

    let error = client.commit(vec![at_version(take(1), 9)]).await.unwrap_err();
    assert_eq!((error.get("condition"), error.get("actual")), (Some("version"), Some("1")));

    let priced = |amount| vec![expecting(take(1), "price.amount_minor", Some(Kind::IntValue(amount)))];
    let error = client.commit(priced(1)).await.unwrap_err();
    assert_eq!(
        (error.get("condition"), error.get("field"), error.get("actual")),
        (Some("field"), Some("price.amount_minor"), Some("12900"))
    );
    client.commit(priced(12_900)).await.unwrap();

    let error = client.commit(vec![adjust::<Product>(&new_id(), "stock", 1, None)]).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::NotFound, "ROW_NOT_FOUND"));
    let error =
        client.commit(vec![check::<Product>(&product.id), check::<Product>(&new_id())]).await.unwrap_err();
    assert_eq!((error.reason(), error.get("mutation")), ("ROW_NOT_FOUND", Some("1")));
    let answer = client.commit(vec![at_version(check::<Product>(&product.id), 2)]).await.unwrap();
    assert_eq!(answer.results[0].version, 2);

    let read: Product = client.get(&product.id).await.unwrap();
    assert_eq!((read.stock, read.version), (4, 2));
    assert!(
        client
            .grpc
            .clone()
            .query(artel_proto::persist::QueryRequest {
                entity: "artel.order.v1.Order".into(),
                ..Default::default()
            })
            .await
            .unwrap()
            .into_inner()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn upsert_makes_and_replaces_and_brings_back_what_was_deleted() {
    let bench = Bench::new().await;
    let client = bench.client();
    let mut product = product("Чай", 5);
    let made = client.commit(vec![upsert(&product)]).await.unwrap();
    assert_eq!(made.results[0].version, 1);
    let first: Product = client.get(&product.id).await.unwrap();
    product.name = "Кофе".into();
    let replaced = client.commit(vec![at_version(upsert(&product), 1)]).await.unwrap();
    assert_eq!(replaced.results[0].version, 2);
    let second: Product = client.get(&product.id).await.unwrap();
    assert_eq!((second.name.as_str(), second.create_time), ("Кофе", first.create_time));

    let gone = client.commit(vec![delete::<Product>(&product.id)]).await.unwrap();
    assert_eq!(gone.results[0].version, 0);
    assert_eq!(client.get::<Product>(&product.id).await, None);
    let error = client.commit(vec![delete::<Product>(&product.id)]).await.unwrap_err();
    assert_eq!(error.reason(), "ROW_NOT_FOUND");
    assert_eq!(client.commit(vec![upsert(&product)]).await.unwrap().results[0].version, 4);
    assert_eq!(client.get::<Product>(&product.id).await.unwrap().delete_time, None);

    let error = client.commit(vec![at_version(upsert(&order("A-1")), 1)]).await.unwrap_err();
    assert_eq!(error.reason(), "ROW_NOT_FOUND");
}

#[tokio::test]
async fn a_taken_value_and_a_reference_to_nothing_are_told_by_name() {
    let bench = Bench::new().await;
    let client = bench.client();
    let first = order("A-1");
    client.commit(vec![insert(&first)]).await.unwrap();
    let error = client.commit(vec![insert(&order("A-1"))]).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::AlreadyExists, "UNIQUE_VIOLATION"));
    assert_eq!((error.get("entity"), error.get("fields")), (Some("artel.order.v1.Order"), Some("number")));
    let error =
        client.commit(vec![insert(&Order { number: "A-2".into(), ..first.clone() })]).await.unwrap_err();
    assert_eq!((error.reason(), error.get("fields")), ("UNIQUE_VIOLATION", Some("id")));
    // What a delete frees can be taken in the same batch.
    client.commit(vec![insert(&order("A-1")), delete::<Order>(&first.id)]).await.unwrap();

    let missing = new_id();
    let lost = Product { category_id: missing.clone(), ..product("Чай", 1) };
    let error = client.commit(vec![insert(&product("Кофе", 1)), insert(&lost)]).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::FailedPrecondition, "PRECONDITION_FAILED"));
    let told = ["mutation", "condition", "field", "actual"].map(|key| error.get(key).unwrap().to_owned());
    assert_eq!(told, ["1", "reference", "category_id", &missing]);

    let category = Category { id: new_id(), name: "Чай".into(), ..Category::default() };
    let inside = Product { category_id: category.id.clone(), ..product("Чай", 1) };
    client.commit(vec![insert(&category), insert(&inside)]).await.unwrap();
    let error = client.commit(vec![delete::<Category>(&category.id)]).await.unwrap_err();
    assert_eq!((error.get("condition"), error.get("id")), (Some("reference"), Some(category.id.as_str())));
}

#[tokio::test]
async fn several_mutations_of_one_row_are_applied_in_order() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 1);
    let take = |amount: i64| adjust::<Product>(&product.id, "stock", -amount, Some(0));
    let renamed = Product { name: "Кофе".into(), ..product.clone() };
    let batch = vec![insert(&product), take(1), take(-5), update(&renamed, &["name"]), take(5)];
    let answer = client.commit(batch).await.unwrap();
    assert_eq!(answer.results.iter().map(|result| result.version).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let read: Product = client.get(&product.id).await.unwrap();
    assert_eq!((read.stock, read.name.as_str(), read.version), (0, "Кофе", 5));
    // The second of these would do if they were added up.
    let error = client.commit(vec![take(1), take(-5)]).await.unwrap_err();
    assert_eq!((error.get("mutation"), error.get("condition")), (Some("0"), Some("floor")));
}

#[tokio::test]
async fn an_adjusted_number_never_leaves_its_bounds_or_its_type() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = Product { price: rubles(i64::MAX - 1), ..product("Чай", i32::MAX - 1) };
    client.commit(vec![insert(&product)]).await.unwrap();
    for (field, amount, condition) in [
        ("stock", 2, "ceiling"),
        ("stock", i64::MAX, "ceiling"),
        ("stock", i64::MIN, "floor"),
        ("price.amount_minor", 2, "ceiling"),
        ("price.amount_minor", i64::MAX, "ceiling"),
    ] {
        let error =
            client.commit(vec![adjust::<Product>(&product.id, field, amount, None)]).await.unwrap_err();
        assert_eq!(
            (error.code(), error.get("condition")),
            (Code::FailedPrecondition, Some(condition)),
            "{field}"
        );
    }
    client.commit(vec![adjust::<Product>(&product.id, "price.amount_minor", i64::MIN, None)]).await.unwrap();
    client.commit(vec![adjust::<Product>(&product.id, "stock", 1, None)]).await.unwrap();
    let read: Product = client.get(&product.id).await.unwrap();
    assert_eq!((read.stock, read.price), (i32::MAX, rubles(-2)));
    for field in ["name", "version", "nonsense"] {
        let error = client.commit(vec![adjust::<Product>(&product.id, field, 1, None)]).await.unwrap_err();
        assert_eq!(error.fields()[0].field, "mutations[0].adjust.deltas[0].field");
        assert!(error.message().contains("price.amount_minor"), "{}", error.message());
    }
}

#[tokio::test]
async fn a_body_that_is_not_the_entitys_is_refused_by_field() {
    let bench = Bench::new().await;
    let client = bench.client();
    let mut unknown = insert(&order("A-1"));
    let Some(artel_proto::persist::mutation::Change::Insert(change)) = &mut unknown.change else {
        unreachable!()
    };
    change.body = [&change.body[..], &[0x98, 0x06, 0x01]].concat().into();
    let error = client.commit(vec![insert(&order("A-2")), unknown]).await.unwrap_err();
    assert_eq!(
        (error.code(), error.fields()[0].field.as_str()),
        (Code::InvalidArgument, "mutations[1].insert.body")
    );
    let nul = order("A\0");
    let error = client.commit(vec![insert(&nul)]).await.unwrap_err();
    assert_eq!(error.fields()[0].field, "mutations[0].insert.body.number");
    let mut other = insert(&order("A-3"));
    other.entity = "artel.order.v1.OrderItem".into();
    let error = client.commit(vec![other]).await.unwrap_err();
    assert_eq!(error.fields()[0].field, "mutations[0].entity");
}

#[tokio::test]
async fn the_change_log_says_who_changed_what_without_secrets() {
    use artel_proto::identity::{Credential, User};
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 5);
    let user = User { id: new_id(), email: Some("anna@example.com".into()), ..User::default() };
    let credential =
        Credential { id: user.id.clone(), password_hash: "$argon2id$secret".into(), ..Credential::default() };
    client.commit(vec![insert(&product), insert(&user), insert(&credential)]).await.unwrap();
    let changed = Product { name: "Кофе".into(), ..product.clone() };
    client.commit(vec![update(&changed, &["name", "vendor"])]).await.unwrap();
    client.commit(vec![adjust::<Product>(&product.id, "stock", -2, Some(0))]).await.unwrap();
    let secret = expecting(
        update(&credential, &["password_hash"]),
        "password_hash",
        Some(Kind::StringValue("x".into())),
    );
    let error = client.commit(vec![secret]).await.unwrap_err();
    assert!(!format!("{error:?}").contains("argon2id"), "{error:?}");

    let log = bench.database.superuser().await.unwrap();
    let rows = log
        .query(
            "SELECT operation || ' ' || version || ' ' || actor_user || ' ' || actor_service,
                    coalesce(before::text, ''), coalesce(after::text, '')
             FROM change_log WHERE entity_id = $1::text::uuid ORDER BY txid, position",
            &[&product.id],
        )
        .await
        .unwrap();
    let rows: Vec<[String; 3]> = rows.iter().map(|row| [row.get(0), row.get(1), row.get(2)]).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0][0], "insert 1 anna order");
    assert!(rows[0][1].is_empty() && rows[0][2].contains("12900"));
    assert_eq!(rows[1], ["update 2 anna order", r#"{"name": "Чай"}"#, r#"{"name": "Кофе"}"#]);
    assert_eq!(rows[2], ["adjust 3 anna order", r#"{"stock": 5}"#, r#"{"stock": 3}"#]);
    let leaks = "SELECT count(*) FROM change_log WHERE before::text || after::text LIKE '%argon2%'";
    assert_eq!(log.query_one(leaks, &[]).await.unwrap().get::<_, i64>(0), 0);
}
