//! The restaurant through its one door: a guest's whole way, and payments while the bank, the printer or `billing` die.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::dining::{Guest, bank, code, faults, ledger, number, open_kitchen, phone, printed, staff};
use crate::support::{Mesh, eventually, unique};

#[tokio::test]
async fn a_guest_signs_in_orders_pays_with_card_and_points_and_is_called() {
    let mesh = Mesh::get();
    open_kitchen(&mesh);
    let (staff, guest) = (staff(&mesh).await, Guest::new(&mesh).await);
    let gift = json!({"userId": guest.user_id, "amount": "5000", "idempotencyKey": unique("gift")});
    mesh.post("/api/v1/bonus/grants", Some(&staff.token), &gift).await.ok();

    let order = guest.order(2).await;
    assert!((1..=999).contains(&order.number));
    let key = unique("pay");
    let paid = guest.pay(&order, 5000, &key).await.ok();
    assert_eq!(number(&paid["bonusMinor"]), 5000);
    assert_eq!(number(&paid["cardMinor"]), order.total - 5000);
    let payment_id = paid["paymentId"].as_str().unwrap();
    assert_eq!(bank(&mesh, payment_id).await, (order.total - 5000, 0, 1));
    // The same key gets the same answer, another one is told that it is paid.
    assert_eq!(guest.pay(&order, 5000, &key).await.ok(), paid);
    let again = guest.pay(&order, 0, &unique("pay")).await;
    assert_eq!((again.status.as_u16(), again.reason()), (400, "ORDER_PAID"), "{}", again.body);

    guest.wait_for(&order, "READY").await;
    let hand_over = format!("/api/v1/orders/{}:handOver", order.id);
    assert_eq!(mesh.post(&hand_over, Some(&guest.token), &json!({})).await.status, 403);
    mesh.post(&hand_over, Some(&staff.token), &json!({})).await.ok();
    guest.wait_for(&order, "HANDED_OVER").await;

    // In the application and by SMS, once each.
    let told = eventually("to be told", Duration::from_secs(30), async || {
        let messages = mesh.read("/api/v1/notifications", Some(&guest.token)).await.ok();
        let messages = messages["notifications"].as_array().unwrap().clone();
        (messages.len() >= 2).then_some(messages)
    })
    .await;
    assert_eq!(told.len(), 2, "paid and ready: {told:?}");
    eventually("both SMS", Duration::from_secs(30), async || {
        let digits = guest.phone.trim_start_matches('+').to_owned();
        let sent = ledger(&mesh, "sms").await;
        let mine = sent.iter().filter(|it| it["phone"].as_str().is_some_and(|to| to.contains(&digits)));
        // The code, paid, ready.
        (mine.count() == 3).then_some(())
    })
    .await;
    eventually("the receipt", Duration::from_secs(30), async || {
        (printed(&mesh, payment_id).await > 0).then_some(())
    })
    .await;
    assert_eq!(printed(&mesh, payment_id).await, 1, "one receipt");
    assert!(guest.points().await > 0, "points were earned");

    // A part is given back, then the rest, and no more.
    let refund = format!("/api/v1/payments/{payment_id}/refund");
    let part = json!({"amountMinor": (order.total / 3).to_string(), "idempotencyKey": unique("refund")});
    let first = mesh.post(&refund, Some(&staff.token), &part).await.ok();
    assert_eq!(mesh.post(&refund, Some(&staff.token), &part).await.ok(), first, "once for a key");
    assert_eq!(mesh.post(&refund, Some(&guest.token), &part).await.status, 403);
    let too_much = json!({"amountMinor": order.total.to_string(), "idempotencyKey": unique("refund")});
    let refused = mesh.post(&refund, Some(&staff.token), &too_much).await;
    assert_eq!(refused.reason(), "REFUND_TOO_MUCH", "{}", refused.body);
    let rest = json!({"idempotencyKey": unique("refund")});
    mesh.post(&refund, Some(&staff.token), &rest).await.ok();
    let (charged, refunded, _) = bank(&mesh, payment_id).await;
    assert_eq!(charged, refunded, "all of it went back");
    let payment = mesh.read(&format!("/api/v1/payments/{payment_id}"), Some(&guest.token)).await.ok();
    assert_eq!(number(&payment["payment"]["refundedMinor"]), order.total);
    let stranger = Guest::new(&mesh).await;
    assert_eq!(mesh.read(&format!("/api/v1/payments/{payment_id}"), Some(&stranger.token)).await.status, 404);

    eventually("the day's numbers to know of it", Duration::from_secs(10), async || {
        let today = mesh.read("/api/v1/statistics/today", Some(&staff.token)).await.ok();
        (number(&today["report"]["total"]["refundedMinor"]) >= order.total).then_some(())
    })
    .await;
    mesh.artel(&["restaurant", "check", "--older-than", "0"]);
}

