//! What a feed holds.

use crate::{CurrencyCode, Decimal, FeedDate, Flaw, Reason};

/// One piece of a feed, in the order in which a reader can use it: the shop, its currencies, its
/// categories (parents before children), its offers; reports stand where they arise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Who offers; exactly once, before everything else but reports.
    Shop(Shop),
    /// A currency of the feed.
    Currency(Currency),
    /// A category of the feed.
    Category(Category),
    /// An offer with all that it must have; its category and currency came before it.
    Offer(Box<Offer>),
    /// An offer that can't be taken.
    Rejected(Rejected),
    /// A detail that was left out or put right.
    Warning(Warning),
}

/// The head of a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shop {
    /// When the feed was made.
    pub date: Option<FeedDate>,
    /// The shop's name.
    pub name: String,
    /// The company's name.
    pub company: String,
    /// The shop's address; empty if there is none that begins with http.
    pub url: String,
}

/// How a currency is converted into the feed's main one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// This many of the main currency; 1 marks the main currency itself.
    Fixed(Decimal),
    /// The rate of a central bank on the day.
    Bank(Bank),
}

/// The banks that a feed may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bank {
    /// Central Bank of Russia.
    Cbrf,
    /// National Bank of Ukraine.
    Nbu,
    /// National Bank of Kazakhstan.
    Nbk,
    /// The central bank of the shop's own country.
    Cb,
}

/// A currency of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency {
    /// RUR of old feeds is RUB here.
    pub code: CurrencyCode,
    /// How it is converted; `None` if the feed doesn't say.
    pub rate: Option<Rate>,
    /// Per cent that the shop adds to the bank's rate.
    pub plus: Option<Decimal>,
}

/// A category of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// The shop's own id; never empty.
    pub id: String,
    /// The category above it, which was delivered before.
    pub parent_id: Option<String>,
    /// One line, never empty.
    pub name: String,
    /// Where it begins, from 1.
    pub line: u64,
}

/// An offer of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The shop's own id; unique in the feed, never empty.
    pub id: String,
    /// Where the offer begins, from 1.
    pub line: u64,
    /// Offers with one group id are variants of one product.
    pub group_id: Option<String>,
    /// `<name>`, or for `vendor.model` the type prefix, vendor and model; one line, never empty.
    pub name: String,
    /// What it is, such as "Чайник".
    pub type_prefix: Option<String>,
    /// The brand.
    pub vendor: Option<String>,
    /// The vendor's article number.
    pub vendor_code: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// Whether it can be ordered now.
    pub available: bool,
    /// The price in minor units (kopecks) of `currency`; more than zero.
    pub price_minor: i64,
    /// The price is the lowest of several.
    pub price_from: bool,
    /// The price before a discount; more than `price_minor`.
    pub old_price_minor: Option<i64>,
    /// The currency of both prices.
    pub currency: CurrencyCode,
    /// The first of its categories; one of the feed's.
    pub category_id: String,
    /// Its page in the shop.
    pub url: Option<String>,
    /// Addresses of pictures, each once, in the feed's order.
    pub pictures: Vec<String>,
    /// Plain text: lines, and empty lines between paragraphs. May be empty.
    pub description: String,
    /// Properties in the feed's order.
    pub params: Vec<Param>,
    /// EAN, UPC and others: 4 to 32 letters and digits. Check digits aren't checked.
    pub barcodes: Vec<String>,
    /// How many are in stock, if the feed says so.
    pub stock: Option<i32>,
    /// Weight with packaging.
    pub weight_grams: Option<u32>,
    /// Length, width and height with packaging.
    pub dimensions_mm: Option<[u32; 3]>,
    /// Terms of sale.
    pub sales_notes: Option<String>,
    /// Where it was made.
    pub country_of_origin: Option<String>,
}

/// A property of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Such as "Объём"; never empty.
    pub name: String,
    /// Such as "л".
    pub unit: Option<String>,
    /// Such as "1.7"; never empty.
    pub value: String,
}

/// An offer that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its id, shortened if it is too long, where it has one.
    pub offer_id: Option<String>,
    /// Where the offer begins, from 1.
    pub line: u64,
    /// Why, and what to do.
    pub reason: Reason,
}

/// A detail that was left out or put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The offer that it belongs to; `None` for the shop, currencies and categories.
    pub offer_id: Option<String>,
    /// Where the offer or element begins, from 1.
    pub line: u64,
    /// What was wrong, and what to do.
    pub flaw: Flaw,
}

impl Offer {
    /// An offer with only what every offer must have.
    #[must_use]
    pub fn new(
        id: impl Into<String>,
        name: impl Into<String>,
        price_minor: i64,
        currency: CurrencyCode,
        category_id: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            line: 0,
            group_id: None,
            name: name.into(),
            type_prefix: None,
            vendor: None,
            vendor_code: None,
            model: None,
            available: true,
            price_minor,
            price_from: false,
            old_price_minor: None,
            currency,
            category_id: category_id.into(),
            url: None,
            pictures: Vec::new(),
            description: String::new(),
            params: Vec::new(),
            barcodes: Vec::new(),
            stock: None,
            weight_grams: None,
            dimensions_mm: None,
            sales_notes: None,
            country_of_origin: None,
        }
    }
}
