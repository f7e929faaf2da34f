//! What the tests share: reading a whole feed, and showing what came.

use std::path::Path;

use artel_yml::{Error, Feed, Item, Limits, Offer, Rejected, Warning};

/// All that a feed gave, and the error that ended it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub items: Vec<Item>,
    pub error: Option<Error>,
}

#[allow(dead_code, reason = "each test binary uses some of them")]
pub fn feed(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/feeds").join(name)).unwrap()
}

pub fn read(bytes: &[u8]) -> Outcome {
    read_within(bytes, Limits::default())
}

pub fn read_within(bytes: &[u8], limits: Limits) -> Outcome {
    let mut outcome = Outcome::default();
    for item in Feed::with_limits(bytes, limits) {
        match item {
            Ok(item) => outcome.items.push(item),
            Err(error) => {
                assert!(outcome.error.is_none(), "an error ends the feed");
                outcome.error = Some(error);
            }
        }
    }
    outcome
}

#[allow(dead_code, reason = "each test binary uses some of them")]
impl Outcome {
    pub fn offers(&self) -> Vec<&Offer> {
        self.items
            .iter()
            .filter_map(|item| if let Item::Offer(offer) = item { Some(&**offer) } else { None })
            .collect()
    }

    pub fn offer(&self, id: &str) -> &Offer {
        self.offers()
            .into_iter()
            .find(|offer| offer.id == id)
            .unwrap_or_else(|| panic!("no {id} in {self:#?}"))
    }

    pub fn rejected(&self) -> Vec<&Rejected> {
        self.items
            .iter()
            .filter_map(|item| if let Item::Rejected(rejected) = item { Some(rejected) } else { None })
            .collect()
    }

    pub fn warnings(&self) -> Vec<&Warning> {
        self.items
            .iter()
            .filter_map(|item| if let Item::Warning(warning) = item { Some(warning) } else { None })
            .collect()
    }

    pub fn code(&self) -> &'static str {
        self.error.as_ref().map_or("", Error::code)
    }

    pub fn line(&self) -> Option<u64> {
        self.error.as_ref().and_then(Error::line)
    }
}

/// A feed around these offers, with the currency RUB and the category 1; offers begin on line 3.
#[allow(dead_code, reason = "each test binary uses some of them")]
pub fn around(offers: &str) -> String {
    format!(
        "<yml_catalog date=\"2025-11-20 17:03\"><shop><name>S</name>\n\
         <currencies><currency id=\"RUB\" rate=\"1\"/></currencies><categories><category id=\"1\">C</category></categories><offers>\n\
         {offers}\n</offers></shop></yml_catalog>"
    )
}

/// An offer with what it needs and `more`.
#[allow(dead_code, reason = "each test binary uses some of them")]
pub fn offer(id: &str, more: &str) -> String {
    format!(
        "<offer id=\"{id}\"><name>N</name><price>1</price><currencyId>RUB</currencyId><categoryId>1</categoryId>{more}</offer>\n"
    )
}
