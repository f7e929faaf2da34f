use artel_proto::types::Money;

use super::*;
use crate::config::tests::settings;

pub(crate) fn voice() -> Voice {
    settings("").unwrap().voice(Templates::load().unwrap()).unwrap()
}

pub(crate) fn order() -> Order {
    let rubles = |amount_minor| Some(Money { amount_minor, currency: "RUB".to_owned() });
    let item = |name: &str, quantity, price| OrderItem {
        product_id: artel_util::new_id(),
        name: name.to_owned(),
        quantity,
        price: rubles(price),
        ..OrderItem::default()
    };
    Order {
        id: "0193a000-0000-7000-8000-000000000001".to_owned(),
        number: "A7-20417".to_owned(),
        user_id: "0193a000-0000-7000-8000-0000000000aa".to_owned(),
        items: vec![
            item("Чайник «Заря» 1,7 л", 1, 249_000),
            item("Cable <b>USB-C</b> & \"friends\"\r\nBcc: all@example.com", 3, 45_050),
        ],
        total: rubles(384_150),
        ..Order::default()
    }
}

pub(crate) fn person() -> User {
    User {
        id: "0193a000-0000-7000-8000-0000000000aa".to_owned(),
        email: Some("aigul@example.com".to_owned()),
        display_name: "Айгүл <script>".to_owned(),
        locale: "kk".to_owned(),
        ..User::default()
    }
}

pub(crate) fn dishes() -> Order {
    let tenge = |amount_minor| Some(Money { amount_minor, currency: "KZT".to_owned() });
    let item = OrderItem {
        dish_id: artel_util::new_id(),
        name: "Лагман".to_owned(),
        quantity: 2,
        price: tenge(190_000),
        ..OrderItem::default()
    };
    Order { items: vec![item], total: tenge(380_000), board_number: 12, bonus_minor: 30_000, ..order() }
}

pub(crate) fn refund() -> Refund {
    Refund {
        amount_minor: 125_000,
        card_minor: 100_000,
        bonus_minor: 25_000,
        currency: "KZT".to_owned(),
        ..Refund::default()
    }
}

fn written(news: News<'_>, language: Language) -> Words {
    let time = DateTime::parse_from_rfc3339("2026-11-21T05:05:00Z").unwrap().to_utc();
    voice().write(news, &person(), language, time).unwrap()
}

#[test]
fn messages_read_well_in_every_language() {
    let order = order();
    for language in LANGUAGES {
        for news in [News::Placed(&order), News::Cancelled(&order)] {
            let words = written(news, language);
            let letter = words.letter.unwrap();
            let name = format!("{}_{}", language.code(), news.kind().0);
            insta::assert_snapshot!(
                format!("{name}.txt"),
                format!("{}\n\n{}\n\n{}", words.title, words.note, letter.text)
            );
            insta::assert_snapshot!(format!("{name}.html"), letter.html);
        }
    }
}

#[test]
fn what_guests_are_told_is_short_and_reads_well_in_every_language() {
    let (order, both) = (dishes(), refund());
    let card = Refund { card_minor: 125_000, bonus_minor: 0, ..refund() };
    let points = Refund { card_minor: 0, bonus_minor: 125_000, ..refund() };
    for language in LANGUAGES {
        let mut told = Vec::new();
        for news in [
            News::Paid(&order),
            News::Ready(12),
            News::Refunded(&both),
            News::Refunded(&card),
            News::Refunded(&points),
        ] {
            let words = written(news, language);
            assert!(words.letter.is_none());
            told.push(format!("{}\n{}", words.title, words.note));
            if let Some(sms) = words.sms {
                // One SMS holds 70 letters that are not Latin.
                assert!(sms.chars().count() <= 70, "{sms}");
                told.push(sms);
            }
        }
        let code = Templates::load().unwrap().code(language, "012345").unwrap();
        assert!(code.chars().count() <= 70 && code.contains("012345"), "{code}");
        told.push(code);
        insta::assert_snapshot!(format!("{}_guests.txt", language.code()), told.join("\n\n"));
    }
}

#[test]
fn what_people_typed_stays_text() {
    let words = written(News::Placed(&order()), Language::English);
    let letter = words.letter.unwrap();
    assert!(
        letter
            .html
            .contains("Cable &lt;b&gt;USB-C&lt;&#x2f;b&gt; &amp; &quot;friends&quot; Bcc: all@example.com")
    );
    assert!(!letter.html.contains("<script>"));
    assert!(
        letter.text.contains("- Cable <b>USB-C</b> & \"friends\" Bcc: all@example.com: 3 × "),
        "{}",
        letter.text
    );
    assert!(!words.title.contains('\n') && !words.note.contains('\n'));
}

#[test]
fn a_line_stays_a_line() {
    assert_eq!(single_line(" a\r\n\tb\u{2028}c  \u{0}d "), "a b c d");
    assert_eq!(single_line("1\u{a0}234,00\u{a0}₽"), "1\u{a0}234,00\u{a0}₽");
}
