//! The writer: a valid feed, a piece at a time.

use std::collections::HashSet;
use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesCData, BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use thiserror::Error;

use crate::{Bank, Category, Currency, Decimal, Offer, Rate, Shop, text};

/// Why a piece can't be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    #[error("the feed can't be written: {0}")]
    Io(#[from] io::Error),
    #[error("{what} must be written before {before}")]
    Order { what: &'static str, before: &'static str },
    #[error("{what} {id:?} has no {missing}; fill it in")]
    Incomplete { what: &'static str, id: String, missing: &'static str },
    #[error("{what} {id:?} names the category {category:?}, which wasn't written; write it first")]
    UnknownCategory { what: &'static str, id: String, category: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Currencies,
    Categories,
    Offers,
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Currencies => "currencies",
            Self::Categories => "categories",
            Self::Offers => "offers",
        }
    }
}

/// Writes a feed in UTF-8: the shop, then currencies, categories (parents first) and offers.
///
/// What it writes, [`Feed`](crate::Feed) reads back: texts lose what can't be seen and runs of white
/// space, nothing else. `finish` completes it; without that the feed is truncated, and readers see so.
pub struct FeedWriter<W: Write> {
    xml: Writer<W>,
    section: Option<Section>,
    categories: HashSet<String>,
}

impl<W: Write> FeedWriter<W> {
    /// Begins the feed with the shop.
    ///
    /// # Errors
    /// What writing gives.
    pub fn new(out: W, shop: &Shop) -> Result<Self, WriteError> {
        let mut xml = Writer::new_with_indent(out, b' ', 2);
        xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let mut root = BytesStart::new("yml_catalog");
        let date = shop.date.map(|date| date.to_string());
        if let Some(date) = &date {
            root.push_attribute(("date", date.as_str()));
        }
        xml.write_event(Event::Start(root))?;
        xml.write_event(Event::Start(BytesStart::new("shop")))?;
        let mut writer = Self { xml, section: None, categories: HashSet::new() };
        writer.texts([("name", &shop.name), ("company", &shop.company), ("url", &shop.url)])?;
        Ok(writer)
    }

    /// Adds a currency.
    ///
    /// # Errors
    /// `Order` after the first category or offer, and what writing gives.
    pub fn currency(&mut self, currency: &Currency) -> Result<(), WriteError> {
        self.enter(Section::Currencies)?;
        let rate = currency.rate.map(|rate| match rate {
            Rate::Fixed(number) => number.to_string(),
            Rate::Bank(Bank::Cbrf) => "CBRF".to_owned(),
            Rate::Bank(Bank::Nbu) => "NBU".to_owned(),
            Rate::Bank(Bank::Nbk) => "NBK".to_owned(),
            Rate::Bank(Bank::Cb) => "CB".to_owned(),
        });
        let plus = currency.plus.map(|plus| plus.to_string());
        let attributes = [("id", Some(currency.code.to_string())), ("rate", rate), ("plus", plus)];
        self.xml.write_event(Event::Empty(start("currency", attributes)))?;
        Ok(())
    }

    /// Adds a category; its parent must have been added before.
    ///
    /// # Errors
    /// `Order` after the first offer, `Incomplete` without id or name, `UnknownCategory`, and what
    /// writing gives.
    pub fn category(&mut self, category: &Category) -> Result<(), WriteError> {
        let id = text::line(&category.id);
        let name = text::line(&category.name);
        let parent = category.parent_id.as_deref().map(text::line);
        complete("the category", &id, &[("id", id.is_empty()), ("name", name.is_empty())])?;
        if let Some(parent) = &parent {
            self.known("the category", &id, parent)?;
        }
        self.enter(Section::Categories)?;
        self.categories.insert(id.clone());
        self.element(start("category", [("id", Some(id)), ("parentId", parent)]), &name)
    }

    /// Adds an offer; its category must have been added before. It is written with a `<name>` and, if
    /// there is a model, with its parts.
    ///
    /// # Errors
    /// `Incomplete` without id, name or a price over zero, `UnknownCategory`, and what writing gives.
    pub fn offer(&mut self, offer: &Offer) -> Result<(), WriteError> {
        let id = text::line(&offer.id);
        let missing = [
            ("id", id.is_empty()),
            ("name", text::line(&offer.name).is_empty()),
            ("price", offer.price_minor <= 0),
        ];
        complete("the offer", &id, &missing)?;
        self.known("the offer", &id, &text::line(&offer.category_id))?;
        self.enter(Section::Offers)?;

        let available = Some(offer.available.to_string());
        let attributes = [("id", Some(id)), ("group_id", offer.group_id.clone()), ("available", available)];
        self.xml.write_event(Event::Start(start("offer", attributes)))?;
        self.texts([("name", &offer.name)])?;
        let parts = [("typePrefix", &offer.type_prefix), ("vendor", &offer.vendor), ("model", &offer.model)];
        self.optional(parts)?;
        self.optional([("vendorCode", &offer.vendor_code), ("url", &offer.url)])?;

        let exponent = offer.currency.exponent();
        let from = offer.price_from.then(|| "true".to_owned());
        let price = Decimal::new(offer.price_minor, exponent).to_string();
        self.element(start("price", [("from", from)]), &price)?;
        if let Some(old) = offer.old_price_minor {
            self.texts([("oldprice", &Decimal::new(old, exponent).to_string())])?;
        }
        self.texts([("currencyId", &offer.currency.to_string()), ("categoryId", &offer.category_id)])?;
        for picture in &offer.pictures {
            self.texts([("picture", picture)])?;
        }
        self.description(&offer.description)?;
        self.optional([
            ("sales_notes", &offer.sales_notes),
            ("country_of_origin", &offer.country_of_origin),
        ])?;
        for barcode in &offer.barcodes {
            self.texts([("barcode", barcode)])?;
        }
        for param in &offer.params {
            let attributes = [("name", Some(text::line(&param.name))), ("unit", param.unit.clone())];
            self.element(start("param", attributes), &param.value)?;
        }
        self.quantities(offer)?;
        self.xml.write_event(Event::End(BytesEnd::new("offer")))?;
        Ok(())
    }

