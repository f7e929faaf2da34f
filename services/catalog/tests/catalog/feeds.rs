use std::fmt::Write as _;

use artel_proto::catalog::{DeleteProductRequest, ListProductsRequest, Product};
use artel_repo::{Commit, Delta};
use tonic::Code;

use crate::support::{World, rub};

const DEMO: &str = include_str!("../../../../system/demo/catalog.yml");
const CATEGORIES: &str = "<category id='1'>Дом</category><category id='2' parentId='1'>Кухня</category>";

fn feed(categories: &str, offers: &str) -> String {
    format!(
        "<yml_catalog><shop><name>Лавка</name><categories>{categories}</categories><offers>{offers}</offers></shop>\
         </yml_catalog>"
    )
}

fn offer(id: &str, name: &str, price: &str, more: &str) -> String {
    format!(
        "<offer id='{id}'><name>{name}</name><price>{price}</price><currencyId>RUR</currencyId>\
         <categoryId>2</categoryId>{more}</offer>\n"
    )
}

/// So many offers, which differ by their numbers.
fn offers(count: usize) -> String {
    let mut all = String::new();
    for id in 0..count {
        write!(all, "{}", offer(&format!("o{id}"), &format!("Товар {id}"), "10", "<count>3</count>"))
            .unwrap();
    }
    all
}

impl World {
    async fn sell(&self, product: &Product, quantity: i32) {
        let commit = Commit::new().adjust::<Product>(&product.id, [Delta::add("stock", -quantity).floor(0)]);
        self.repo.commit(&self.editor, commit).await.unwrap();
    }

    async fn count(&self) -> usize {
        self.names(ListProductsRequest::default()).await.len()
    }
}

#[tokio::test]
async fn the_demo_catalogue_twice() {
    let world = World::start().await;
    let (imported, updated, unchanged, rejected) = world.counts(DEMO).await;
    assert_eq!((updated, unchanged, rejected), (0, 0, 0));
    assert!(imported > 40, "{imported}");
    let (tree, phone) = (world.tree().await, world.only("\"Нота 5\" графит").await);
    assert_eq!(world.counts(DEMO).await, (0, 0, imported, 0));
    assert_eq!(world.tree().await, tree);
    assert_eq!(world.only("\"Нота 5\" графит").await, phone);
    assert_eq!((phone.price.clone(), phone.old_price.clone()), (rub(3_299_000), rub(3_699_000)));
    assert_eq!((phone.vendor_code.as_str(), phone.pictures.len()), ("SM-1001", 3));
}

#[tokio::test]
async fn messy_feeds_are_read_and_their_bad_offers_named() {
    let world = World::start().await;
    let messy = include_bytes!("../../../../packages/yml/tests/feeds/messy.yml");
    let first = world.import(messy).await.unwrap();
    assert!(first.imported > 0);
    let again = world.import(messy).await.unwrap();
    assert_eq!((again.imported, again.updated, again.unchanged), (0, 0, first.imported));
    let rejected =
        world.import(include_bytes!("../../../../packages/yml/tests/feeds/rejected.yml")).await.unwrap();
    assert!(rejected.rejected_count > 5);
    assert_eq!(rejected.rejected.len(), usize::try_from(rejected.rejected_count).unwrap());
    assert!(rejected.rejected.iter().all(|offer| offer.line > 0 && !offer.reason.is_empty()));
    let cyrillic = include_bytes!("../../../../packages/yml/tests/feeds/windows_1251.yml");
    assert!(world.import(cyrillic).await.unwrap().imported > 0);
}

#[tokio::test]
async fn sales_survive_a_second_import_and_a_new_count_counts() {
    let world = World::with("assumed_stock = 40").await;
    let said = |count: &str| {
        let counted = offer("a", "Чайник", "1290.50", &format!("<count>{count}</count>"));
        feed(CATEGORIES, &(counted + &offer("b", "Самовар", "9000", "")))
    };
    assert_eq!(world.counts(&said("5")).await, (2, 0, 0, 0));
    let (kettle, samovar) = (world.only("чайник").await, world.only("самовар").await);
    assert_eq!((kettle.stock, kettle.price.clone(), samovar.stock), (5, rub(129_050), 40));
    world.sell(&kettle, 2).await;
    world.sell(&samovar, 3).await;
    assert_eq!(world.counts(&said("5")).await, (0, 0, 2, 0));
    assert_eq!((world.only("чайник").await.stock, world.only("самовар").await.stock), (3, 37));
    assert_eq!(world.counts(&said("8")).await, (0, 1, 1, 0));
    assert_eq!(world.only("чайник").await.stock, 8);
    let sold_out = said("8").replace("<offer id='a'>", "<offer id='a' available='false'>");
    assert_eq!(world.counts(&sold_out).await, (0, 1, 1, 0));
    assert_eq!(world.only("чайник").await.stock, 0);
}

