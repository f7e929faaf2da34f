//! The printer's client over the sandbox.

use std::time::Duration;

use artel_config::Config;
use artel_proto::billing::{ReceiptKind, ReceiptLine};
use artel_util::{new_id, time};
use artel_vendors::printer::{self, Effect, Operation, Printer, Slip};
use artel_vendors::{Act, At, Faults, Running};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

async fn started(options: printer::Options) -> (Running<Printer>, Atol) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let running = printer::start(options).await.unwrap();
    let client = Atol::new(&settings(&running.url())).unwrap();
    (running, client)
}

fn settings(url: &str) -> Settings {
    #[derive(serde::Deserialize)]
    struct Section {
        printer: Settings,
    }
    let known = printer::Options::default();
    let text = format!(
        "[billing.printer]\nurl = '{url}/possystem/v4'\nlogin = '{}'\npassword = '{}'\ngroup = '{}'\ninn = '5544332219'",
        known.login, known.password, known.group
    );
    let toml = Config::parse(&text).unwrap();
    // Only this table: the others are somebody else's.
    let defaults = include_str!("../../config.toml");
    let defaults = &defaults[defaults.find("[printer]").unwrap()..];
    let settings = toml.section::<Section>("billing", defaults).unwrap().printer;
    settings.check().unwrap();
    settings
}

fn receipt(card_minor: i64, bonus_minor: i64) -> Receipt {
    let amount_minor = card_minor + bonus_minor;
    Receipt {
        id: new_id(),
        kind: ReceiptKind::Sell.into(),
        amount_minor,
        card_minor,
        bonus_minor,
        currency: "KZT".to_owned(),
        lines: vec![
            ReceiptLine { name: "Рамен".to_owned(), quantity: 2, price_minor: 10001 },
            ReceiptLine { name: "Чай".to_owned(), quantity: 1, price_minor: amount_minor - 20002 },
        ],
        contact: "+77010000001".to_owned(),
        create_time: Some(time::now()),
        ..Receipt::default()
    }
}

fn printed(printer: &Running<Printer>) -> Vec<Slip> {
    let printed = printer.ledger().into_iter().filter_map(|entry| match entry.effect {
        Effect::Printed { slip, .. } => Some(slip),
        _ => None,
    });
    printed.collect()
}

