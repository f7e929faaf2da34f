//! Products, pages, facets, and feeds that are sent twice.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::Person;
use crate::support::{Mesh, unique};

#[tokio::test]
async fn search_pages_and_facets_agree() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let (word, vendor) = (unique("чайник"), unique("Vendor "));
    for number in 0..25 {
        let body = json!({
            "name": format!("{word} номер {number}"), "vendor": vendor, "stock": number % 2,
            "price": {"amountMinor": (100 + number % 5).to_string(), "currency": "RUB"},
        });
        mesh.post("/api/v1/products", Some(&editor.token), &body).await.ok();
    }
    let path = format!("/api/v1/products?search={word}&orderBy=price%20desc&pageSize=10");
    let (mut seen, mut prices, mut token) = (BTreeSet::new(), Vec::new(), String::new());
    loop {
        let page = mesh.read(&format!("{path}&pageToken={token}"), None).await.ok();
        for product in page["products"].as_array().unwrap() {
            assert!(seen.insert(product["id"].as_str().unwrap().to_owned()), "a product on two pages");
            prices.push(product["price"]["amountMinor"].as_str().unwrap().parse::<i64>().unwrap());
        }
        // Somebody adds a product in the middle of it: pages stay stable.
        let body =
            json!({"name": format!("{word} поздний"), "price": {"amountMinor": "999", "currency": "RUB"}});
        if token.is_empty() {
            mesh.post("/api/v1/products", Some(&editor.token), &body).await.ok();
        }
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 25);
    assert!(prices.is_sorted_by(|one, next| one >= next), "{prices:?}");
    let facets =
        mesh.read(&format!("/api/v1/products?search={word}&available=true&maxPrice=200"), None).await.ok();
    assert_eq!(facets["facets"]["vendors"], json!([{"vendor": vendor, "count": 12}]));
}

#[tokio::test]
async fn a_product_is_made_changed_and_taken_out() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let id = editor.product(&unique("Кофемолка "), 5_000, 3).await;
    let path = format!("/api/v1/products/{id}");
    let token = Some(editor.token.as_str());
    let changed = mesh
        .send(
            Method::PATCH,
            &path,
            token,
            Some(&json!({"price": {"amountMinor": "4500", "currency": "RUB"}})),
        )
        .await
        .ok();
    assert_eq!(
        (changed["product"]["price"]["amountMinor"].as_str(), changed["product"]["stock"].as_i64()),
        (Some("4500"), Some(3))
    );
    let emptied = mesh
        .send(Method::PATCH, &format!("{path}?updateMask=stock"), token, Some(&json!({"stock": 0})))
        .await
        .ok();
    assert_eq!(emptied["product"]["stock"], 0);
    mesh.send(Method::DELETE, &path, token, None).await.ok();
    mesh.send(Method::DELETE, &path, token, None).await.ok();
    assert_eq!(mesh.read(&path, None).await.status, 404);
}

#[tokio::test]
async fn a_feed_sent_twice_changes_nothing_the_second_time() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let (shop, word) = (unique("shop"), unique("робот"));
    let feed = |price: i64| {
        format!(
            r#"<?xml version="1.0" encoding="windows-1251"?>
<!DOCTYPE yml_catalog SYSTEM "shops.dtd">
<yml_catalog date="2026-11-20 12:00"><shop><name>{shop}</name><company>ООО</company><url>https://example.com</url>
<currencies><currency id="RUR" rate="1"/></currencies>
<categories><category id="1">Дом</category><category id="2" parentId="1">Уборка {shop}</category></categories>
<offers>
<offer id="a" available="true"><name>{word} первый</name><price>{price}.50</price><currencyId>RUR</currencyId><categoryId>2</categoryId><count>3</count>
<description><![CDATA[<p>Тихий &amp; <b>сильный</b></p>]]></description><param name="Вес" unit="кг">2,5</param></offer>
<offer id="b" type="vendor.model" available="true"><typePrefix>Пылесос</typePrefix><vendor>Озеро</vendor><model>X1 {word}</model><price>200</price><currencyId>RUB</currencyId><categoryId>1</categoryId></offer>
<offer id="c" available="true"><name>Без цены</name><currencyId>RUB</currencyId><categoryId>1</categoryId></offer>
</offers></shop></yml_catalog>"#
        )
    };
    let import = async |price: i64| -> Value {
        // windows-1251: Cyrillic letters are one byte each.
        let bytes: Vec<u8> = feed(price).chars().map(cp1251).collect();
        let request = mesh.http.post(format!("{}/api/v1/feeds:import", mesh.api)).bearer_auth(&editor.token);
        let response = request.header("content-type", "application/xml").body(bytes).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let counts =
        |answer: &Value| ["imported", "updated", "unchanged"].map(|key| answer[key].as_i64().unwrap());
    let first = import(100).await;
    assert_eq!(counts(&first), [2, 0, 0], "{first}");
    assert_eq!(
        (first["rejected"][0]["offerId"].as_str(), first["rejected"][0]["line"].as_i64()),
        (Some("c"), Some(10))
    );
    assert_eq!(counts(&import(100).await), [0, 0, 2]);
    assert_eq!(counts(&import(120).await), [0, 1, 1]);

    let found = mesh.read(&format!("/api/v1/products?search={word}&orderBy=price"), None).await.ok();
    let products = found["products"].as_array().unwrap();
    assert_eq!(products.len(), 2, "{found}");
    assert_eq!(
        (products[0]["price"]["amountMinor"].as_str(), products[0]["stock"].as_i64()),
        (Some("12050"), Some(3))
    );
    assert_eq!(products[0]["params"], json!([{"name": "Вес", "value": "2,5", "unit": "кг"}]));
    let tree = mesh.read("/api/v1/categories", None).await.ok().to_string();
    assert!(tree.contains(&format!("Уборка {shop}")));
}

#[tokio::test]
async fn bombs_and_foreign_files_are_refused() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    for prolog in [
        r#"<!DOCTYPE yml_catalog [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>"#,
        r#"<!DOCTYPE yml_catalog [<!ENTITY a SYSTEM "file:///etc/passwd">]>"#,
    ] {
        let body = format!(
            "<?xml version=\"1.0\"?>{prolog}<yml_catalog date=\"2026-01-01\"><shop><name>&a;</name></shop></yml_catalog>"
        );
        let request = mesh.http.post(format!("{}/api/v1/feeds:import", mesh.api)).bearer_auth(&editor.token);
        let response = request.header("content-type", "application/xml").body(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{}", response.text().await.unwrap());
    }
}

fn cp1251(letter: char) -> u8 {
    match letter {
        'А'..='я' => u8::try_from(u32::from(letter) - 0x410 + 0xC0).unwrap(),
        'ё' => 0xB8,
        'Ё' => 0xA8,
        _ => u8::try_from(u32::from(letter)).unwrap(),
    }
}
