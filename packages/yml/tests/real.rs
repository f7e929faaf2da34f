//! Feeds as shops send them.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod common;

use artel_yml::{Category, Currency, CurrencyCode, Decimal, Flaw, Item, Param, Rate, Reason, Shop};
use common::{feed, read};

#[test]
fn the_head_of_a_messy_feed() {
    let outcome = read(&feed("messy.yml"));
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    assert_eq!(
        outcome.items.iter().find_map(|item| if let Item::Shop(shop) = item { Some(shop) } else { None }),
        Some(&Shop {
            date: artel_yml::FeedDate::parse("2025-11-20 17:03"),
            name: "Полка & Ко".into(),
            company: "ООО «Полка»".into(),
            url: "https://example.com/".into(),
        })
    );
    let currencies: Vec<&Currency> = outcome
        .items
        .iter()
        .filter_map(|item| if let Item::Currency(currency) = item { Some(currency) } else { None })
        .collect();
    let codes: Vec<&str> = currencies.iter().map(|currency| currency.code.as_str()).collect();
    assert_eq!(codes, ["RUB", "USD", "KZT", "EUR"]);
    assert_eq!(currencies[1].rate, Some(Rate::Bank(artel_yml::Bank::Cbrf)));
    assert_eq!(currencies[1].plus, Some(Decimal { units: 3, scale: 0 }));
    assert_eq!(currencies[2].rate, Some(Rate::Fixed(Decimal { units: 19, scale: 2 })));
    assert_eq!(currencies[3].rate, None);

    let categories: Vec<String> = outcome
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Category(Category { id, parent_id, name, line }) => {
                Some(format!("{line}: {id}<{} {name}", parent_id.as_deref().unwrap_or("-")))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        categories,
        [
            "21: 1<- Кухня",
            "22: 7<- Потерянная",
            "23: 8<- Яйцо",
            "24: 9<- Курица",
            "27: 3<- Книги & журналы",
            "20: 12<1 Чайники"
        ]
    );
    let head: Vec<(u64, &Flaw)> = outcome
        .warnings()
        .into_iter()
        .filter(|warning| warning.offer_id.is_none())
        .map(|warning| (warning.line, &warning.flaw))
        .collect();
    assert_eq!(
        head,
        [
            (15, &Flaw::DuplicateCurrency { code: CurrencyCode::RUB }),
            (16, &Flaw::BadCurrency { id: "ZZZ".into() }),
            (17, &Flaw::BadRate { code: CurrencyCode::parse("EUR").unwrap(), text: "дорого".into() }),
            (26, &Flaw::BadCategory { id: "13".into() }),
            (25, &Flaw::DuplicateCategory { id: "12".into() }),
            (22, &Flaw::UnknownParent { id: "7".into(), parent: "70".into() }),
            (23, &Flaw::CategoryCycle { id: "8".into() }),
            (24, &Flaw::CategoryCycle { id: "9".into() }),
        ]
    );
}

#[test]
fn offers_of_a_messy_feed() {
    let outcome = read(&feed("messy.yml"));
    assert_eq!(outcome.rejected(), Vec::<&artel_yml::Rejected>::new());
    assert_eq!(outcome.offers().len(), 4);

    let kettle = outcome.offer("kettle-1");
    assert_eq!(kettle.line, 34);
    assert_eq!(kettle.name, "Чайник «Заря» — 1,7 л");
    assert_eq!(kettle.vendor.as_deref(), Some("Black & Decker"));
    assert_eq!(
        (kettle.price_minor, kettle.price_from, kettle.old_price_minor),
        (129_050, true, Some(199_000))
    );
    assert_eq!(kettle.currency, CurrencyCode::RUB);
    assert_eq!(kettle.category_id, "12");
    assert_eq!(kettle.url.as_deref(), Some("https://example.com/p/1?utm_source=ym&utm_medium=cpc&r=1"));
    assert_eq!(kettle.pictures, ["https://example.com/i/1.jpg", "https://example.com/i/2.jpg"]);
    assert_eq!(
        kettle.description,
        "Мощный чайник\n\nЗакипает за 3 минуты.\nШнур 0,75 м; t < 100 °C.\n\n• стекло\n• подсветка"
    );
    assert_eq!(kettle.barcodes, ["4600702091234", "4600702091241"]);
    let param = |name: &str, unit: Option<&str>, value: &str| Param {
        name: name.into(),
        unit: unit.map(Into::into),
        value: value.into(),
    };
    assert_eq!(
        kettle.params,
        [param("Объём", Some("л"), "1.7"), param("Цвет", None, "белый"), param("Цвет", None, "чёрный")]
    );
    assert_eq!((kettle.weight_grams, kettle.dimensions_mm), (Some(1290), Some([201, 206, 225])));
    assert_eq!(kettle.stock, Some(15));
    assert!(kettle.available);
    assert_eq!(kettle.country_of_origin.as_deref(), Some("Россия"));
    let dropped: Vec<String> = outcome
        .warnings()
        .into_iter()
        .filter_map(|warning| match &warning.flaw {
            Flaw::Dropped { field, text } => Some(format!(
                "{} {} {field}={text}",
                warning.line,
                warning.offer_id.as_deref().unwrap_or_default()
            )),
            _ => None,
        })
        .collect();
    assert_eq!(
        dropped,
        [
            "34 kettle-1 picture=C:\\фото\\чайник.jpg",
            "34 kettle-1 barcode=нет",
            "34 kettle-1 param=без имени",
            "75 2 url=javascript:alert(1)",
            "75 2 weight=тяжёлый",
            "75 2 oldprice=100",
        ]
    );

    let second = outcome.offer("2");
    assert_eq!(second.name, "Электрочайник Заря К-2 <Люкс>");
    assert!(!second.available);
    assert_eq!(second.description, "Первая строка\nвторая «строка»");
    assert_eq!((second.stock, second.url.as_deref(), second.old_price_minor), (Some(5), None, None));

    let book = outcome.offer("3");
    assert_eq!((book.line, book.group_id.as_deref(), book.stock), (89, Some("77"), Some(7)));
    assert_eq!(book.currency, CurrencyCode::RUB, "the main currency of the feed");
    assert_eq!(book.description, "Разметка без CDATA\n\nвторая\nстрока");

    let chair = outcome.offer("4");
    assert_eq!((chair.price_minor, chair.currency.as_str()), (4_500_000, "KZT"));
}

