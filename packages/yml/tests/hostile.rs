//! Feeds that break rules or want to break the reader.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod common;

use std::io;

use artel_yml::{Chunks, Error, Feed, Item, Limits, Reason};
use common::{around, feed, offer, read, read_within};

#[test]
fn declared_entities_refuse_the_feed() {
    for name in ["laughs.yml", "xxe.yml", "parameter_entity.yml"] {
        let outcome = read(&feed(name));
        assert!(matches!(outcome.error, Some(Error::Entities { line: 2 })), "{name}: {outcome:?}");
        assert!(outcome.items.is_empty(), "{name}");
    }
}

#[test]
fn a_doctype_inside_the_feed_is_refused() {
    let xml = around("<!DOCTYPE x [<!ENTITY a 'b'>]>");
    assert_eq!(read(xml.as_bytes()).code(), "FEED_DECLARES_ENTITIES");
    assert_eq!(read(around("<!DOCTYPE x>").as_bytes()).code(), "FEED_MALFORMED");
}

#[test]
fn a_feed_that_breaks_off_gives_what_came_before() {
    let outcome = read(&feed("truncated.yml"));
    assert_eq!((outcome.code(), outcome.line()), ("FEED_TRUNCATED", Some(7)));
    assert_eq!(outcome.offers().len(), 1);
    let whole = feed("messy.yml");
    for end in (0..whole.len() - 2).step_by(37) {
        let outcome = read(&whole[..end]);
        assert!(outcome.error.is_some(), "a feed of {end} bytes isn't whole");
    }
}

#[test]
fn bad_nesting_is_fatal_with_its_line() {
    let outcome = read(&feed("unclosed.yml"));
    assert_eq!((outcome.code(), outcome.line()), ("FEED_MALFORMED", Some(8)));
    assert_eq!(outcome.offers().len(), 1);
    let message = outcome.error.unwrap().to_string();
    assert!(message.contains("</offer>") && message.contains("</offers>"), "{message}");
}

#[test]
fn what_is_no_feed() {
    for (bytes, code) in [
        (&b""[..], "FEED_EMPTY"),
        (b" \n ", "FEED_EMPTY"),
        (b"<?xml version=\"1.0\"?>", "FEED_EMPTY"),
        (b"{\"offers\": []}", "FEED_NOT_YML"),
        (b"id;name;price", "FEED_NOT_YML"),
        (b"\x1f\x8b\x08\x00", "FEED_NOT_YML"),
        (b"<!doctype html><html></html>", "FEED_NOT_YML"),
        (b"<rss/>", "FEED_NOT_YML"),
        (b"<yml_catalog/>", "FEED_MALFORMED"),
        (b"<yml_catalog><shop/></yml_catalog><yml_catalog/>", "FEED_MALFORMED"),
        (b"<yml_catalog><shop/><shop/></yml_catalog>", "FEED_MALFORMED"),
        (b"</yml_catalog>", "FEED_MALFORMED"),
        (b"<?xml version='1.0' encoding='utf-7'?><yml_catalog/>", "FEED_ENCODING_UNKNOWN"),
        (b"<?xml version='1.0' encoding='shift_jis'?><yml_catalog/>", "FEED_ENCODING_UNKNOWN"),
    ] {
        let outcome = read(bytes);
        assert_eq!(outcome.code(), code, "{:?}: {outcome:?}", String::from_utf8_lossy(bytes));
        assert!(!outcome.error.unwrap().to_string().is_empty());
    }
}

#[test]
fn long_fields_reject_their_offer_only() {
    let name = "Ы".repeat(100_000);
    let pictures: String =
        (0..51).map(|at| format!("<picture>https://example.com/{at}.jpg</picture>")).collect();
    let params = "<param name='a'>b</param>".repeat(301);
    let deep = format!("{}{}", "<b>".repeat(40), "</b>".repeat(40));
    let attributes: String = (0..100).map(|at| format!(" a{at}='1'")).collect();
    let large = "<sales_notes>x</sales_notes>".repeat(40_000);
    let long_id = "i".repeat(81);
    let cases = [
        (offer("name", &format!("<vendor>{name}</vendor>")), "TOO_LONG"),
        (offer("unit", &format!("<param name='a' unit='{name}'>1</param>")), "TOO_LONG"),
        (offer("description", &format!("<description>{}</description>", "д".repeat(140_000))), "TOO_LONG"),
        (offer("pictures", &pictures), "TOO_MANY"),
        (offer("params", &params), "TOO_MANY"),
        (offer("deep", &format!("<x>{deep}</x>")), "TOO_DEEP"),
        (offer("attributes", &format!("<param name='a'{attributes}>1</param>")), "TOO_MANY"),
        (offer("large", &large), "TOO_LARGE"),
        (offer("comment", &format!("<!--{}-->", "x".repeat(2 << 20))), "TOO_LARGE"),
        (offer(&long_id, ""), "ID_TOO_LONG"),
    ];
    let xml: String = cases.iter().map(|(xml, _)| format!("{xml}{}", offer("same", ""))).collect();
    let outcome = read(around(&xml).as_bytes());
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    let codes: Vec<&str> = outcome
        .rejected()
        .into_iter()
        .map(|rejected| rejected.reason.code())
        .filter(|code| *code != "DUPLICATE_ID")
        .collect();
    assert_eq!(codes, cases.map(|(_, code)| code));
    assert_eq!(outcome.offers().len(), 1, "the good one between them came, once");
    assert_eq!(outcome.rejected().len(), 10 + 9);
}