    /// Completes the feed and gives back what it was written to, flushed.
    ///
    /// # Errors
    /// What writing gives.
    pub fn finish(mut self) -> Result<W, WriteError> {
        for section in [Section::Currencies, Section::Categories, Section::Offers] {
            if self.section < Some(section) {
                self.enter(section)?;
            }
        }
        for open in ["offers", "shop", "yml_catalog"] {
            self.xml.write_event(Event::End(BytesEnd::new(open)))?;
        }
        let mut out = self.xml.into_inner();
        out.write_all(b"\n")?;
        out.flush()?;
        Ok(out)
    }

    fn enter(&mut self, section: Section) -> Result<(), WriteError> {
        if self.section == Some(section) {
            return Ok(());
        }
        if let Some(open) = self.section {
            if open > section {
                return Err(WriteError::Order { what: section.name(), before: open.name() });
            }
            self.xml.write_event(Event::End(BytesEnd::new(open.name())))?;
        }
        self.xml.write_event(Event::Start(BytesStart::new(section.name())))?;
        self.section = Some(section);
        Ok(())
    }

    fn known(&self, what: &'static str, id: &str, category: &str) -> Result<(), WriteError> {
        if self.categories.contains(category) {
            return Ok(());
        }
        Err(WriteError::UnknownCategory { what, id: id.to_owned(), category: category.to_owned() })
    }

    fn quantities(&mut self, offer: &Offer) -> Result<(), WriteError> {
        let weight = offer.weight_grams.map(|grams| Decimal::new(grams.into(), 3).to_string());
        let dimensions = offer
            .dimensions_mm
            .map(|sizes| sizes.map(|millimetres| Decimal::new(millimetres.into(), 1).to_string()).join("/"));
        let count = offer.stock.map(|count| count.to_string());
        self.optional([("weight", &weight), ("dimensions", &dimensions), ("count", &count)])
    }

    fn description(&mut self, description: &str) -> Result<(), WriteError> {
        let description = text::paragraphs(description);
        if description.is_empty() {
            return Ok(());
        }
        if !description.contains(['<', '&', '\n']) {
            return self.texts([("description", &description)]);
        }
        self.xml.write_event(Event::Start(BytesStart::new("description")))?;
        // "]]>" can't stand in it: its ">" is escaped.
        self.xml.write_event(Event::CData(BytesCData::new(text::to_html(&description))))?;
        self.xml.write_event(Event::End(BytesEnd::new("description")))?;
        Ok(())
    }

    fn optional<const N: usize>(&mut self, texts: [(&str, &Option<String>); N]) -> Result<(), WriteError> {
        let mut given = texts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        given.try_for_each(|(name, value)| self.texts([(name, value)]))
    }

    fn texts<const N: usize>(&mut self, texts: [(&str, &String); N]) -> Result<(), WriteError> {
        texts.into_iter().try_for_each(|(name, value)| self.element(BytesStart::new(name), value))
    }

    fn element(&mut self, start: BytesStart<'_>, value: &str) -> Result<(), WriteError> {
        let end = start.to_end().into_owned();
        self.xml.write_event(Event::Start(start))?;
        self.xml.write_event(Event::Text(BytesText::new(&text::line(value))))?;
        self.xml.write_event(Event::End(end))?;
        Ok(())
    }
}

fn start<const N: usize>(name: &'static str, attributes: [(&str, Option<String>); N]) -> BytesStart<'static> {
    let mut start = BytesStart::new(name);
    for (key, value) in attributes {
        if let Some(value) = value {
            start.push_attribute((key, text::line(&value).as_str()));
        }
    }
    start
}

fn complete(what: &'static str, id: &str, missing: &[(&'static str, bool)]) -> Result<(), WriteError> {
    match missing.iter().find(|(_, missing)| *missing) {
        Some((missing, _)) => Err(WriteError::Incomplete { what, id: id.to_owned(), missing }),
        None => Ok(()),
    }
}
