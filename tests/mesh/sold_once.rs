//! Nothing sold twice: many want the last ten.

use artel_proto::catalog::Product;
use artel_repo::{Commit, Repo};
use futures::future::join_all;

use crate::shop::Person;
use crate::support::{Mesh, unique};

const CLIENTS: usize = 64;
const STOCK: i32 = 10;
const ROUNDS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clients_get_the_last_ten_exactly_ten_times() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let anna = Person::register(&mesh, "en").await;
    let (path, nothing) = ("/api/v1/notifications/preferences?updateMask=email,inApp", serde_json::json!({}));
    mesh.send(reqwest::Method::PATCH, path, Some(&anna.token), Some(&nothing)).await.ok();
    for round in 0..ROUNDS {
        let product = editor.product(&unique("Last ten "), 100, STOCK).await;
        let answers = join_all((0..CLIENTS).map(|_| anna.order(&product, 1))).await;
        let sold = answers.iter().filter(|answer| answer.status == 200).count();
        let refused = answers.iter().filter(|answer| answer.reason() == "OUT_OF_STOCK").count();
        let strange: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status != 200 && answer.reason() != "OUT_OF_STOCK")
            .collect();
        assert!(strange.is_empty(), "round {round}: {strange:#?}");
        assert_eq!((sold, refused), (10, CLIENTS - 10), "round {round}");
        let left = mesh.read(&format!("/api/v1/products/{product}"), None).await.ok();
        assert_eq!(left["product"]["stock"], 0, "round {round}");
    }
}

/// The same race against a shop that reads the stock and writes back what should be left. It must oversell: if it did
/// not, the test above would prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_naive_shop_sells_more_than_it_has() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let repo = Repo::new(mesh.inside().to("persist"));
    let call = mesh.call();
    for _ in 0..10 {
        let product = editor.product(&unique("Naive "), 100, STOCK).await;
        let sales = join_all((0..CLIENTS).map(|_| async {
            let mut product: Product = repo.get(&call, &product).await.unwrap().unwrap();
            if product.stock < 1 {
                return false;
            }
            product.stock -= 1;
            repo.commit(&call, Commit::new().update(&product, &["stock"])).await.is_ok()
        }))
        .await;
        if sales.into_iter().filter(|sold| *sold).count() > STOCK as usize {
            return;
        }
    }
    panic!("ten rounds of read-then-write sold no more than there was: this machine shows no race");
}
