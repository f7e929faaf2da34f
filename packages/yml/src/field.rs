//! The elements of an offer that we know, and how their texts are read.

use crate::offer::tag_reason;
use crate::text;
use crate::xml::Tag;
use crate::{Decimal, Limits, Reason};

const ADDRESS_BYTES: usize = 2048;

/// An element directly in an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    Name,
    Title,
    TypePrefix,
    Vendor,
    VendorCode,
    Model,
    Price,
    OldPrice,
    Currency,
    CategoryId,
    Url,
    Picture,
    Description,
    Param { name: Option<String>, unit: Option<String> },
    Barcode,
    Stock,
    Outlets,
    Available,
    Disabled,
    Weight,
    Dimensions,
    SalesNotes,
    Country,
    Ignored,
}

impl Field {
    /// Which field the tag begins, and whether it says that the price is the lowest of several.
    pub(crate) fn open(tag: &Tag<'_>, limits: &Limits) -> Result<(Self, bool), Reason> {
        let field = match tag.name() {
            "name" => Self::Name,
            "title" => Self::Title,
            "typePrefix" => Self::TypePrefix,
            "vendor" => Self::Vendor,
            "vendorCode" => Self::VendorCode,
            "model" => Self::Model,
            "price" => return Self::price(tag, limits),
            "oldprice" | "oldPrice" | "old_price" => Self::OldPrice,
            "currencyId" => Self::Currency,
            "categoryId" => Self::CategoryId,
            "url" => Self::Url,
            "picture" => Self::Picture,
            "description" => Self::Description,
            "param" => return Self::param(tag, limits),
            "barcode" => Self::Barcode,
            "count" | "stock_quantity" | "quantity_in_stock" => Self::Stock,
            "outlets" => Self::Outlets,
            "available" => Self::Available,
            "disabled" => Self::Disabled,
            "weight" => Self::Weight,
            "dimensions" => Self::Dimensions,
            "sales_notes" => Self::SalesNotes,
            "country_of_origin" => Self::Country,
            _ => Self::Ignored,
        };
        Ok((field, false))
    }

    fn price(tag: &Tag<'_>, limits: &Limits) -> Result<(Self, bool), Reason> {
        let mut from = false;
        tag.attributes(limits.attributes, |key, value| from |= key == "from" && value.trim() == "true")
            .map_err(|flaw| tag_reason(flaw, "price", limits))?;
        Ok((Self::Price, from))
    }

    fn param(tag: &Tag<'_>, limits: &Limits) -> Result<(Self, bool), Reason> {
        let (mut name, mut unit) = (None, None);
        let mut overlong = false;
        tag.attributes(limits.attributes, |key, value| {
            overlong |= value.len() > limits.field_bytes;
            let value = text::line(&value);
            match key {
                _ if value.is_empty() => {}
                "name" => name = name.take().or(Some(value)),
                "unit" => unit = unit.take().or(Some(value)),
                _ => {}
            }
        })
        .map_err(|flaw| tag_reason(flaw, "param", limits))?;
        if overlong {
            return Err(Reason::TooLong { field: "param", limit: limits.field_bytes });
        }
        let texts = [name.as_deref(), unit.as_deref()];
        if texts.into_iter().flatten().any(|text: &str| text.contains('\u{fffd}')) {
            return Err(Reason::Unreadable { field: "param" });
        }
        Ok((Self::Param { name, unit }, false))
    }

    /// As the feed names it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Title => "title",
            Self::TypePrefix => "typePrefix",
            Self::Vendor => "vendor",
            Self::VendorCode => "vendorCode",
            Self::Model => "model",
            Self::Price => "price",
            Self::OldPrice => "oldprice",
            Self::Currency => "currencyId",
            Self::CategoryId => "categoryId",
            Self::Url => "url",
            Self::Picture => "picture",
            Self::Description => "description",
            Self::Param { .. } => "param",
            Self::Barcode => "barcode",
            Self::Stock => "count",
            Self::Outlets => "outlets",
            Self::Available => "available",
            Self::Disabled => "disabled",
            Self::Weight => "weight",
            Self::Dimensions => "dimensions",
            Self::SalesNotes => "sales_notes",
            Self::Country => "country_of_origin",
            Self::Ignored => "offer",
        }
    }
}