#[tokio::test]
async fn whether_a_phone_is_known_is_not_told_and_three_wrong_codes_are_enough() {
    let mesh = Mesh::get();
    let known = Guest::new(&mesh).await;
    let ask = async |phone: &str| {
        let answer = mesh.post("/api/auth/quick-auth", None, &json!({"phone": phone})).await;
        let fields: Vec<String> = answer.body.as_object().unwrap().keys().cloned().collect();
        let token = answer.body["temporaryToken"].as_str().unwrap_or_default().to_owned();
        (answer.status.as_u16(), fields, token)
    };
    let new = phone();
    let (status, fields, token) = ask(&new).await;
    assert_eq!(status, 201);
    let (other_status, other_fields, _) = ask(&known.phone.replacen("+7", "8", 1)).await;
    assert_eq!((other_status, other_fields), (status, fields));

    let right = code(&mesh, &new).await;
    let wrong = if right == "000000" { "000001" } else { "000000" };
    let confirm = async |code: &str| {
        let body = json!({"phone": new, "code": code, "temporaryToken": token});
        mesh.post("/api/auth/confirm", None, &body).await
    };
    for _ in 0..3 {
        let answer = confirm(wrong).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (401, "BAD_CODE"), "{}", answer.body);
    }
    assert_eq!(confirm(&right).await.reason(), "BAD_CODE", "the code is dead");
}

#[tokio::test]
async fn a_payment_survives_a_bank_that_fails_and_loses_answers_and_a_killed_billing() {
    let mesh = Mesh::get();
    open_kitchen(&mesh);
    let guest = Guest::new(&mesh).await;

    // Refused: nothing is taken, and the same order can be paid after it.
    let order = guest.order(1).await;
    faults(&mesh, "bank", json!({"script": ["decline"]})).await;
    let key = unique("pay");
    let declined = guest.pay(&order, 0, &key).await;
    assert_eq!(declined.reason(), "CARD_DECLINED", "{}", declined.body);
    assert_eq!(guest.pay(&order, 0, &key).await.reason(), "CARD_DECLINED", "the same key, the same answer");

    // The answer is lost: it is looked up, and charged once.
    faults(&mesh, "bank", json!({"script": ["lose"]})).await;
    let paid = guest.pay(&order, 0, &unique("pay")).await.ok();
    assert_eq!(bank(&mesh, paid["paymentId"].as_str().unwrap()).await, (order.total, 0, 1));

    // Killed while the bank takes its time: another goes on where it was.
    let order = guest.order(1).await;
    faults(&mesh, "bank", json!({"script": ["slow:2500"]})).await;
    let key = unique("pay");
    let begun = ledger(&mesh, "bank").await.len();
    let killing = async {
        eventually("the bank to be asked", Duration::from_secs(10), async || {
            (ledger(&mesh, "bank").await.len() > begun).then_some(())
        })
        .await;
        mesh.kill("billing");
        Instant::now()
    };
    let path = format!("/api/orders/{}/payment", order.id);
    let body = json!({"cardToken": "tok_visa", "bonusAmount": "0", "idempotencyKey": key});
    let (_, killed) =
        tokio::join!(mesh.try_send(reqwest::Method::POST, &path, Some(&guest.token), Some(&body)), killing);
    let paid = eventually("the payment to end", Duration::from_secs(60), async || {
        let answer =
            mesh.try_send(reqwest::Method::POST, &path, Some(&guest.token), Some(&body)).await.ok()?;
        answer.status.is_success().then_some(answer.body)
    })
    .await;
    println!("a payment whose process was killed ended {:?} after the kill", killed.elapsed());
    assert_eq!(bank(&mesh, paid["paymentId"].as_str().unwrap()).await, (order.total, 0, 1));
    guest.wait_for(&order, "READY").await;
    faults(&mesh, "bank", json!({})).await;
}

#[tokio::test]
async fn receipts_wait_for_a_dead_printer_and_are_printed_once() {
    let mesh = Mesh::get();
    open_kitchen(&mesh);
    let (staff, guest) = (staff(&mesh).await, Guest::new(&mesh).await);
    faults(&mesh, "printer", json!({"down": true})).await;
    let order = guest.order(1).await;
    let paid = guest.pay(&order, 0, &unique("pay")).await.ok();
    let payment_id = paid["paymentId"].as_str().unwrap();
    let waiting = async || {
        let page = mesh.read("/api/v1/receipts?pageSize=200", Some(&staff.token)).await.ok();
        page["receipts"].as_array().unwrap().iter().any(|receipt| receipt["id"] == payment_id)
    };
    assert!(waiting().await, "the cashier sees it waiting");
    guest.wait_for(&order, "READY").await;
    faults(&mesh, "printer", json!({})).await;
    eventually("the receipt to be printed", Duration::from_secs(60), async || {
        (!waiting().await).then_some(())
    })
    .await;
    assert_eq!(printed(&mesh, payment_id).await, 1);
}
