//! One suite for every bank, over the sandbox's two APIs.

use std::time::Duration;

use artel_config::Secret;
use artel_util::new_id;
use artel_vendors::bank::{self, Bank, Effect};
use artel_vendors::{Act, At, Faults, Running};

use super::settings::{HalykSettings, PlainSettings};
use super::*;

const WITHIN: Duration = Duration::from_secs(5);

/// Both banks, each with a client of it.
async fn banks() -> Vec<(Running<Bank>, Box<dyn Acquirer>)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let halyk = bank::start(bank::Options::default()).await.unwrap();
    let plain = bank::start(bank::Options::default()).await.unwrap();
    let clients: [Box<dyn Acquirer>; 2] = [
        Box::new(Halyk::new(&halyk_settings(&halyk.url()), WITHIN).unwrap()),
        Box::new(Plain::new(&plain_settings(&plain.url()), WITHIN).unwrap()),
    ];
    [halyk, plain].into_iter().zip(clients).collect()
}

pub(super) fn halyk_settings(url: &str) -> HalykSettings {
    let known = bank::Options::default();
    HalykSettings {
        url: format!("{url}/api"),
        token_url: format!("{url}/epay2/oauth2/token"),
        client_id: known.client_id,
        client_secret: Secret::new(known.client_secret),
        terminal: known.terminal,
        post_link: String::new(),
    }
}

fn plain_settings(url: &str) -> PlainSettings {
    PlainSettings { url: url.to_owned(), api_key: Secret::new(bank::Options::default().api_key) }
}

pub(super) fn charge(token: &str, amount_minor: i64) -> Charge {
    Charge {
        key: new_id(),
        amount_minor,
        currency: "KZT".to_owned(),
        card_token: Secret::new(token),
        order_number: "42".to_owned(),
        description: "Order 42".to_owned(),
    }
}

fn give_back(charge: &Charge, charged: &Charged, amount_minor: i64) -> GiveBack {
    GiveBack {
        key: new_id(),
        payment_key: charge.key.clone(),
        transaction_id: charged.transaction_id.clone(),
        amount_minor,
        currency: charge.currency.clone(),
    }
}

fn done<T: std::fmt::Debug>(answer: Answer<T>) -> T {
    match answer {
        Answer::Done(done) => done,
        other => panic!("not done: {other:?}"),
    }
}

/// Keys and sums of charges and refunds in the ledger.
fn moved(bank: &Running<Bank>) -> Vec<(String, i64)> {
    let moved = bank.ledger().into_iter().filter_map(|entry| match entry.effect {
        Effect::Charged(charge) => Some((charge.key, charge.amount_minor)),
        Effect::Refunded { key, amount_minor, .. } => Some((key, -amount_minor)),
        Effect::Declined { .. } => None,
        Effect::Violation { message, .. } => panic!("{message}"),
    });
    moved.collect()
}

#[tokio::test]
async fn a_key_is_charged_once_and_answered_the_same() {
    for (bank, client) in banks().await {
        let wanted = charge("tok_visa_4242", 123_456);
        let first = done(client.charge(&wanted).await);
        assert_eq!((first.card_mask.as_str(), first.amount_minor), ("****4242", 123_456));
        assert_eq!(done(client.charge(&wanted).await), first);
        assert_eq!(client.find_charge(&wanted.key).await.unwrap().as_ref(), Some(&first));
        assert_eq!(client.find_charge(&new_id()).await.unwrap(), None);
        assert_eq!(moved(&bank), [(wanted.key, 123_456)], "{}", client.name());
    }
}

