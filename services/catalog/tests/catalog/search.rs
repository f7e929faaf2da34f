use artel_proto::catalog::{DeleteProductRequest, ListProductsRequest, Product};
use artel_repo::Commit;
use tonic::Code;

use crate::support::{World, fields, product};

fn asked() -> ListProductsRequest {
    ListProductsRequest::default()
}

fn search(words: &str) -> ListProductsRequest {
    ListProductsRequest { search: words.into(), ..asked() }
}

/// Five products in three categories of a feed and two without.
async fn shop() -> World {
    let world = World::start().await;
    let offer = |id: &str, name: &str, price: &str, category: &str, vendor: &str, count: i32| {
        format!(
            "<offer id='{id}'><name>{name}</name><price>{price}</price><currencyId>RUB</currencyId>\
             <categoryId>{category}</categoryId><vendor>{vendor}</vendor><count>{count}</count></offer>"
        )
    };
    let offers = [
        offer("1", "Чайники электрические", "1290", "21", "Заря", 5),
        offer("2", "Electric kettle", "1990", "21", "Dawn", 0),
        offer("3", "Книга о чае", "500", "3", "", 2),
        offer("4", "Чашка", "300", "2", "Заря", 9),
        offer("5", "Ложка", "100", "2", "Заря", 9),
    ];
    let feed = format!(
        "<yml_catalog><shop><name>Лавка</name><categories><category id='21' parentId='2'>Кухня</category>\
         <category id='2'>Дом</category><category id='3'>Книги</category></categories>\
         <offers>{}</offers></shop></yml_catalog>",
        offers.concat()
    );
    assert_eq!(world.counts(&feed).await, (5, 0, 0, 0));
    world.create(product("Самовар", 900_000, 1)).await.unwrap();
    world.create(Product { vendor: "Dawn".into(), ..product("Teapot", 70_000, 0) }).await.unwrap();
    world
}

#[tokio::test]
async fn words_are_found_in_both_languages() {
    let world = shop().await;
    assert_eq!(world.names(search("чайник")).await, ["Чайники электрические"]);
    assert_eq!(world.names(search("kettles")).await, ["Electric kettle"]);
    let mut makers = world.names(search("заря")).await;
    makers.sort();
    assert_eq!(makers, ["Ложка", "Чайники электрические", "Чашка"]);
    assert_eq!(world.names(search("заря -чашка -ложка")).await, ["Чайники электрические"]);
    assert!(world.names(search("паровоз")).await.is_empty());
}

#[tokio::test]
async fn conditions_hold_together() {
    let world = shop().await;
    let tree = world.tree().await;
    let names: Vec<&str> = tree.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["Дом", "Книги"]);
    let (home, kitchen) = (&tree[0], &tree[0].children[0]);
    assert_eq!((kitchen.name.as_str(), &kitchen.parent_id), ("Кухня", &home.id));

    let by_name = ListProductsRequest { order_by: "name".into(), ..asked() };
    let home = ListProductsRequest { category_id: home.id.clone(), ..by_name.clone() };
    assert_eq!(
        world.names(home.clone()).await,
        ["Electric kettle", "Ложка", "Чайники электрические", "Чашка"]
    );
    let kitchen =
        ListProductsRequest { category_id: kitchen.id.clone(), available: Some(true), ..by_name.clone() };
    assert_eq!(world.names(kitchen).await, ["Чайники электрические"]);
    let sold_out = ListProductsRequest { available: Some(false), ..by_name.clone() };
    assert_eq!(world.names(sold_out).await, ["Electric kettle", "Teapot"]);
    let cheap = ListProductsRequest { min_price: Some(30_000), max_price: Some(50_000), ..by_name.clone() };
    assert_eq!(world.names(cheap).await, ["Книга о чае", "Чашка"]);
    let maker = ListProductsRequest { vendor: "Dawn".into(), ..by_name };
    assert_eq!(world.names(maker.clone()).await, ["Electric kettle", "Teapot"]);

    let facets = world.list(ListProductsRequest { page_size: 1, ..home }).await.unwrap().facets.unwrap();
    let categories: Vec<_> =
        facets.categories.iter().map(|facet| (facet.name.as_str(), facet.count)).collect();
    assert_eq!(categories.len(), 2);
    assert!(categories.contains(&("Дом", 2)) && categories.contains(&("Кухня", 2)), "{categories:?}");
    let vendors: Vec<_> = facets.vendors.iter().map(|facet| (facet.vendor.as_str(), facet.count)).collect();
    assert_eq!(vendors, [("Заря", 3), ("Dawn", 1)]);
    let facets = world.list(asked()).await.unwrap().facets.unwrap();
    assert_eq!(facets.vendors.iter().map(|facet| facet.count).collect::<Vec<_>>(), [3, 2]);
    let nowhere = ListProductsRequest { category_id: artel_util::new_id(), ..asked() };
    assert!(world.list(nowhere).await.unwrap().products.is_empty());
}