#[tokio::test]
async fn a_change_replaces_what_the_feed_says_and_keeps_stock() {
    let world = World::start().await;
    world
        .counts(&feed(CATEGORIES, &offer("a", "Чайник", "100", "<vendor>Заря</vendor><count>5</count>")))
        .await;
    let before = world.only("чайник").await;
    world.sell(&before, 1).await;
    let changed = feed(CATEGORIES, &offer("a", "Чайник новый", "200", "<count>5</count>"));
    assert_eq!(world.counts(&changed).await, (0, 1, 0, 0));
    let after = world.only("чайник").await;
    assert_eq!(
        (after.id, after.name.as_str(), after.price, after.vendor.as_str(), after.stock),
        (before.id, "Чайник новый", rub(20_000), "", 4)
    );
    // Back to what it said first: that is a change again, not a repetition.
    let back = feed(CATEGORIES, &offer("a", "Чайник", "100", "<vendor>Заря</vendor><count>5</count>"));
    assert_eq!(world.counts(&back).await, (0, 1, 0, 0));
    assert_eq!(world.only("чайник").await.price, rub(10_000));
}

#[tokio::test]
async fn what_an_editor_took_out_stays_out() {
    let world = World::start().await;
    let said = |price: &str| {
        feed(CATEGORIES, &(offer("a", "Чайник", price, "") + &offer("b", "Самовар", price, "")))
    };
    world.counts(&said("1")).await;
    let request = world.editor.request(DeleteProductRequest { id: world.only("чайник").await.id });
    world.client.clone().delete_product(request).await.unwrap();
    assert_eq!(world.counts(&said("2")).await, (0, 1, 1, 0));
    assert_eq!(world.counts(&said("3")).await, (0, 1, 1, 0));
    assert_eq!(world.names(ListProductsRequest::default()).await, ["Самовар"]);
}

#[tokio::test]
async fn categories_keep_their_ids_when_they_move() {
    let world = World::start().await;
    world.counts(&feed(CATEGORIES, "")).await;
    let before = world.tree().await;
    let id = before[0].children[0].id.clone();
    world
        .counts(&feed(
            "<category id='2'>Кухня и дом</category><category id='1' parentId='2'>Дом</category>",
            "",
        ))
        .await;
    let after = world.tree().await;
    assert_eq!((after[0].id.as_str(), after[0].name.as_str()), (id.as_str(), "Кухня и дом"));
    assert_eq!(after[0].children[0].id, before[0].id);
    // Another shop's categories are its own.
    let other = feed(CATEGORIES, "").replace("Лавка", "Склад");
    world.counts(&other).await;
    assert_eq!(world.tree().await.len(), 2);
}

#[tokio::test]
async fn a_broken_end_keeps_what_came_before() {
    let world = World::with("import_batch = 10").await;
    let whole = feed(CATEGORIES, &offers(35));
    let broken = whole.split("<offer id='o30'>").next().unwrap();
    let error = world.import(broken.as_bytes()).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, "FEED_TRUNCATED"));
    assert_eq!((error.get("imported"), error.get("line")), (Some("30"), Some("31")));
    assert_eq!(world.counts(&whole).await, (5, 0, 30, 0));
    assert_eq!(world.count().await, 35);
}

#[tokio::test]
async fn bombs_and_other_files_are_refused() {
    let world = World::start().await;
    let laughs = include_bytes!("../../../../packages/yml/tests/feeds/laughs.yml");
    assert_eq!(world.import(laughs).await.unwrap_err().reason(), "FEED_DECLARES_ENTITIES");
    let foreign = include_bytes!("../../../../packages/yml/tests/feeds/xxe.yml");
    assert_eq!(world.import(foreign).await.unwrap_err().reason(), "FEED_DECLARES_ENTITIES");
    assert_eq!(world.import(b"").await.unwrap_err().reason(), "FEED_EMPTY");
    assert_eq!(world.import(b"<html></html>").await.unwrap_err().reason(), "FEED_NOT_YML");
    assert_eq!(world.count().await, 0);
}

#[tokio::test]
async fn imports_of_one_feed_at_the_same_time_make_each_product_once() {
    let world = World::with("import_batch = 20").await;
    let said = feed(CATEGORIES, &offers(120));
    let answers = futures::future::join_all((0..4).map(|_| world.import(said.as_bytes()))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let sum =
        |count: fn(&artel_proto::catalog::ImportFeedResponse) -> i32| answers.iter().map(count).sum::<i32>();
    assert_eq!((sum(|one| one.imported), sum(|one| one.updated), sum(|one| one.unchanged)), (120, 0, 360));
    assert_eq!(world.count().await, 120);
    assert_eq!(world.tree().await.len(), 1);
}

#[tokio::test]
async fn the_end_of_an_import_is_told_and_its_products_are_not() {
    let world = World::start().await;
    world.counts(&feed(CATEGORIES, &offers(3))).await;
    let client = world.database.superuser().await.unwrap();
    let rows = client.query("SELECT name FROM outbox", &[]).await.unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["feed.imported"]);
}
