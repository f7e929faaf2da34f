//! What can be wrong: with the feed (`Error`), with an offer (`Reason`), with a detail (`Flaw`).

use std::io;

use thiserror::Error;

use crate::{CurrencyCode, NumberFlaw};

/// The feed can't be read further. What came before it was delivered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the feed broke off while it was read: {0}")]
    Io(#[from] io::Error),
    #[error("the encoding {label:?} isn't known; send the feed in UTF-8 or windows-1251")]
    Encoding { label: String },
    #[error("line {line}: this isn't a YML feed: it begins with {found} where <yml_catalog> should stand")]
    NotYml { line: u64, found: String },
    #[error("the file is empty; a YML feed begins with <yml_catalog>")]
    Empty,
    #[error("line {line}: the XML is broken: {what}; mend it there and send the feed again")]
    Malformed { line: u64, what: String },
    #[error("line {line}: the feed ends inside <{inside}>; it was cut off, send it whole")]
    Truncated { line: u64, inside: &'static str },
    #[error("line {line}: the DOCTYPE declares entities, which are never expanded; remove the declarations")]
    Entities { line: u64 },
    #[error("line {line}: elements stand {limit} deep inside each other; a feed needs a handful")]
    TooDeep { line: u64, limit: usize },
    #[error("line {line}: a single tag or text is longer than {limit} bytes; shorten it")]
    TooLong { line: u64, limit: usize },
    #[error("line {line}: there are more than {limit} {what}; split the feed")]
    TooMany { line: u64, what: &'static str, limit: usize },
    #[error(
        "line {line}: the offers come before <categories>, and more than {limit} bytes of them; \
         put <categories> before <offers>"
    )]
    CategoriesTooLate { line: u64, limit: u64 },
}

impl Error {
    /// The line (from 1) where reading stopped, where there is one.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        match self {
            Self::Io(_) | Self::Encoding { .. } | Self::Empty => None,
            Self::NotYml { line, .. }
            | Self::Malformed { line, .. }
            | Self::Truncated { line, .. }
            | Self::Entities { line }
            | Self::TooDeep { line, .. }
            | Self::TooLong { line, .. }
            | Self::TooMany { line, .. }
            | Self::CategoriesTooLate { line, .. } => Some(*line),
        }
    }

    /// A stable name, for callers that act on the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "FEED_BROKE_OFF",
            Self::Encoding { .. } => "FEED_ENCODING_UNKNOWN",
            Self::NotYml { .. } => "FEED_NOT_YML",
            Self::Empty => "FEED_EMPTY",
            Self::Malformed { .. } => "FEED_MALFORMED",
            Self::Truncated { .. } => "FEED_TRUNCATED",
            Self::Entities { .. } => "FEED_DECLARES_ENTITIES",
            Self::TooDeep { .. } => "FEED_TOO_DEEP",
            Self::TooLong { .. } => "FEED_TEXT_TOO_LONG",
            Self::TooMany { .. } => "FEED_TOO_LARGE",
            Self::CategoriesTooLate { .. } => "FEED_CATEGORIES_TOO_LATE",
        }
    }
}

