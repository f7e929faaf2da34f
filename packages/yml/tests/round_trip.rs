//! What is written is read back.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod common;

use artel_yml::{
    Bank, Category, Currency, CurrencyCode, Decimal, Feed, FeedDate, FeedWriter, Item, Offer, Param, Rate,
    Shop, WriteError,
};
use proptest::collection::{hash_set, vec};
use proptest::option;
use proptest::prelude::*;

/// A line without edges or runs of white space, as the reader gives it.
fn line() -> impl Strategy<Value = String> {
    "[!-~А-я«»№€😀]{1,12}( [!-~А-я<>&\"']{1,9}){0,3}"
}

fn description() -> impl Strategy<Value = String> {
    vec(vec(line(), 1..3).prop_map(|lines| lines.join("\n")), 0..3)
        .prop_map(|paragraphs| paragraphs.join("\n\n"))
}

fn param() -> impl Strategy<Value = Param> {
    (line(), option::of(line()), line()).prop_map(|(name, unit, value)| Param { name, unit, value })
}

fn offer() -> impl Strategy<Value = Offer> {
    let texts = (line(), description(), option::of(line()), option::of(line()), option::of(line()));
    let money = (
        1..=i64::MAX,
        option::of(1..1000_i64),
        any::<bool>(),
        prop::sample::select(vec!["RUB", "JPY", "KWD"]),
    );
    let lists = (
        vec(param(), 0..4),
        hash_set("[0-9]{8,13}", 0..3),
        hash_set("https://example\\.com/[a-z0-9&?=]{1,9}", 0..4),
    );
    let sizes = (
        option::of(0..=i32::MAX),
        option::of(0..1_000_000_u32),
        option::of(any::<[u16; 3]>()),
        any::<bool>(),
    );
    (texts, money, lists, sizes, 0..5_usize).prop_map(|(texts, money, lists, sizes, category)| {
        let (name, description, vendor, model, other) = texts;
        let (price, more, price_from, currency) = money;
        let (params, barcodes, pictures) = lists;
        let (stock, weight_grams, dimensions, available) = sizes;
        let currency = CurrencyCode::parse(currency).unwrap();
        Offer {
            description,
            type_prefix: other.clone(),
            vendor,
            model,
            vendor_code: other.clone(),
            group_id: other.clone().filter(|id| id.chars().count() <= 80),
            sales_notes: other.clone(),
            country_of_origin: other,
            available,
            price_from,
            old_price_minor: more.and_then(|more| price.checked_add(more)),
            pictures: pictures.into_iter().collect(),
            params,
            barcodes: barcodes.into_iter().collect(),
            stock,
            weight_grams,
            dimensions_mm: dimensions.map(|sizes| sizes.map(u32::from)),
            ..Offer::new("", name, price, currency, format!("c{category}"))
        }
    })
}

fn head() -> (Shop, Vec<Currency>, Vec<Category>) {
    let shop = Shop {
        date: FeedDate::parse("2025-11-20T17:03:00+03:00"),
        name: "Лавка & Ко".into(),
        company: "ООО «Лавка»".into(),
        url: "https://example.com/?a=1&b=2".into(),
    };
    let one = Some(Rate::Fixed(Decimal { units: 1, scale: 0 }));
    let currency = |code: &str, rate, plus| Currency { code: CurrencyCode::parse(code).unwrap(), rate, plus };
    let currencies = vec![
        currency("RUB", one, None),
        currency("JPY", Some(Rate::Bank(Bank::Cbrf)), Some(Decimal { units: 25, scale: 1 })),
        currency("KWD", None, None),
    ];
    let category = |id: &str, parent: Option<&str>| Category {
        id: id.into(),
        parent_id: parent.map(Into::into),
        name: format!("Категория <{id}>"),
        line: 0,
    };
    let categories = vec![
        category("c0", None),
        category("c1", None),
        category("c2", Some("c0")),
        category("c3", Some("c2")),
        category("c4", Some("c3")),
    ];
    (shop, currencies, categories)
}