/// How many products each maker has, of those that match.
async fn makers(world: &World, search: ListProductsRequest) -> Vec<(String, i32)> {
    let facets = world.list(search).await.unwrap().facets.unwrap();
    facets.vendors.into_iter().map(|facet| (facet.vendor, facet.count)).collect()
}

#[tokio::test]
async fn facets_are_kept_for_a_moment_and_forgotten_with_each_change() {
    let world = World::with("facets_ttl_ms = 60000").await;
    let tea = || Product { vendor: "Dawn".into(), ..product("Tea", 100, 1) };
    let dawn = |count| [("Dawn".to_owned(), count)];
    let behind_its_back = || async {
        let tea = Product { id: artel_util::new_id(), ..tea() };
        world.repo.commit(&world.editor, Commit::new().insert(&tea)).await.unwrap();
    };
    world.create(tea()).await.unwrap();
    assert_eq!(makers(&world, asked()).await, dawn(1));
    behind_its_back().await;
    let page = world.list(asked()).await.unwrap();
    assert_eq!(page.products.len(), 2, "only what is counted is kept");
    assert_eq!(page.facets.unwrap().vendors[0].count, 1, "another page of the search counts nothing");
    let next = ListProductsRequest { page_size: 1, order_by: "name".into(), ..asked() };
    assert_eq!(makers(&world, next).await, dawn(1));
    let other = ListProductsRequest { available: Some(true), ..asked() };
    assert_eq!(makers(&world, other).await, dawn(2), "another search has its own");

    let third = world.create(tea()).await.unwrap();
    assert_eq!(makers(&world, asked()).await, dawn(3));
    behind_its_back().await;
    world
        .client
        .clone()
        .delete_product(world.editor.request(DeleteProductRequest { id: third.id }))
        .await
        .unwrap();
    assert_eq!(makers(&world, asked()).await, dawn(3));
    behind_its_back().await;
    let feed = "<yml_catalog><shop><name>Лавка</name><categories><category id='1'>Чай</category></categories>\
                <offers><offer id='1'><name>Чай</name><price>1</price><currencyId>RUB</currencyId>\
                <categoryId>1</categoryId><vendor>Dawn</vendor></offer></offers></shop></yml_catalog>";
    assert_eq!(world.counts(feed).await, (1, 0, 0, 0));
    assert_eq!(makers(&world, asked()).await, dawn(5));

    // Where they are not kept, each page counts.
    let world = World::with("facets_ttl_ms = 0").await;
    for count in 1..=2 {
        let tea = Product { id: artel_util::new_id(), ..tea() };
        world.repo.commit(&world.editor, Commit::new().insert(&tea)).await.unwrap();
        assert_eq!(makers(&world, asked()).await, dawn(count));
    }
}

#[tokio::test]
async fn orders_hold_over_pages() {
    let world = shop().await;
    let ordered = |order_by: &str| ListProductsRequest { order_by: order_by.into(), ..asked() };
    let by_price =
        ["Ложка", "Чашка", "Книга о чае", "Teapot", "Чайники электрические", "Electric kettle", "Самовар"];
    assert_eq!(world.names(ordered("price")).await, by_price);
    let mut backwards = by_price;
    backwards.reverse();
    assert_eq!(world.names(ordered("price desc")).await, backwards);
    assert_eq!(world.names(asked()).await[..2], ["Teapot", "Самовар"]);
    assert_eq!(world.names(ordered("createTime")).await[5..], ["Самовар", "Teapot"]);
}

#[tokio::test]
async fn a_page_is_of_its_search() {
    let world = shop().await;
    let first = world.list(ListProductsRequest { page_size: 2, ..asked() }).await.unwrap();
    assert_eq!(first.products.len(), 2);
    let token = first.next_page_token;
    for other in [
        ListProductsRequest { page_token: token.clone(), vendor: "Заря".into(), ..asked() },
        ListProductsRequest { page_token: token.clone(), order_by: "price".into(), ..asked() },
        ListProductsRequest { page_token: "nonsense".into(), ..asked() },
    ] {
        let error = world.list(other).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, "BAD_PAGE_TOKEN"));
        assert_eq!(fields(&error), ["pageToken"]);
    }
    world.list(ListProductsRequest { page_token: token, page_size: 5, ..asked() }).await.unwrap();
    for (wrong, field) in [
        (ListProductsRequest { order_by: "stock".into(), ..asked() }, "orderBy"),
        (ListProductsRequest { min_price: Some(2), max_price: Some(1), ..asked() }, "minPrice"),
        (ListProductsRequest { min_price: Some(-1), ..asked() }, "minPrice"),
        (ListProductsRequest { category_id: "1".into(), ..asked() }, "categoryId"),
        (ListProductsRequest { page_size: -1, ..asked() }, "pageSize"),
    ] {
        let error = world.list(wrong).await.unwrap_err();
        assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec![field]));
    }
}
