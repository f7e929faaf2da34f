use artel_proto::FieldMask;
use artel_proto::catalog::{DeleteProductRequest, GetProductRequest, Product, UpdateProductRequest};
use artel_util::{Error, new_id};
use tonic::Code;

use crate::support::{World, fields, product, rub};

impl World {
    async fn get(&self, id: &str) -> Result<Product, Error> {
        let request = self.editor.request(GetProductRequest { id: id.into() });
        Ok(self.client.clone().get_product(request).await?.into_inner().product.unwrap())
    }

    async fn update(&self, product: Product, mask: &[&str]) -> Result<Product, Error> {
        let paths = mask.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateProductRequest { product: Some(product), update_mask: Some(FieldMask { paths }) };
        Ok(self
            .client
            .clone()
            .update_product(self.editor.request(request))
            .await?
            .into_inner()
            .product
            .unwrap())
    }

    async fn delete(&self, id: &str) -> Result<(), Error> {
        let request = self.editor.request(DeleteProductRequest { id: id.into() });
        self.client.clone().delete_product(request).await?;
        Ok(())
    }

    /// Events told of a product, in order.
    async fn told(&self, id: &str) -> Vec<String> {
        let client = self.database.superuser().await.unwrap();
        let query = "SELECT name FROM outbox WHERE key = $1 ORDER BY position";
        let rows = client.query(query, &[&id]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

#[tokio::test]
async fn a_product_is_made_once_a_key_and_user() {
    let world = World::start().await;
    let kettle =
        || Product {
            id: new_id(), version: 9, old_price: rub(200_000), ..product("Чайник", 129_000, 4)
        };
    let first = world.create_once(&world.editor, kettle(), "key").await.unwrap();
    assert_eq!((first.version, first.stock, first.price.clone()), (1, 4, rub(129_000)));
    assert_eq!(world.get(&first.id).await.unwrap(), first);
    assert_eq!(first.create_time, first.update_time);

    let request = Product { name: "Самовар".into(), ..kettle() };
    let other = world.create_once(&world.editor, request, "key").await.unwrap_err();
    assert_eq!((other.code(), other.reason()), (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"));
    let colleague = world.person(&world.editor.workspace);
    let theirs = world.create_once(&colleague, kettle(), "key").await;
    assert_ne!(theirs.unwrap().id, first.id);
}

#[tokio::test]
async fn the_first_answer_comes_again_whatever_became_of_the_product() {
    let world = World::start().await;
    let kettle = product("Чайник", 129_000, 4);
    let first = world.create_once(&world.editor, kettle.clone(), "key").await.unwrap();
    world.update(Product { stock: 1, ..first.clone() }, &["stock"]).await.unwrap();
    assert_eq!(world.create_once(&world.editor, kettle.clone(), "key").await.unwrap(), first);
    world.delete(&first.id).await.unwrap();
    assert_eq!(world.create_once(&world.editor, kettle, "key").await.unwrap().id, first.id);
}

#[tokio::test]
async fn the_largest_product_is_made_once_too() {
    let world = World::start().await;
    let said = Product { description: "Ж".repeat(20_000), ..product("Чайник", 1, 0) };
    let param = |name: usize| artel_proto::catalog::ProductParam {
        name: format!("Параметр {name}"),
        value: "значение".repeat(200),
        unit: String::new(),
    };
    let said = Product { params: (0..100).map(param).collect(), ..said };
    let first = world.create_once(&world.editor, said.clone(), "key").await.unwrap();
    assert_eq!((first.description.len(), first.params.len()), (40_000, 100));
    assert_eq!(world.create_once(&world.editor, said, "key").await.unwrap(), first);
    assert_eq!(world.get(&first.id).await.unwrap(), first);
}

#[tokio::test]
async fn a_wrong_product_is_named_field_by_field_and_not_made() {
    let world = World::start().await;
    let wrong = Product {
        price: Some(artel_proto::types::Money { amount_minor: -1, currency: "XYZ".into() }),
        old_price: rub(-2),
        ..product("Чайник", 0, 0)
    };
    let error = world.create(wrong).await.unwrap_err();
    assert_eq!(
        fields(&error),
        [
            "product.price.amountMinor",
            "product.price.currency",
            "product.oldPrice.amountMinor",
            "product.oldPrice.currency"
        ]
    );
    let error = world.create(Product { category_id: new_id(), ..product("Чайник", 1, 0) }).await.unwrap_err();
    assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["product.categoryId"]));
    let error = world.create(Product { stock: -1, ..product(" ", 1, 0) }).await.unwrap_err();
    assert_eq!(fields(&error), ["product.name", "product.stock"]);
    assert!(world.list(Default::default()).await.unwrap().products.is_empty());
}

#[tokio::test]
async fn fields_change_by_mask_or_by_being_set() {
    let world = World::start().await;
    let made = world
        .create(Product {
            vendor: "Заря".into(), old_price: rub(200_000), ..product("Чайник", 129_000, 4)
        })
        .await
        .unwrap();
    let id = made.id.clone();
    let bare = Product { id: id.clone(), ..Product::default() };

    let set = world.update(Product { price: rub(99_000), ..bare.clone() }, &[]).await.unwrap();
    assert_eq!((set.version, set.price, set.stock, set.vendor.as_str()), (2, rub(99_000), 4, "Заря"));
    let emptied = world.update(bare.clone(), &["stock", "oldPrice", "vendor"]).await.unwrap();
    assert_eq!((emptied.stock, emptied.old_price.clone(), emptied.vendor.as_str()), (0, None, ""));
    // What was read, changed and sent back holds what the service gave.
    let sent_back = world.update(Product { stock: 7, ..emptied.clone() }, &[]).await.unwrap();
    assert_eq!((sent_back.version, sent_back.stock), (4, 7));

    let late = world.update(Product { stock: 8, ..emptied }, &["stock"]).await.unwrap_err();
    assert_eq!((late.code(), late.reason()), (Code::Aborted, "PRODUCT_CHANGED"));
    assert_eq!((late.get("expectedVersion"), late.get("actualVersion")), (Some("3"), Some("4")));

    let refused = world.update(bare.clone(), &["name"]).await.unwrap_err();
    assert_eq!(fields(&refused), ["product.name"]);
    let refused = world.update(bare.clone(), &["price"]).await.unwrap_err();
    assert_eq!(fields(&refused), ["product.price"]);
    let refused = world.update(bare.clone(), &["id", "colour"]).await.unwrap_err();
    assert_eq!(fields(&refused), ["updateMask", "updateMask"]);
    let nowhere = Product { category_id: new_id(), ..bare.clone() };
    assert_eq!(fields(&world.update(nowhere, &[]).await.unwrap_err()), ["product.categoryId"]);
    assert_eq!(world.get(&id).await.unwrap(), sent_back);

    let unknown = world.update(Product { id: new_id(), ..sent_back.clone() }, &["stock"]).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.reason()), (Code::NotFound, "PRODUCT_NOT_FOUND"));
    let nameless = world.update(Product { id: String::new(), ..sent_back }, &["stock"]).await.unwrap_err();
    assert_eq!(fields(&nameless), ["product.id"]);
}

#[tokio::test]
async fn a_product_is_taken_out_once() {
    let world = World::start().await;
    let id = world.create(product("Чайник", 129_000, 4)).await.unwrap().id;
    world.delete(&id).await.unwrap();
    world.delete(&id.to_uppercase()).await.unwrap();
    for gone in [world.get(&id).await.err(), world.delete(&new_id()).await.err()] {
        let gone = gone.unwrap();
        assert_eq!((gone.code(), gone.reason()), (Code::NotFound, "PRODUCT_NOT_FOUND"));
    }
    let late = world.update(Product { id: id.clone(), ..product("Чайник", 1, 1) }, &[]).await.unwrap_err();
    assert_eq!(late.reason(), "PRODUCT_NOT_FOUND");
    assert_eq!(world.told(&id).await, ["product.changed", "product.changed"]);
}

#[tokio::test]
async fn nobody_else_sees_or_touches_it() {
    let world = World::start().await;
    let id = world.create(product("Чайник", 129_000, 4)).await.unwrap().id;
    let stranger = world.person(&new_id());
    let request = stranger.request(GetProductRequest { id: id.clone() });
    assert_eq!(world.client.clone().get_product(request).await.unwrap_err().code(), Code::NotFound);
    let request = stranger.request(DeleteProductRequest { id: id.clone() });
    assert_eq!(world.client.clone().delete_product(request).await.unwrap_err().code(), Code::NotFound);
    world.get(&id).await.unwrap();
}