#[test]
fn each_bad_offer_is_reported_with_its_line_and_the_good_ones_come() {
    let outcome = read(&feed("rejected.yml"));
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    let reports: Vec<(u64, &str, &str)> = outcome
        .rejected()
        .into_iter()
        .map(|rejected| (rejected.line, rejected.offer_id.as_deref().unwrap_or("-"), rejected.reason.code()))
        .collect();
    assert_eq!(
        reports,
        [
            (7, "-", "MISSING_ID"),
            (8, "no-name", "MISSING_NAME"),
            (9, "no-price", "MISSING_PRICE"),
            (10, "minus", "BAD_PRICE"),
            (11, "nan", "BAD_PRICE"),
            (12, "huge", "BAD_PRICE"),
            (13, "fine", "BAD_PRICE"),
            (14, "yen", "BAD_PRICE"),
            (15, "free", "BAD_PRICE"),
            (16, "thousands", "BAD_PRICE"),
            (17, "two-prices", "CONTRADICTION"),
            (18, "currency", "UNKNOWN_CURRENCY"),
            (19, "undeclared", "UNDECLARED_CURRENCY"),
            (20, "no-category", "MISSING_CATEGORY"),
            (21, "category", "UNKNOWN_CATEGORY"),
            (22, "stock", "BAD_STOCK"),
            (23, "stocks", "BAD_STOCK"),
            (24, "entity", "UNKNOWN_ENTITY"),
            (25, "nul", "UNKNOWN_ENTITY"),
            (26, "attribute", "BAD_ATTRIBUTES"),
            (27, "good-1", "DUPLICATE_ID"),
            (28, "-", "MISSING_ID"),
        ]
    );
    let taken: Vec<(u64, &str)> =
        outcome.offers().iter().map(|offer| (offer.line, offer.id.as_str())).collect();
    assert_eq!(taken, [(6, "good-1"), (29, "category"), (34, "good-2")], "a rejected offer claims no id");
    let minus = &outcome.rejected()[3].reason;
    assert_eq!(minus.to_string(), "the price \"-1\" can't be used: it must not be negative");
}

#[test]
fn windows_1251() {
    let outcome = read(&feed("windows_1251.yml"));
    assert!(outcome.error.is_none() && outcome.warnings().is_empty());
    let plate = outcome.offer("А-1");
    assert_eq!((plate.line, plate.name.as_str()), (11, "Тарелка № 5 — «Гжель»"));
    assert_eq!(plate.description, "Фарфор, диаметр 24 см. Ёмкая — € не нужен.");
    assert_eq!(plate.params[0].unit.as_deref(), Some("см"));
    assert_eq!(read(&feed("bom.yml")).offer("А-1"), plate, "the same in UTF-8 with a mark");
}

#[test]
fn windows_1251_that_says_it_is_utf8_rejects_offers_and_says_why() {
    let outcome = read(&feed("undeclared_1251.yml"));
    assert!(outcome.error.is_none() && outcome.offers().is_empty());
    let [rejected] = outcome.rejected()[..] else { panic!("{outcome:#?}") };
    assert_eq!(rejected.line, 11);
    assert!(matches!(rejected.reason, Reason::Unreadable { .. }), "{:?}", rejected.reason);
}

#[test]
fn categories_after_offers() {
    let outcome = read(&feed("late_categories.yml"));
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    let kinds: Vec<&str> = outcome
        .items
        .iter()
        .map(|item| match item {
            Item::Shop(_) => "shop",
            Item::Category(_) => "category",
            Item::Offer(_) => "offer",
            Item::Rejected(_) => "rejected",
            Item::Currency(_) | Item::Warning(_) => "other",
        })
        .collect();
    assert_eq!(kinds, ["shop", "category", "offer", "rejected"]);
}

#[test]
fn a_feed_that_comes_in_pieces_is_the_same_feed() {
    let bytes = feed("messy.yml");
    let whole = read(&bytes).items;
    for size in [1, 7, 4096] {
        let pieces = artel_yml::Chunks::new(bytes.chunks(size).map(Ok));
        let items: Vec<Item> = artel_yml::Feed::new(pieces).map(Result::unwrap).collect();
        assert_eq!(items, whole, "in pieces of {size}");
    }
}

#[test]
fn the_demo_catalogue_has_nothing_to_complain_about() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../system/demo/catalog.yml");
    let outcome = read(&std::fs::read(path).unwrap());
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    assert_eq!(outcome.rejected(), Vec::<&artel_yml::Rejected>::new());
    assert_eq!(outcome.warnings(), Vec::<&artel_yml::Warning>::new());
    assert!(outcome.offers().len() >= 60);
    assert!(outcome.offers().iter().all(|offer| offer.stock.is_some() && offer.pictures.len() > 1));
}