#[tokio::test]
async fn a_card_that_says_no_is_refused_for_good_and_nothing_is_taken() {
    for (bank, client) in banks().await {
        for (token, expected) in [
            ("tok_declined", "card_declined"),
            ("tok_insufficient", "insufficient_funds"),
            ("tok_expired", "card_expired"),
        ] {
            let wanted = charge(token, 100);
            for _ in 0..2 {
                match client.charge(&wanted).await {
                    Answer::Refused { reason, message } => {
                        assert_eq!(reason, expected);
                        assert!(!message.is_empty());
                    }
                    other => panic!("{}: {other:?}", client.name()),
                }
            }
            assert_eq!(client.find_charge(&wanted.key).await.unwrap(), None);
        }
        bank.faults().set(Faults::script([Act::Decline]));
        assert!(matches!(client.charge(&charge("tok_visa", 100)).await, Answer::Refused { .. }));
        assert_eq!(moved(&bank), []);
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_found_by_its_key() {
    for (bank, client) in banks().await {
        bank.faults().set(Faults::script([Act::Lose, Act::Ok, Act::Lose]));
        let wanted = charge("tok_visa_4242", 50000);
        assert!(matches!(client.charge(&wanted).await, Answer::Unknown(_)));
        let found = client.find_charge(&wanted.key).await.unwrap().expect("it was charged");
        // Asked again, it is the same charge.
        assert_eq!(done(client.charge(&wanted).await), found);

        let back = give_back(&wanted, &found, 20000);
        assert_eq!(client.find_refund(&back).await.unwrap(), None);
        assert!(matches!(client.refund(&back).await, Answer::Unknown(_)));
        let given = client.find_refund(&back).await.unwrap().expect("it was given back");
        assert_eq!(done(client.refund(&back).await), given);
        assert_eq!(moved(&bank), [(wanted.key, 50000), (back.key, -20000)]);
    }
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_unknown_and_one_under_way_arrives_yet() {
    let short = Duration::from_millis(800);
    let late = Duration::from_secs(4);
    for (bank, patient) in banks().await {
        let hasty: Box<dyn Acquirer> = match patient.name() {
            "halyk" => Box::new(Halyk::new(&halyk_settings(&bank.url()), short).unwrap()),
            _ => Box::new(Plain::new(&plain_settings(&bank.url()), short).unwrap()),
        };
        bank.faults().set(Faults::script([Act::Slow(late), Act::Late(late)]));
        let slow = charge("tok_visa", 100);
        sent(&*hasty, &slow).await;
        assert!(patient.find_charge(&slow.key).await.unwrap().is_some(), "done, and told late");
        let held_up = charge("tok_visa", 100);
        sent(&*hasty, &held_up).await;
        assert_eq!(patient.find_charge(&held_up.key).await.unwrap(), None, "none yet");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while patient.find_charge(&held_up.key).await.unwrap().is_none() {
            assert!(tokio::time::Instant::now() < deadline, "{}: it never arrived", patient.name());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Charges until it was sent, to no answer: on a busy machine the time may be over before.
async fn sent(client: &dyn Acquirer, charge: &Charge) {
    for _ in 0..20 {
        match client.charge(charge).await {
            Answer::Unknown(_) => return,
            Answer::NotDone(_) => {}
            other => panic!("{}: {other:?}", client.name()),
        }
    }
    panic!("{}: it is never sent", client.name());
}

#[tokio::test]
async fn a_bank_that_is_away_has_surely_done_nothing() {
    for (bank, client) in banks().await {
        let wanted = charge("tok_visa", 100);
        bank.faults().set(Faults::script([Act::Fail]));
        assert!(matches!(client.charge(&wanted).await, Answer::NotDone(_)));
        bank.faults().set(Faults::down());
        assert!(matches!(client.charge(&wanted).await, Answer::NotDone(_)));
        assert!(client.find_charge(&wanted.key).await.is_err());
        let charged = Charged { transaction_id: new_id(), card_mask: String::new(), amount_minor: 100 };
        let back = give_back(&wanted, &charged, 100);
        assert!(matches!(client.refund(&back).await, Answer::NotDone(_)));
        assert!(client.find_refund(&back).await.is_err());
        bank.faults().clear();
        done(client.charge(&wanted).await);
        // Nobody listens.
        bank.stop().await;
        assert!(matches!(client.charge(&charge("tok_visa", 100)).await, Answer::NotDone(_)));
        assert!(client.find_charge(&wanted.key).await.is_err());
    }
}

#[tokio::test]
async fn refunds_are_once_for_a_key_and_never_more_than_was_taken() {
    for (bank, client) in banks().await {
        let wanted = charge("tok_visa", 10010);
        let charged = done(client.charge(&wanted).await);
        let part = give_back(&wanted, &charged, 3333);
        let first = done(client.refund(&part).await);
        assert_eq!(done(client.refund(&part).await), first);
        let rest = give_back(&wanted, &charged, 6677);
        assert_eq!(client.find_refund(&rest).await.unwrap(), None, "another refund of the same charge");
        done(client.refund(&rest).await);
        assert_eq!(
            moved(&bank),
            [(wanted.key.clone(), 10010), (part.key.clone(), -3333), (rest.key.clone(), -6677)]
        );
        // All went back, and it was a charge still.
        assert_eq!(client.find_charge(&wanted.key).await.unwrap().unwrap().amount_minor, 10010);
        assert_eq!(client.find_refund(&part).await.unwrap().as_ref(), Some(&first));

        let beyond = give_back(&wanted, &charged, 1);
        assert!(matches!(client.refund(&beyond).await, Answer::Refused { .. }));
        let violations =
            bank.ledger().iter().filter(|entry| matches!(entry.effect, Effect::Violation { .. })).count();
        assert_eq!(violations, 1, "the ledger shows who asked for too much");
    }
}

#[tokio::test]
async fn a_key_that_is_asked_for_with_another_sum_is_refused() {
    for (bank, client) in banks().await {
        let wanted = charge("tok_visa", 100);
        done(client.charge(&wanted).await);
        let answer = client.charge(&Charge { amount_minor: 200, ..wanted.clone() }).await;
        // Halyk's client looks its invoice up and finds what was taken; the sum is the caller's to compare.
        match (client.name(), answer) {
            ("plain", Answer::Refused { reason, .. }) => assert_eq!(reason, "idempotency_key_reused"),
            ("halyk", Answer::Done(charged)) => assert_eq!(charged.amount_minor, 100),
            (name, other) => panic!("{name}: {other:?}"),
        }
        let taken = bank.ledger().iter().filter(|entry| matches!(entry.effect, Effect::Charged(_))).count();
        assert_eq!(taken, 1);
    }
}

#[tokio::test]
async fn a_token_that_the_bank_does_not_take_any_more_is_renewed() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let at = At { data: Some(folder.path().to_owned()), ..At::default() };
    let options = bank::Options { at, ..bank::Options::default() };
    let first = bank::start(options.clone()).await.unwrap();
    let client = Halyk::new(&halyk_settings(&first.url()), WITHIN).unwrap();
    let wanted = charge("tok_visa", 100);
    let charged = done(client.charge(&wanted).await);
    client.find_charge(&wanted.key).await.unwrap();
    // Another process at the same address knows the charge from its ledger, and none of the tokens.
    let at = At { bind: first.address(), ..options.at.clone() };
    first.stop().await;
    let _second = bank::start(bank::Options { at, ..options }).await.unwrap();
    let found = client.find_charge(&wanted.key).await.unwrap();
    assert_eq!(found.as_ref(), Some(&charged));
}

#[tokio::test]
async fn a_wrong_secret_charges_nobody_and_is_never_told() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bank = bank::start(bank::Options::default()).await.unwrap();
    let secret = Secret::new("hunter2");
    let halyk = HalykSettings { client_secret: secret.clone(), ..halyk_settings(&bank.url()) };
    let plain = PlainSettings { api_key: secret, ..plain_settings(&bank.url()) };
    let shown = format!("{halyk:?} {plain:?} {:?}", charge("tok_visa_4242", 1));
    assert!(!shown.contains("hunter2") && !shown.contains("tok_visa"), "{shown}");
    let clients: [Box<dyn Acquirer>; 2] =
        [Box::new(Halyk::new(&halyk, WITHIN).unwrap()), Box::new(Plain::new(&plain, WITHIN).unwrap())];
    for client in clients {
        match client.charge(&charge("tok_visa", 100)).await {
            Answer::NotDone(why) => assert!(!why.contains("hunter2"), "{why}"),
            other => panic!("{}: {other:?}", client.name()),
        }
    }
    assert_eq!(moved(&bank), []);
}

/// The table `[billing.acquirer]` with these lines in it.
fn settings(lines: &str) -> anyhow::Result<Settings> {
    #[derive(serde::Deserialize)]
    struct Section {
        acquirer: Settings,
    }
    // Only this table: the others are somebody else's.
    let defaults = include_str!("../../config.toml");
    let defaults = &defaults[defaults.find("[acquirer]").unwrap()..defaults.find("[printer]").unwrap()];
    let config = artel_config::Config::parse(&format!("[billing.acquirer]\n{lines}"))?;
    let settings = config.section::<Section>("billing", defaults)?.acquirer;
    settings.check()?;
    Ok(settings)
}

#[test]
fn the_bank_that_is_set_is_the_one_that_charges() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    assert_eq!(settings("").unwrap().acquirer().unwrap().name(), "halyk");
    assert_eq!(settings("kind = 'plain'").unwrap().acquirer().unwrap().name(), "plain");
}

#[test]
fn what_can_charge_nobody_is_refused_by_name() {
    for (lines, key) in [
        ("kind = 'paper'", "paper"),
        ("timeout_ms = 5", "billing.acquirer.timeout_ms"),
        ("halyk.url = 'bank.example.com'", "billing.acquirer.halyk.url"),
        ("halyk.token_url = 'https://bank.example.com/'", "billing.acquirer.halyk.token_url"),
        ("halyk.post_link = 'webhooks'", "billing.acquirer.halyk.post_link"),
        ("kind = 'plain'\nplain.url = ''", "billing.acquirer.plain.url"),
        ("plain.api_kye = 'x'", "api_kye"),
    ] {
        let error = settings(lines).map(|_| ()).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(key), "{lines}: {text}");
    }
}
