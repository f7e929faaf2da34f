//! What a product may be, and which of its fields an editor changes.

use artel_proto::catalog::Product;
use artel_proto::types::Money;
use artel_proto::{Entity as _, FieldMask, validate};
use artel_util::Violation;
use artel_yml::CurrencyCode;

use crate::refusal::Refusal;

/// What an editor may write, by proto name.
pub(crate) const EDITABLE: [&str; 12] = [
    "name",
    "description",
    "vendor",
    "vendor_code",
    "category_id",
    "price",
    "old_price",
    "stock",
    "pictures",
    "params",
    "barcodes",
    "url",
];
/// What the service gives.
const GIVEN: [&str; 5] = ["id", "version", "create_time", "update_time", "delete_time"];

/// The fields that an update changes: those the mask names (proto or JSON spelling, `*` for all that can be), else
/// those that are set. What the service gives is passed over when it is only set, as in a product that was read,
/// changed and sent back; named in the mask it is refused.
pub(crate) fn to_change(product: &Product, mask: Option<&FieldMask>) -> Result<Vec<&'static str>, Refusal> {
    let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
    // A mask in a query string is one text.
    let paths = paths.iter().flat_map(|path| path.split(',')).map(str::trim).filter(|path| !path.is_empty());
    let mut paths = paths.peekable();
    let mut fields: Vec<&'static str> = Vec::new();
    if paths.peek().is_none() {
        fields.extend(product.populated().into_iter().filter(|field| EDITABLE.contains(field)));
        if fields.is_empty() {
            return Err(Refusal::field(
                "updateMask",
                "nothing changes: set a field of the product, or name here those that become empty",
            ));
        }
        return Ok(fields);
    }
    let mut wrong = Vec::new();
    for path in paths {
        let name = snake(path);
        if path == "*" {
            fields.extend(EDITABLE.iter().filter(|field| !fields.contains(field)).collect::<Vec<_>>());
        } else if let Some(field) = EDITABLE.iter().find(|field| **field == name) {
            if !fields.contains(field) {
                fields.push(field);
            }
        } else if GIVEN.contains(&name.as_str()) {
            wrong.push(violation(
                "updateMask",
                format!("`{path}` is given by the service and cannot be changed"),
            ));
        } else {
            wrong.push(violation(
                "updateMask",
                format!("`{path}` is not a field that can be changed; these are: {}", EDITABLE.join(", ")),
            ));
        }
    }
    if wrong.is_empty() { Ok(fields) } else { Err(Refusal::Fields(wrong)) }
}

/// Checks a product as a whole, as it would be stored.
pub(crate) fn check(product: &Product) -> Result<(), Refusal> {
    let mut wrong: Vec<Violation> = validate::violations(product)
        .into_iter()
        .map(|found| violation(format!("product.{}", found.field), found.description))
        .collect();
    let prices = [("product.price", &product.price), ("product.oldPrice", &product.old_price)];
    for (field, money) in prices {
        if let Some(money) = money {
            check_money(field, money, &mut wrong);
        }
    }
    if let (Some(price), Some(old)) = (&product.price, &product.old_price)
        && price.currency != old.currency
    {
        wrong.push(violation(
            "product.oldPrice.currency",
            format!("must be that of the price, {}, is {}", price.currency, old.currency),
        ));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::Fields(wrong)) }
}

fn check_money(field: &str, money: &Money, wrong: &mut Vec<Violation>) {
    if money.amount_minor < 0 {
        wrong.push(violation(
            format!("{field}.amountMinor"),
            format!("must be at least 0, is {}", money.amount_minor),
        ));
    }
    // What has not the form of a code was named before.
    let formed = money.currency.len() == 3 && money.currency.bytes().all(|byte| byte.is_ascii_uppercase());
    let known = CurrencyCode::parse(&money.currency);
    match known {
        Some(code) if code.as_str() != money.currency && formed => wrong.push(violation(
            format!("{field}.currency"),
            format!("must be a currency in use; {} is {code} today", money.currency),
        )),
        None if formed => wrong.push(violation(
            format!("{field}.currency"),
            format!("must be a currency of ISO 4217 in use such as RUB, is {}", money.currency),
        )),
        _ => {}
    }
}

