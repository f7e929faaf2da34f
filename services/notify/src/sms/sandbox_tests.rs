//! The client over the sandbox: each fault is understood as what it is.

use std::time::Instant;

use artel_proto::notify::SendStatus;
use artel_vendors::sms::{self, Effect, Options};
use artel_vendors::{Act, Faults, Running};

use super::tests::{carrier, sms as letter};
use super::*;
use crate::config::tests::settings;
use crate::outbox::tests::{Hands, Table, call, process};

const PHONE: &str = "+77011234567";

async fn sandbox() -> Running<sms::Sms> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    sms::start(Options::default()).await.unwrap()
}

fn client(sandbox: &Running<sms::Sms>, more: &str) -> Smsc {
    let account = "login = 'artel'\npassword = 'sandbox-password'\nsender = 'ARTEL'";
    let text = format!("[notify.sms]\nurl = '{}/sys'\n{account}\n{more}", sandbox.url());
    Smsc::new(&settings(&text).unwrap().sms).unwrap()
}

fn message(id: &str) -> Message<'_> {
    Message { id, phone: PHONE, text: "Заказ №12 готов", lasts: Some(Duration::from_secs(300)) }
}

fn delivered(sandbox: &Running<sms::Sms>) -> usize {
    let is_delivered = |effect: &Effect| matches!(effect, Effect::Delivered { .. });
    sandbox.ledger().iter().filter(|entry| is_delivered(&entry.effect)).count()
}

#[tokio::test]
async fn a_message_is_sent_and_can_be_asked_after() {
    let sandbox = sandbox().await;
    let smsc = client(&sandbox, "");
    let id = artel_util::new_id();
    assert_eq!(smsc.has(&id, PHONE).await, Ok(false));
    assert_eq!(smsc.send(message(&id)).await, Answer::Taken);
    assert_eq!(smsc.has(&id, PHONE).await, Ok(true));
    assert_eq!(smsc.has(&id, "+77017654321").await, Ok(false));
    let Effect::Delivered { phone, text, sender, parts, .. } = sandbox.ledger().remove(0).effect else {
        panic!("it was delivered")
    };
    assert_eq!((phone.as_str(), text.as_str()), ("77011234567", "Заказ №12 готов"));
    assert_eq!((sender.as_str(), parts), ("ARTEL", 1));
}

#[tokio::test]
async fn each_fault_is_understood_as_what_it_is() {
    let sandbox = sandbox().await;
    let smsc = client(&sandbox, "timeout_ms = 400");
    let slow = Act::Slow(Duration::from_secs(20));
    for (act, wanted, has) in [
        (Act::Fail, "NotNow", false),
        (Act::Lose, "Unknown", true),
        (slow, "Unknown", true),
        (Act::Decline, "Never", false),
        (Act::Ok, "Taken", true),
    ] {
        let id = artel_util::new_id();
        sandbox.faults().set(Faults::script([act]));
        let answer = format!("{:?}", smsc.send(message(&id)).await);
        assert!(answer.starts_with(wanted), "{act:?}: {answer}");
        assert_eq!(smsc.has(&id, PHONE).await, Ok(has), "{act:?}");
    }
    let id = artel_util::new_id();
    let nobody = Message { phone: "+7", ..message(&id) };
    assert!(matches!(smsc.send(nobody).await, Answer::Never(_)));
    sandbox.faults().set(Faults::down());
    assert!(matches!(smsc.send(message(&id)).await, Answer::NotNow(_)));
    assert!(smsc.has(&id, PHONE).await.is_err(), "nobody knows");
    sandbox.faults().clear();
    let stranger = client(&sandbox, "").with_password("wrong");
    let answer = stranger.send(message(&id)).await;
    assert!(matches!(&answer, Answer::NotNow(why) if !why.contains("wrong")), "{answer:?}");
    assert!(stranger.has(&id, PHONE).await.is_err());
    let elsewhere = client(&sandbox, "");
    sandbox.stop().await;
    assert!(matches!(elsewhere.send(message(&id)).await, Answer::NotNow(_)), "nobody listens there");
}

#[tokio::test]
async fn an_sms_is_delivered_once_whatever_the_provider_does() {
    let sandbox = sandbox().await;
    let smsc = Arc::new(client(&sandbox, "timeout_ms = 400"));
    let faults = [Act::Ok, Act::Fail, Act::Lose, Act::Slow(Duration::from_secs(20))];
    let mut cases = 0;
    for first in faults {
        for second in faults {
            let before = delivered(&sandbox);
            sandbox.faults().set(Faults::script([first, second]));
            let (table, hands) = (Table::with(letter()), Hands::default());
            let id = table.row().id;
            for _ in 0..5 {
                // Each a process of its own, with no memory of the others.
                let _ = process(&table, &carrier(smsc.clone()), &hands).send(&call(), &id).await;
                hands.forward(700);
            }
            let row = table.row();
            assert_eq!(
                (row.status(), delivered(&sandbox) - before),
                (SendStatus::Sent, 1),
                "{first:?}, {second:?}"
            );
            cases += 1;
        }
    }
    assert_eq!(cases, 16);
}

#[tokio::test]
async fn a_request_that_is_worked_on_late_is_the_same_message() {
    let sandbox = sandbox().await;
    let smsc = Arc::new(client(&sandbox, "timeout_ms = 200"));
    sandbox.faults().set(Faults::script([Act::Late(Duration::from_millis(600))]));
    let (table, hands) = (Table::with(letter()), Hands::default());
    let id = table.row().id;
    process(&table, &carrier(smsc.clone()), &hands).send(&call(), &id).await.unwrap_err();
    assert_eq!(delivered(&sandbox), 0, "it is still on its way");
    hands.forward(700);
    process(&table, &carrier(smsc.clone()), &hands).send(&call(), &id).await.unwrap();
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        assert!(delivered(&sandbox) <= 1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((table.row().status(), delivered(&sandbox)), (SendStatus::Sent, 1));
}

#[test]
fn a_password_is_not_told() {
    let text = "[notify.sms]\nurl = 'https://smsc.kz/sys'\nlogin = 'a'\npassword = 'hunter2'";
    assert!(!format!("{:?}", settings(text).unwrap()).contains("hunter2"));
}
