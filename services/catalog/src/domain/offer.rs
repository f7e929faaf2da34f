//! What an offer of a feed becomes.

use artel_proto::catalog::{Category, Product, ProductParam, RejectedOffer};
use artel_proto::types::Money;
use artel_proto::{Message as _, validate};
use artel_yml::{Offer, Rejected, Shop};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use uuid::Builder;

/// The longest that a product may hold, in characters; more is cut (texts) or left out (addresses).
const NAME: usize = 500;
const DESCRIPTION: usize = 20_000;
const VENDOR: usize = 200;
const VENDOR_CODE: usize = 100;
const ADDRESS: usize = 2_000;
const PARAM_NAME: usize = 200;
const PARAM_VALUE: usize = 2_000;
const PARAM_UNIT: usize = 50;
const CATEGORY_NAME: usize = 200;
const SHOP: usize = 200;
/// The most that can be in stock.
const STOCK: i32 = 1_000_000_000;
/// What a feed that names neither shop nor company nor address is kept under.
const UNNAMED: &str = "unnamed";
/// 1 January 2020, in milliseconds: the time in the ids that follow from a feed.
const EPOCH: u64 = 1_577_836_800_000;

/// An offer as the catalogue keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    /// Its id in the feed.
    pub(crate) offer_id: String,
    /// All that the feed says of it but the count. Has no id yet.
    pub(crate) product: Product,
    /// SHA-256 of that.
    pub(crate) digest: Bytes,
    /// How many can be sold.
    pub(crate) count: i32,
}

/// Whose feed it is: the shop's name, else the company, else the address.
pub(crate) fn shop_name(shop: &Shop) -> String {
    let names = [&shop.name, &shop.company, &shop.url];
    let name = names.into_iter().find(|name| !name.is_empty());
    cut(name.map_or_else(|| UNNAMED.to_owned(), Clone::clone), SHOP)
}

/// The id of a feed's category. It follows from the workspace, the shop and the feed's own id, so that importing twice,
/// even at the same time, finds the same category. A UUIDv7 in form, its random part a hash.
pub(crate) fn category_id(workspace: &str, shop: &str, external_id: &str) -> String {
    let mut hash = Sha256::new();
    for part in [workspace, shop, external_id] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut random = [0; 10];
    random.copy_from_slice(&hash.finalize()[..10]);
    Builder::from_unix_timestamp_millis(EPOCH, &random).into_uuid().to_string()
}

/// A feed's category as the catalogue keeps it.
pub(crate) fn category(workspace: &str, shop: &str, category: artel_yml::Category) -> Category {
    let parent_id = category.parent_id.map(|parent| category_id(workspace, shop, &parent));
    Category {
        id: category_id(workspace, shop, &category.id),
        parent_id: parent_id.unwrap_or_default(),
        name: cut(category.name, CATEGORY_NAME),
        shop: shop.to_owned(),
        external_id: category.id,
        ..Category::default()
    }
}

/// An offer as the catalogue keeps it, in the category with our id. What is too long is cut or left out.
pub(crate) fn draft(offer: Offer, category_id: String, assumed_stock: i32) -> Result<Draft, RejectedOffer> {
    let currency = offer.currency.to_string();
    let money = |amount_minor| Money { amount_minor, currency: currency.clone() };
    let params = offer.params.into_iter().map(|param| ProductParam {
        name: cut(param.name, PARAM_NAME),
        value: cut(param.value, PARAM_VALUE),
        unit: cut(param.unit.unwrap_or_default(), PARAM_UNIT),
    });
    let product = Product {
        name: cut(offer.name, NAME),
        description: cut(offer.description, DESCRIPTION),
        vendor: cut(offer.vendor.unwrap_or_default(), VENDOR),
        vendor_code: cut(offer.vendor_code.unwrap_or_default(), VENDOR_CODE),
        category_id,
        price: Some(money(offer.price_minor)),
        old_price: offer.old_price_minor.map(money),
        pictures: offer.pictures.into_iter().filter_map(address).collect(),
        params: params.collect(),
        barcodes: offer.barcodes,
        url: offer.url.and_then(address).unwrap_or_default(),
        ..Product::default()
    };
    if let Some(wrong) = validate::violations(&product).first() {
        return Err(RejectedOffer {
            offer_id: offer.id,
            line: line(offer.line),
            reason: format!("{} {}", wrong.field, wrong.description),
        });
    }
    let count = if offer.available { offer.stock.unwrap_or(assumed_stock).min(STOCK) } else { 0 };
    let digest = Sha256::digest(product.encode_to_vec()).to_vec().into();
    Ok(Draft { offer_id: offer.id, product, digest, count })
}