fn violation(field: impl Into<String>, description: impl Into<String>) -> Violation {
    Violation { field: field.into(), description: description.into() }
}

/// `vendorCode` and `vendor_code` both as the latter.
fn snake(path: &str) -> String {
    path.chars().fold(String::with_capacity(path.len() + 4), |mut name, letter| {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
        name
    })
}

#[cfg(test)]
mod tests {
    use artel_util::now;

    use super::*;

    fn kettle() -> Product {
        Product {
            name: "Чайник".into(),
            price: Some(Money { amount_minor: 129_000, currency: "RUB".into() }),
            ..Product::default()
        }
    }

    fn mask(paths: &[&str]) -> Option<FieldMask> {
        Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
    }

    fn wrong<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Vec<String> {
        match result {
            Err(Refusal::Fields(fields)) => fields.into_iter().map(|wrong| wrong.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_mask_takes_both_spellings_and_lists() {
        let fields =
            to_change(&Product::default(), mask(&["vendorCode", "old_price,stock", "stock"]).as_ref());
        assert_eq!(fields.unwrap(), ["vendor_code", "old_price", "stock"]);
        assert_eq!(to_change(&Product::default(), mask(&["*"]).as_ref()).unwrap(), EDITABLE);
    }

    #[test]
    fn without_a_mask_what_is_set_changes_and_what_is_given_does_not() {
        let product = Product { id: "x".into(), version: 3, create_time: Some(now()), stock: 4, ..kettle() };
        assert_eq!(to_change(&product, None).unwrap(), ["name", "price", "stock"]);
        assert_eq!(to_change(&product, mask(&[]).as_ref()).unwrap(), ["name", "price", "stock"]);
        let bare = Product { id: "x".into(), version: 3, ..Product::default() };
        assert_eq!(wrong(to_change(&bare, None)), ["updateMask"]);
    }

    #[test]
    fn a_mask_with_what_is_given_or_unknown_is_refused_whole() {
        let mask = mask(&["name", "id", "createTime", "colour", "price.currency", "Name"]);
        let Err(Refusal::Fields(wrong)) = to_change(&kettle(), mask.as_ref()) else { panic!() };
        let named = ["`id`", "`createTime`", "`colour`", "`price.currency`", "`Name`"];
        assert_eq!(wrong.len(), named.len());
        for (wrong, named) in wrong.iter().zip(named) {
            assert!(wrong.description.contains(named), "{}", wrong.description);
        }
    }

    #[test]
    fn a_product_is_checked_as_a_whole() {
        check(&kettle()).unwrap();
        assert_eq!(wrong(check(&Product::default())), ["product.name", "product.price"]);
        let money = |amount_minor, currency: &str| Some(Money { amount_minor, currency: currency.into() });
        let mut product = kettle();
        product.price = money(-1, "RUR");
        product.old_price = money(-5, "USD");
        product.stock = -1;
        product.pictures = vec!["javascript:alert(1)".into()];
        assert_eq!(
            wrong(check(&product)),
            [
                "product.stock",
                "product.pictures[0]",
                "product.price.amountMinor",
                "product.price.currency",
                "product.oldPrice.amountMinor",
                "product.oldPrice.currency"
            ]
        );
        product = kettle();
        product.price = money(1, "XYZ");
        assert_eq!(wrong(check(&product)), ["product.price.currency"]);
        product.price = money(1, "rub");
        assert_eq!(wrong(check(&product)), ["product.price.currency"]);
        product.price = money(0, "JPY");
        check(&product).unwrap();
    }
}