#[test]
fn a_single_endless_text_is_refused() {
    for endless in ["<name>", "<name><![CDATA[", "<!--", "<name a='", "<?", "&amp"] {
        let head = around("").replace("</offers></shop></yml_catalog>", &format!("<offer id='1'>{endless}"));
        let tail = std::iter::repeat_with(|| Ok(vec![b'x'; 1 << 16]));
        let chunks = Chunks::new(std::iter::once(Ok(head.into_bytes())).chain(tail));
        let mut feed = Feed::new(chunks);
        let error = feed.by_ref().find_map(Result::err).unwrap();
        assert_eq!(error.code(), "FEED_TEXT_TOO_LONG", "{endless}: {error}");
        assert_eq!(error.line(), Some(4), "{endless}");
        assert!(feed.bytes_read() < 6 << 20);
    }
}

#[test]
fn endless_structure_is_refused() {
    let deep =
        format!("{}{}", around("").replace("</offers></shop></yml_catalog>", ""), "<a>".repeat(100_000));
    assert_eq!(read(deep.as_bytes()).code(), "FEED_TOO_DEEP");
    let in_offer =
        around("").replace("</offers></shop></yml_catalog>", "<offer id='1'>") + &"<a>".repeat(100_000);
    assert_eq!(read(in_offer.as_bytes()).code(), "FEED_TOO_DEEP");
    let name = around(&format!("<{0}></{0}>", "n".repeat(5000)));
    assert_eq!(read(name.as_bytes()).code(), "FEED_MALFORMED");
    let categories: String = (0..11).map(|id| format!("<category id='{id}'>C</category>")).collect();
    let xml = format!("<yml_catalog><shop><categories>{categories}</categories></shop></yml_catalog>");
    let limits = Limits { categories: 10, ..Limits::default() };
    assert_eq!(read_within(xml.as_bytes(), limits).code(), "FEED_TOO_LARGE");
    let offers: String = (0..11).map(|id| offer(&id.to_string(), "")).collect();
    let limits = Limits { offers: 10, ..Limits::default() };
    assert_eq!(read_within(around(&offers).as_bytes(), limits).code(), "FEED_TOO_LARGE");
}

#[test]
fn too_many_offers_before_the_categories_are_refused() {
    let offers: String = (0..100).map(|id| offer(&id.to_string(), "")).collect();
    let xml = format!("<yml_catalog><shop><offers>{offers}</offers></shop></yml_catalog>");
    let limits = Limits { waiting_bytes: 10_000, ..Limits::default() };
    let outcome = read_within(xml.as_bytes(), limits);
    assert_eq!(outcome.code(), "FEED_CATEGORIES_TOO_LATE");
    assert!(outcome.offers().is_empty());
    let unknown = read(xml.as_bytes());
    assert!(unknown.error.is_none());
    assert!(
        unknown.rejected().iter().all(|rejected| matches!(rejected.reason, Reason::UnknownCategory { .. }))
    );
    assert_eq!(unknown.rejected().len(), 100);
}

#[test]
fn a_broken_connection_is_no_end() {
    let chunks = [Ok(around("").into_bytes()), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
    let items: Vec<Result<Item, Error>> = Feed::new(Chunks::new(chunks.into_iter())).collect();
    assert!(matches!(items.last(), Some(Err(Error::Io(_)))), "{items:?}");
}

#[test]
fn nothing_invisible_gets_into_a_text() {
    let xml = around(&offer("x", "<vendor>A\u{1}\u{200b}\u{202e}B</vendor>"));
    assert_eq!(read(xml.as_bytes()).offer("x").vendor.as_deref(), Some("AB"));
}

proptest::proptest! {
    #[test]
    fn any_bytes_end_without_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        read(&bytes);
    }

    #[test]
    fn a_bitten_feed_ends_without_panic(at in 0..5000_usize, byte in 0..=255_u8) {
        let mut bytes = feed("messy.yml");
        let at = at % bytes.len();
        bytes[at] = byte;
        let outcome = read(&bytes);
        proptest::prop_assert!(outcome.offers().len() <= 5);
    }
}