/// An offer that could not be read, as the caller is told of it.
pub(crate) fn rejected(rejected: Rejected) -> RejectedOffer {
    RejectedOffer {
        offer_id: rejected.offer_id.unwrap_or_default(),
        line: line(rejected.line),
        reason: rejected.reason.to_string(),
    }
}

fn line(line: u64) -> i32 {
    i32::try_from(line).unwrap_or(i32::MAX)
}

fn cut(mut text: String, most: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(most) {
        text.truncate(at);
        text.truncate(text.trim_end().len());
    }
    text
}

/// An address with its scheme in small letters, as products have it.
fn address(text: String) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let address = format!("{}://{rest}", scheme.to_ascii_lowercase());
    (address.chars().count() <= ADDRESS).then_some(address)
}

#[cfg(test)]
mod tests {
    use artel_yml::{CurrencyCode, Param};
    use proptest::prelude::*;

    use super::*;

    const CATEGORY: &str = "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f";

    fn offer() -> Offer {
        Offer::new("SM-1", "Чайник", 129_000, CurrencyCode::RUB, "1")
    }

    fn drafted(offer: Offer) -> Draft {
        draft(offer, CATEGORY.into(), 100).unwrap()
    }

    #[test]
    fn the_digest_covers_everything_but_the_count() {
        let plain = drafted(offer());
        let counted = drafted(Offer { stock: Some(5), ..offer() });
        assert_eq!((plain.count, counted.count), (100, 5));
        assert_eq!(plain.digest, counted.digest);
        assert_eq!(drafted(Offer { stock: Some(5), available: false, ..offer() }).count, 0);
        assert_eq!(drafted(Offer { stock: Some(i32::MAX), ..offer() }).count, STOCK);
        for other in [
            Offer { price_minor: 1, ..offer() },
            Offer { old_price_minor: Some(200_000), ..offer() },
            Offer { vendor: Some("Заря".into()), ..offer() },
            Offer { barcodes: vec!["4600702091234".into()], ..offer() },
        ] {
            assert_ne!(drafted(other).digest, plain.digest);
        }
        assert_ne!(draft(offer(), String::new(), 100).unwrap().digest, plain.digest);
    }

    #[test]
    fn too_long_is_cut_and_bad_addresses_go() {
        let draft = drafted(Offer {
            name: "ё".repeat(501),
            description: format!("{} x", "ж".repeat(19_999)),
            vendor_code: Some("k".repeat(101)),
            pictures: vec![
                "HTTPS://a.example/1.jpg".into(),
                format!("https://a.example/{}", "a".repeat(2_000)),
            ],
            params: vec![Param {
                name: "n".repeat(300),
                value: "v".repeat(3_000),
                unit: Some("u".repeat(60)),
            }],
            ..offer()
        });
        assert_eq!(draft.product.name.chars().count(), 500);
        assert_eq!(draft.product.description.chars().count(), 19_999);
        assert_eq!(draft.product.vendor_code.len(), 100);
        assert_eq!(draft.product.pictures, ["https://a.example/1.jpg"]);
        assert_eq!(draft.product.params[0].value.len(), 2_000);
    }

    #[test]
    fn what_no_product_may_hold_is_rejected_with_its_line() {
        let bad = Offer { name: "a\u{7}b".into(), line: 12, ..offer() };
        let rejected = draft(bad, CATEGORY.into(), 100).unwrap_err();
        assert_eq!((rejected.offer_id.as_str(), rejected.line), ("SM-1", 12));
        assert!(rejected.reason.starts_with("name "), "{}", rejected.reason);
    }

    #[test]
    fn category_ids_follow_from_the_feed() {
        let id = category_id("w", "shop", "11");
        assert_eq!(id, category_id("w", "shop", "11"));
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
        for other in
            [category_id("v", "shop", "11"), category_id("w", "shop1", "1"), category_id("w", "shop", "12")]
        {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn a_shop_has_some_name() {
        let shop = |name: &str, company: &str, url: &str| Shop {
            name: name.into(),
            company: company.into(),
            url: url.into(),
            ..Shop::default()
        };
        assert_eq!(shop_name(&shop("a", "b", "c")), "a");
        assert_eq!(shop_name(&shop("", "b", "c")), "b");
        assert_eq!(shop_name(&shop("", "", "c")), "c");
        assert_eq!(shop_name(&shop("", "", "")), UNNAMED);
    }

    proptest! {
        #[test]
        fn a_cut_text_is_a_beginning_that_fits(text in "[ a-zё]{0,20}", most in 1..20_usize) {
            let short = cut(text.clone(), most);
            prop_assert!(text.starts_with(&short));
            prop_assert!(short.chars().count() <= most);
        }
    }
}