fn write(offers: &[Offer]) -> Vec<u8> {
    let (shop, currencies, categories) = head();
    let mut writer = FeedWriter::new(Vec::new(), &shop).unwrap();
    currencies.iter().try_for_each(|currency| writer.currency(currency)).unwrap();
    categories.iter().try_for_each(|category| writer.category(category)).unwrap();
    offers.iter().try_for_each(|offer| writer.offer(offer)).unwrap();
    writer.finish().unwrap()
}

/// What the reader gives, with the lines taken off.
fn items(bytes: &[u8]) -> Vec<Item> {
    let unlined = |item: Result<Item, artel_yml::Error>| match item.unwrap() {
        Item::Offer(offer) => Item::Offer(Box::new(Offer { line: 0, ..*offer })),
        Item::Category(category) => Item::Category(Category { line: 0, ..category }),
        other => other,
    };
    Feed::new(bytes).map(unlined).collect()
}

fn expected(offers: &[Offer]) -> Vec<Item> {
    let (shop, currencies, categories) = head();
    let head = std::iter::once(Item::Shop(shop)).chain(currencies.into_iter().map(Item::Currency));
    let offers = offers.iter().cloned().map(|offer| Item::Offer(Box::new(offer)));
    head.chain(categories.into_iter().map(Item::Category)).chain(offers).collect()
}

fn numbered(mut offers: Vec<Offer>) -> Vec<Offer> {
    offers.iter_mut().enumerate().for_each(|(at, offer)| offer.id = format!("id-{at}"));
    offers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn written_is_read(offers in vec(offer(), 0..5).prop_map(numbered)) {
        prop_assert_eq!(items(&write(&offers)), expected(&offers));
    }

    #[test]
    fn in_windows_1251_too(offers in vec(offer(), 0..3).prop_map(numbered)) {
        let utf8 = String::from_utf8(write(&offers)).unwrap().replacen("UTF-8", "windows-1251", 1);
        // What the encoding lacks becomes a character reference, which is right everywhere but in
        // CDATA, where the reader takes it for HTML: also right.
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(&utf8);
        prop_assert_eq!(items(&bytes), expected(&offers));
    }
}

#[test]
fn a_feed_without_offers() {
    let bytes = FeedWriter::new(Vec::new(), &Shop::default()).unwrap().finish().unwrap();
    assert_eq!(items(&bytes), [Item::Shop(Shop::default())]);
}

#[test]
fn the_writer_refuses_what_the_reader_would_reject() {
    let (shop, currencies, categories) = head();
    let mut writer = FeedWriter::new(Vec::new(), &shop).unwrap();
    assert!(matches!(writer.category(&categories[2]), Err(WriteError::UnknownCategory { .. })));
    writer.category(&categories[0]).unwrap();
    assert!(matches!(writer.currency(&currencies[0]), Err(WriteError::Order { what: "currencies", .. })));
    let good = Offer::new("1", "Имя", 100, CurrencyCode::RUB, "c0");
    for (bad, missing) in [
        (Offer { id: " ".into(), ..good.clone() }, "id"),
        (Offer { name: "\u{200b}".into(), ..good.clone() }, "name"),
        (Offer { price_minor: 0, ..good.clone() }, "price"),
        (Offer { price_minor: -1, ..good.clone() }, "price"),
    ] {
        let error = writer.offer(&bad).unwrap_err();
        assert!(
            matches!(error, WriteError::Incomplete { missing: found, .. } if found == missing),
            "{error}"
        );
    }
    let error = writer.offer(&Offer { category_id: "c4".into(), ..good.clone() }).unwrap_err();
    assert!(matches!(error, WriteError::UnknownCategory { .. }));
    writer.offer(&good).unwrap();
    assert!(matches!(writer.category(&categories[1]), Err(WriteError::Order { .. })));
    let bytes = writer.finish().unwrap();
    assert_eq!(common::read(&bytes).offers().len(), 1);
}
