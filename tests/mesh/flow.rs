//! The main job: a shopper signs up, finds a product, orders it and is told so.

use serde_json::json;

use crate::shop::Person;
use crate::support::{Mesh, PATIENCE, eventually, unique};

#[tokio::test]
async fn a_shopper_signs_up_finds_a_product_orders_it_and_is_told_so() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let word = unique("самовар");
    let product = editor.product(&format!("Электрический {word}"), 12_900, 5).await;

    let anna = Person::register(&mesh, "ru").await;
    let me = mesh.read("/api/v1/users/me", Some(&anna.token)).await.ok();
    assert_eq!(
        (me["user"]["email"].as_str(), me["user"]["displayName"].as_str()),
        (Some(anna.email.as_str()), Some("Anna"))
    );

    let found = mesh.read(&format!("/api/v1/products?search={word}"), None).await.ok();
    assert_eq!(found["products"][0]["id"], product.as_str());

    let key = unique("k");
    let body = json!({"items": [{"productId": product, "quantity": 1}, {"productId": product, "quantity": 1}], "idempotencyKey": key});
    let placed = mesh.post("/api/v1/orders", Some(&anna.token), &body).await.ok();
    let order = &placed["order"];
    assert_eq!(order["total"], json!({"amountMinor": "25800", "currency": "RUB"}));
    assert_eq!(order["items"].as_array().unwrap().len(), 1, "two lines of one product count together");
    assert_eq!(order["items"][0]["quantity"], 2);
    // The same request again is the same order, and takes no more stock.
    assert_eq!(mesh.post("/api/v1/orders", Some(&anna.token), &body).await.ok(), placed);
    let other = json!({"items": [{"productId": product, "quantity": 1}], "idempotencyKey": key});
    assert_eq!(mesh.post("/api/v1/orders", Some(&anna.token), &other).await.status, 409);
    let shown = mesh.read(&format!("/api/v1/products/{product}"), None).await.ok();
    assert_eq!(shown["product"]["stock"], 3);

    let id = order["id"].as_str().unwrap();
    assert_eq!(mesh.read(&format!("/api/v1/orders/{id}"), Some(&anna.token)).await.ok()["order"], *order);
    assert_eq!(mesh.read("/api/v1/orders", Some(&anna.token)).await.ok()["orders"][0]["id"], id);

    told(&anna, id, order["number"].as_str().unwrap(), 1, "Заказ").await;
    let cancel = format!("/api/v1/orders/{id}:cancel");
    let cancelled = mesh.post(&cancel, Some(&anna.token), &json!({})).await.ok();
    assert_eq!(cancelled["order"]["status"], "ORDER_STATUS_CANCELLED");
    // Stock comes back once, however often it is cancelled.
    assert_eq!(mesh.post(&cancel, Some(&anna.token), &json!({})).await.ok(), cancelled);
    assert_eq!(mesh.read(&format!("/api/v1/products/{product}"), None).await.ok()["product"]["stock"], 5);
    told(&anna, id, order["number"].as_str().unwrap(), 2, "Заказ").await;
}

#[tokio::test]
async fn everybody_is_told_in_their_language_and_as_they_wish() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let product = editor.product(&unique("Kettle "), 100, 50).await;
    for (locale, word) in [("ru", "Заказ"), ("kk", "тапсырыс"), ("en", "order")] {
        let person = Person::register(&mesh, locale).await;
        let order = person.order(&product, 1).await.ok();
        let number = order["order"]["number"].as_str().unwrap();
        told(&person, order["order"]["id"].as_str().unwrap(), number, 1, word).await;
    }
    let quiet = Person::register(&mesh, "en").await;
    let body = json!({"email": false, "locale": "ru"});
    let path = "/api/v1/notifications/preferences?updateMask=email,locale";
    let set = mesh.send(reqwest::Method::PATCH, path, Some(&quiet.token), Some(&body)).await.ok();
    assert_eq!(
        (set["preferences"]["email"].as_bool(), set["preferences"]["inApp"].as_bool()),
        (Some(false), Some(true))
    );
    quiet.order(&product, 1).await.ok();
    let list = notifications(&quiet, 1).await;
    assert_eq!(list[0]["locale"], "ru");
    assert!(mesh.mails(&quiet.email).await.is_empty());

    // Read by its owner; not there for anybody else.
    let path = format!("/api/v1/notifications/{}:read", list[0]["id"].as_str().unwrap());
    assert_eq!(mesh.post(&path, Some(&editor.token), &json!({})).await.status, 404);
    let read = mesh.post(&path, Some(&quiet.token), &json!({})).await.ok();
    assert!(read["notification"]["readTime"].is_string());
    assert_eq!(mesh.post(&path, Some(&quiet.token), &json!({})).await.ok(), read);
}

/// Waits until the person has this many messages and e-mails, the newest of which is about the order, in the language.
async fn told(person: &Person, order_id: &str, number: &str, count: usize, word: &str) {
    let list = notifications(person, count).await;
    assert_eq!(list[0]["subjectId"], order_id);
    let mails = eventually("the e-mail", PATIENCE, async || {
        let mails = person.mesh.mails(&person.email).await;
        (mails.len() >= count).then_some(mails)
    })
    .await;
    assert_eq!(mails.len(), count, "{mails:#?}");
    let mail = mails
        .iter()
        .find(|mail| mail.to_string().contains(number))
        .expect("an e-mail with the order's number");
    let text = format!("{} {}", mail["subject"], mail["text"]).to_lowercase();
    assert!(text.contains(&word.to_lowercase()), "no «{word}» in {text}");
    for own in [&list[0]["title"], &list[0]["body"]] {
        assert!(!own.as_str().unwrap().is_empty());
    }
}

async fn notifications(person: &Person, count: usize) -> Vec<serde_json::Value> {
    eventually("the message inside the application", PATIENCE, async || {
        let answer = person.mesh.read("/api/v1/notifications", Some(&person.token)).await.ok();
        let list = answer["notifications"].as_array().unwrap().clone();
        (list.len() >= count).then_some(list)
    })
    .await
}
