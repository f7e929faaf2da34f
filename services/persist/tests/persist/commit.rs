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
    let mut order = order("A-1");
    // Whatever a caller says here, it is not his.
    order.version = 77;
    order.create_time = Some(artel_proto::Timestamp { seconds: 1, nanos: 0 });
    let answer = client.commit(vec![insert(&order)]).await.unwrap();
    assert_eq!((answer.results[0].version, answer.results[0].id.as_str()), (1, order.id.as_str()));
    assert!(answer.position > 0 && !answer.replayed);
    let read: Order = client.get(&order.id).await.unwrap();
    assert!(read.create_time.unwrap().seconds > 1_000_000_000 && read.update_time == read.create_time);
    let stamped = Order { version: 1, create_time: read.create_time, update_time: read.update_time, ..order };
    assert_eq!(read, stamped);
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
    let expected =
        Product { version: 1, create_time: read.create_time, update_time: read.update_time, ..product.clone() };
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
    let told = ["mutation", "condition", "field", "actual", "id"].map(|key| error.get(key).unwrap().to_owned());
    assert_eq!(told, ["1", "floor", "stock", "5", &product.id]);

    let error = client.commit(vec![at_version(take(1), 9)]).await.unwrap_err();
    assert_eq!((error.get("condition"), error.get("actual")), (Some("version"), Some("1")));

    let priced = |amount| {
        vec![expecting(take(1), "price.amount_minor", Some(Kind::IntValue(amount)))]
    };
    let error = client.commit(priced(1)).await.unwrap_err();
    assert_eq!(
        (error.get("condition"), error.get("field"), error.get("actual")),
        (Some("field"), Some("price.amount_minor"), Some("12900"))
    );
    client.commit(priced(12_900)).await.unwrap();

    let error = client.commit(vec![adjust::<Product>(&new_id(), "stock", 1, None)]).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::NotFound, "ROW_NOT_FOUND"));
    let error = client.commit(vec![check::<Product>(&product.id), check::<Product>(&new_id())]).await.unwrap_err();
    assert_eq!((error.reason(), error.get("mutation")), ("ROW_NOT_FOUND", Some("1")));
    let answer = client.commit(vec![at_version(check::<Product>(&product.id), 2)]).await.unwrap();
    assert_eq!(answer.results[0].version, 2);

    let read: Product = client.get(&product.id).await.unwrap();
    assert_eq!((read.stock, read.version), (4, 2));
    assert!(client.grpc.clone().query(artel_proto::persist::QueryRequest {
        entity: "artel.order.v1.Order".into(), ..Default::default()
    }).await.unwrap().into_inner().items.is_empty());
}