async fn report_that_is_not_waiting(client: &Atol, task: &str) -> Report {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match client.report(task).await.unwrap() {
            Report::Waiting => {
                assert!(tokio::time::Instant::now() < deadline, "it is never printed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            other => return other,
        }
    }
}

fn task(answer: Answer<String>) -> String {
    match answer {
        Answer::Done(task) => task,
        other => panic!("not taken: {other:?}"),
    }
}

#[tokio::test]
async fn a_receipt_is_printed_once_however_often_it_is_registered() {
    let (printer, client) = started(printer::Options::default()).await;
    let sold = receipt(50005, 4995);
    let first = task(client.register(&sold).await);
    assert_eq!(task(client.register(&sold).await), first);
    let Report::Printed { fiscal_number, time } = report_that_is_not_waiting(&client, &first).await else {
        panic!("it was not printed");
    };
    assert_eq!(fiscal_number, "1");
    let age = Utc::now() - time.expect("it says when");
    assert!((-5..60).contains(&age.num_seconds()), "{age}");
    assert_eq!(task(client.register(&sold).await), first);

    let back = Receipt { kind: ReceiptKind::SellRefund.into(), id: new_id(), ..sold.clone() };
    let refund = task(client.register(&back).await);
    report_that_is_not_waiting(&client, &refund).await;
    let slips = printed(&printer);
    let shown: Vec<_> = slips
        .iter()
        .map(|slip| (slip.external_id.as_str(), slip.operation, slip.total_minor, slip.electronic_minor))
        .collect();
    assert_eq!(
        shown,
        [
            (sold.id.as_str(), Operation::Sell, 55000, 50005),
            (back.id.as_str(), Operation::SellRefund, 55000, 50005)
        ]
    );
    assert_eq!((slips[0].prepaid_minor, slips[0].items), (4995, 2));
}

#[tokio::test]
async fn a_lost_answer_registers_nothing_twice() {
    let (printer, client) = started(printer::Options::default()).await;
    printer.faults().set(Faults::script([Act::Lose]));
    let sold = receipt(30000, 0);
    assert!(matches!(client.register(&sold).await, Answer::Unknown(_)));
    let known = task(client.register(&sold).await);
    report_that_is_not_waiting(&client, &known).await;
    assert_eq!(printed(&printer).len(), 1);
}

#[tokio::test]
async fn a_dead_printer_takes_nothing_and_prints_what_it_had_when_it_returns() {
    let folder = tempfile::tempdir().unwrap();
    let at = At { data: Some(folder.path().to_owned()), ..At::default() };
    let options = printer::Options { at, ..printer::Options::default() };
    let (printer, client) = started(options.clone()).await;
    let sold = receipt(30000, 0);
    printer.faults().set(Faults::script([Act::Lose]));
    assert!(matches!(client.register(&sold).await, Answer::Unknown(_)));
    printer.faults().set(Faults::down());
    assert!(matches!(client.register(&receipt(30000, 0)).await, Answer::NotDone(_)));
    assert!(client.report("any").await.is_err());
    let at = At { bind: printer.address(), ..options.at.clone() };
    printer.stop().await;
    assert!(matches!(client.register(&sold).await, Answer::NotDone(_)));
    let printer = printer::start(printer::Options { at, ..options }).await.unwrap();
    // Its token is not known any more, its receipt is.
    let known = task(client.register(&sold).await);
    assert!(matches!(report_that_is_not_waiting(&client, &known).await, Report::Printed { .. }));
    assert_eq!(printed(&printer).len(), 1);
}

#[tokio::test]
async fn what_the_printer_refuses_or_cannot_print_is_told_apart() {
    let (printer, client) = started(printer::Options::default()).await;
    printer.faults().set(Faults::script([Act::Decline]));
    let answer = client.register(&receipt(30000, 0)).await;
    assert!(
        matches!(answer, Answer::Refused { ref reason, .. } if reason == "receipt_invalid"),
        "{answer:?}"
    );
    let crooked = Receipt { amount_minor: 1, ..receipt(30000, 0) };
    assert!(matches!(client.register(&crooked).await, Answer::Refused { .. }));
    printer.faults().set(Faults::script([Act::Break]));
    let broken = task(client.register(&receipt(30000, 0)).await);
    match report_that_is_not_waiting(&client, &broken).await {
        Report::Failed(why) => assert!(why.contains("memory"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(printed(&printer).is_empty());
}

#[tokio::test]
async fn a_wrong_password_prints_nothing_and_is_never_told() {
    let (printer, _) = started(printer::Options::default()).await;
    let wrong = Settings { password: artel_config::Secret::new("hunter2"), ..settings(&printer.url()) };
    assert!(!format!("{wrong:?}").contains("hunter2"));
    match Atol::new(&wrong).unwrap().register(&receipt(30000, 0)).await {
        Answer::NotDone(why) => assert!(!why.contains("hunter2"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(printer.ledger().is_empty());
}

#[test]
fn what_cannot_print_is_refused_by_name() {
    let good = settings("http://127.0.0.1:1");
    let refused = |settings: Settings, key: &str| {
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    };
    refused(Settings { url: "ftp://x".to_owned(), ..good.clone() }, "billing.printer.url");
    refused(Settings { email: "nobody".to_owned(), ..good.clone() }, "billing.printer.email");
    refused(Settings { utc_offset: "Moscow".to_owned(), ..good.clone() }, "billing.printer.utc_offset");
    refused(Settings { timeout_ms: 1, ..good }, "billing.printer.timeout_ms");
}