/// Why an offer was rejected, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Reason {
    #[error("the offer has no id; give it one that never changes")]
    MissingId,
    #[error("the id is longer than {limit} characters; shorten it")]
    IdTooLong { limit: usize },
    #[error("an offer with this id came earlier in the feed; ids must differ")]
    DuplicateId,
    #[error("the offer has no name; give <name>, or <vendor> and <model>")]
    MissingName,
    #[error("the offer has no <price>; give one")]
    MissingPrice,
    #[error("the price {text:?} can't be used: {flaw}")]
    BadPrice { text: String, flaw: NumberFlaw },
    #[error("the offer has no <currencyId>; give one, such as RUB")]
    MissingCurrency,
    #[error("the currency {code:?} isn't known; use a code of ISO 4217, such as RUB")]
    UnknownCurrency { code: String },
    #[error("the currency {code} isn't among the feed's <currencies>; declare it there")]
    UndeclaredCurrency { code: CurrencyCode },
    #[error("the offer has no <categoryId>; give one")]
    MissingCategory,
    #[error("the category {id:?} isn't among the feed's <categories>; declare it there")]
    UnknownCategory { id: String },
    #[error("the stock {text:?} can't be used; write a whole number from 0 to 2147483647")]
    BadStock { text: String },
    #[error("<{field}> stands there more than once with different values; keep the right one")]
    Contradiction { field: &'static str },
    #[error("<{field}> is longer than {limit} bytes; shorten it")]
    TooLong { field: &'static str, limit: usize },
    #[error("there are more than {limit} <{field}>; leave some out")]
    TooMany { field: &'static str, limit: usize },
    #[error("the offer is larger than {limit} bytes; shorten it")]
    TooLarge { limit: u64 },
    #[error("elements stand more than {limit} deep inside each other; put markup into CDATA")]
    TooDeep { limit: usize },
    #[error("the entity &{name}; isn't known; write the character itself")]
    UnknownEntity { name: String },
    #[error("<{field}> isn't readable in the encoding of the feed; declare the right one in <?xml ?>")]
    Unreadable { field: &'static str },
    #[error("the attributes of <{field}> are broken; write them as name=\"value\"")]
    BadAttributes { field: &'static str },
}

impl Reason {
    /// A stable name, for callers that act on the kind of reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingId => "MISSING_ID",
            Self::IdTooLong { .. } => "ID_TOO_LONG",
            Self::DuplicateId => "DUPLICATE_ID",
            Self::MissingName => "MISSING_NAME",
            Self::MissingPrice => "MISSING_PRICE",
            Self::BadPrice { .. } => "BAD_PRICE",
            Self::MissingCurrency => "MISSING_CURRENCY",
            Self::UnknownCurrency { .. } => "UNKNOWN_CURRENCY",
            Self::UndeclaredCurrency { .. } => "UNDECLARED_CURRENCY",
            Self::MissingCategory => "MISSING_CATEGORY",
            Self::UnknownCategory { .. } => "UNKNOWN_CATEGORY",
            Self::BadStock { .. } => "BAD_STOCK",
            Self::Contradiction { .. } => "CONTRADICTION",
            Self::TooLong { .. } => "TOO_LONG",
            Self::TooMany { .. } => "TOO_MANY",
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::TooDeep { .. } => "TOO_DEEP",
            Self::UnknownEntity { .. } => "UNKNOWN_ENTITY",
            Self::Unreadable { .. } => "UNREADABLE",
            Self::BadAttributes { .. } => "BAD_ATTRIBUTES",
        }
    }
}

/// What was wrong with a detail, and what became of it; the rest was taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Flaw {
    #[error("the date {text:?} of the feed isn't one, it was left out; write 2025-11-20T17:03:00+03:00")]
    BadDate { text: String },
    #[error("the currency {id:?} isn't known or its tag is broken, it was left out; use a code of ISO 4217")]
    BadCurrency { id: String },
    #[error("the currency {code} is declared twice, the first counts; remove one")]
    DuplicateCurrency { code: CurrencyCode },
    #[error("the rate {text:?} of {code} was left out; write a number or CBRF, NBU, NBK, CB")]
    BadRate { code: CurrencyCode, text: String },
    #[error("the category {id:?} was left out; give it an id and a name that aren't too long")]
    BadCategory { id: String },
    #[error("the category {id:?} is declared twice, the first counts; remove one")]
    DuplicateCategory { id: String },
    #[error(
        "the category {id:?} was put at the top: its parent {parent:?} isn't in the feed; add the parent"
    )]
    UnknownParent { id: String, parent: String },
    #[error("the category {id:?} was put at the top: it is its own ancestor; correct its parentId")]
    CategoryCycle { id: String },
    #[error("<{field}> {text:?} was left out: it can't be used; correct it")]
    Dropped { field: &'static str, text: String },
}

/// A piece of the feed short and harmless enough to be shown in a message.
pub(crate) fn excerpt(text: &str) -> String {
    let line = crate::text::line(text);
    match line.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