/// An address of the web, completed where only the scheme is missing; nothing else is let through.
pub(crate) fn web_address(text: &str) -> Option<String> {
    let address = match text.strip_prefix("//") {
        Some(rest) => format!("https://{rest}"),
        None => text.to_owned(),
    };
    let host = ["https://", "http://"].into_iter().find_map(|scheme| {
        let head = address.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &address[scheme.len()..])
    })?;
    let begins = host.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '[');
    let clean = !address.contains(|char: char| char.is_whitespace() || matches!(char, '<' | '>' | '"'));
    (begins && clean && address.len() <= ADDRESS_BYTES).then_some(address)
}

/// A code of 4 to 32 letters and digits; spaces and hyphens between them are left out.
pub(crate) fn barcode(text: &str) -> Option<String> {
    let code: String = text.chars().filter(|char| !matches!(char, ' ' | '-')).collect();
    let sound = code.bytes().all(|byte| byte.is_ascii_alphanumeric()) && (4..=32).contains(&code.len());
    sound.then_some(code)
}

/// Kilograms as grams, halves rounded up; up to 1000 tonnes.
pub(crate) fn grams(text: &str) -> Option<u32> {
    let grams = Decimal::parse(text).ok()?.rounded(3)?;
    u32::try_from(grams).ok().filter(|grams| *grams <= 1_000_000_000)
}

/// `length/width/height` in centimetres as millimetres, halves rounded up; up to a kilometre each.
pub(crate) fn millimetres(text: &str) -> Option<[u32; 3]> {
    let mut sizes = [0; 3];
    let mut parts = text.split('/');
    for size in &mut sizes {
        let millimetres = Decimal::parse(parts.next()?).ok()?.rounded(1)?;
        *size = u32::try_from(millimetres).ok().filter(|size| *size <= 1_000_000)?;
    }
    parts.next().is_none().then_some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(web_address("https://example.com/a.jpg").unwrap(), "https://example.com/a.jpg");
        assert_eq!(web_address("HTTP://пример.рф/ё?a=1&b=2").unwrap(), "HTTP://пример.рф/ё?a=1&b=2");
        assert_eq!(web_address("//cdn.example.com/a.jpg").unwrap(), "https://cdn.example.com/a.jpg");
        let long = format!("https://example.com/{}", "a".repeat(ADDRESS_BYTES));
        for bad in [
            "",
            "a.jpg",
            "javascript:alert(1)",
            "data:image/png;base64,AA",
            "https://",
            "https:///etc/passwd",
            "file:///etc/passwd",
            "https://example.com/a b",
            "https://example.com/\"><script>",
            &long,
            "ы://",
        ] {
            assert_eq!(web_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn barcodes() {
        assert_eq!(barcode(" 460-0702 091234 ").unwrap(), "4600702091234");
        assert_eq!(barcode("ABC123").unwrap(), "ABC123");
        for bad in ["", "123", "нет", "46007020912#4", &"1".repeat(33)] {
            assert_eq!(barcode(bad), None, "{bad}");
        }
    }

    #[test]
    fn weights_and_sizes() {
        assert_eq!(grams("1,29"), Some(1290));
        assert_eq!(grams("0.0005"), Some(1));
        assert_eq!(grams("9999999"), None);
        assert_eq!(grams("-1"), None);
        assert_eq!(millimetres("20.1/20.551/22,5"), Some([201, 206, 225]));
        assert_eq!(millimetres(" 1 / 2 / 3 "), Some([10, 20, 30]));
        for bad in ["1/2", "1/2/3/4", "1x2x3", "a/b/c", "1/2/99999999"] {
            assert_eq!(millimetres(bad), None, "{bad}");
        }
    }
}
