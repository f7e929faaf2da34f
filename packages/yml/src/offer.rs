//! One offer: its fields are collected while it streams by, then made into an `Offer` or a reason.

use crate::entity;
use crate::error::excerpt;
use crate::field::{self, Field};
use crate::text;
use crate::xml::{Tag, TagFlaw, Token, Xml};
use crate::{CurrencyCode, Decimal, Error, Flaw, Limits, Offer, Param, Reason};

/// What an offer came to. The currency is still as the feed names it: what isn't named may follow
/// from the feed's main currency.
pub(crate) struct Draft {
    pub(crate) id: Option<String>,
    pub(crate) line: u64,
    pub(crate) size: u64,
    pub(crate) flaws: Vec<Flaw>,
    pub(crate) content: Result<Box<Content>, Reason>,
}

/// The texts of an offer, each within its limit and readable.
#[derive(Default)]
pub(crate) struct Content {
    by_parts: bool,
    group_id: Option<String>,
    hidden: bool,
    name: Option<String>,
    title: Option<String>,
    type_prefix: Option<String>,
    vendor: Option<String>,
    vendor_code: Option<String>,
    model: Option<String>,
    price: Option<String>,
    price_from: bool,
    old_price: Option<String>,
    currency: Option<String>,
    category_id: Option<String>,
    url: Option<String>,
    pictures: Vec<String>,
    description: String,
    params: Vec<Param>,
    barcodes: Vec<String>,
    stock: Option<i32>,
    in_outlets: Option<i32>,
    weight_grams: Option<u32>,
    dimensions_mm: Option<[u32; 3]>,
    sales_notes: Option<String>,
    country_of_origin: Option<String>,
}

/// Reads the offer whose tag was opened last, to its end.
pub(crate) fn read(xml: &mut Xml<'_>, mut draft: Draft, limits: &Limits) -> Result<Draft, Error> {
    let began = xml.position();
    let mut reading = Reading { limits, field: None, raw: String::new(), flaws: Vec::new() };
    let mut depth = 1;
    while depth > 0 {
        let token = xml.next()?;
        match &token {
            Token::Open(_) => depth += 1,
            Token::Close(_) => depth -= 1,
            Token::End => return Err(Error::Truncated { line: xml.line(), inside: "offer" }),
            _ => {}
        }
        if let Ok(content) = &mut draft.content
            && let Err(reason) = reading.take(&token, depth, content)
        {
            draft.content = Err(reason);
        }
        draft.size = xml.position() - began;
        if draft.size > limits.offer_bytes && draft.content.is_ok() {
            draft.content = Err(Reason::TooLarge { limit: limits.offer_bytes });
        }
    }
    draft.flaws = reading.flaws;
    Ok(draft)
}

impl Draft {
    /// Begins with what the tag says.
    pub(crate) fn open(tag: &Tag<'_>, limits: &Limits) -> Self {
        let mut id = None;
        let mut content = Box::<Content>::default();
        let read = tag.attributes(limits.attributes, |key, value| match key {
            "id" if id.is_none() => id = Some(text::line(&value)),
            "type" => content.by_parts = value.trim() == "vendor.model",
            "available" => content.hidden |= !truthy(&value),
            "group_id" => {
                let group = text::line(&value);
                content.group_id = (1..=limits.id_chars).contains(&group.chars().count()).then_some(group);
            }
            _ => {}
        });
        let id = id.filter(|id: &String| !id.is_empty());
        let flaw = match (&id, read) {
            (_, Err(flaw)) => Some(tag_reason(flaw, "offer", limits)),
            (None, _) => Some(Reason::MissingId),
            (Some(id), _) if id.chars().count() > limits.id_chars => {
                Some(Reason::IdTooLong { limit: limits.id_chars })
            }
            (Some(id), _) if unreadable(id) => Some(Reason::Unreadable { field: "offer" }),
            _ => None,
        };
        let id = id.map(|id| id.chars().take(limits.id_chars).collect());
        let content = flaw.map_or(Ok(content), Err);
        Self { id, line: tag.line, size: 0, flaws: Vec::new(), content }
    }
}

struct Reading<'l> {
    limits: &'l Limits,
    field: Option<Field>,
    /// The text of the field so far.
    raw: String,
    flaws: Vec<Flaw>,
}

impl Reading<'_> {
    /// `depth` is the depth after the token: 1 is directly in the offer.
    fn take(&mut self, token: &Token<'_>, depth: usize, content: &mut Content) -> Result<(), Reason> {
        match token {
            Token::Open(_) if depth > self.limits.depth => Err(Reason::TooDeep { limit: self.limits.depth }),
            Token::Open(tag) if depth == 2 => {
                let (field, from) = Field::open(tag, self.limits)?;
                content.price_from |= from;
                self.field = Some(field);
                self.raw.clear();
                Ok(())
            }
            Token::Open(tag) => self.inner_tag(tag, content),
            Token::Close(_) if depth == 1 => match self.field.take() {
                Some(field) => self.close(field, content),
                None => Ok(()),
            },
            Token::Close(end) => match (&self.field, end.name().0) {
                // An empty element closes too, but a line breaks once.
                (Some(Field::Description), name) if name != "br" => self.add(&format!("</{name}>")),
                _ => Ok(()),
            },
            Token::Text(text) | Token::CData(text) => self.add(text),
            Token::Reference(name) => match entity::resolve(name) {
                _ if !self.collects() => Ok(()),
                entity::Reference::Text(text) => self.add(text),
                entity::Reference::Char(char) => self.add(char.encode_utf8(&mut [0; 4])),
                entity::Reference::Literal => self.add(&format!("&{name};")),
                entity::Reference::Unknown => Err(Reason::UnknownEntity { name: excerpt(name) }),
            },
            Token::Nothing | Token::End => Ok(()),
        }
    }

    fn collects(&self) -> bool {
        !matches!(self.field, None | Some(Field::Ignored | Field::Outlets))
    }

    fn add(&mut self, piece: &str) -> Result<(), Reason> {
        let Some(field) = self.field.as_ref().filter(|_| self.collects()) else { return Ok(()) };
        let limit = match field {
            Field::Description => self.limits.description_bytes,
            _ => self.limits.field_bytes,
        };
        if self.raw.len() + piece.len() > limit {
            return Err(Reason::TooLong { field: field.name(), limit });
        }
        self.raw.push_str(piece);
        Ok(())
    }

    /// An element inside a field: an outlet, or markup that nobody put into CDATA.
    fn inner_tag(&mut self, tag: &Tag<'_>, content: &mut Content) -> Result<(), Reason> {
        match self.field {
            Some(Field::Description) => self.add(&format!("<{}>", tag.name())),
            Some(Field::Outlets) if tag.name() == "outlet" => {
                let mut stock = None;
                tag.attributes(self.limits.attributes, |key, value| {
                    if key == "instock" {
                        stock = Some(value.into_owned());
                    }
                })
                .map_err(|flaw| tag_reason(flaw, "outlet", self.limits))?;
                if let Some(stock) = stock {
                    let sum = content.in_outlets.unwrap_or(0).checked_add(whole(&stock)?);
                    content.in_outlets = Some(sum.ok_or(Reason::BadStock { text: excerpt(&stock) })?);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self, field: Field, content: &mut Content) -> Result<(), Reason> {
        if unreadable(&self.raw) {
            return Err(Reason::Unreadable { field: field.name() });
        }
        let name = field.name();
        if matches!(field, Field::Description) {
            if content.description.is_empty() {
                content.description = text::plain(&self.raw);
            }
            return Ok(());
        }
        let value = text::line(&self.raw);
        if value.is_empty() {
            return Ok(());
        }
        match field {
            Field::Description | Field::Outlets | Field::Ignored => {}
            Field::Name => first(&mut content.name, value),
            Field::Title => first(&mut content.title, value),
            Field::TypePrefix => first(&mut content.type_prefix, value),
            Field::Vendor => first(&mut content.vendor, value),
            Field::VendorCode => first(&mut content.vendor_code, value),
            Field::Model => first(&mut content.model, value),
            Field::CategoryId => first(&mut content.category_id, value),
            Field::SalesNotes => first(&mut content.sales_notes, value),
            Field::Country => first(&mut content.country_of_origin, value),
            Field::OldPrice => first(&mut content.old_price, value),
            Field::Price => only(&mut content.price, value, name)?,
            Field::Currency => only(&mut content.currency, value, name)?,
            Field::Disabled => content.hidden |= truthy(&value),
            Field::Available => content.hidden |= !truthy(&value),
            Field::Stock => {
                let count = whole(&value)?;
                content.stock.get_or_insert(count);
            }
            Field::Url => match field::web_address(&value) {
                Some(url) => first(&mut content.url, url),
                None => self.drop(name, &value),
            },
            Field::Picture => match field::web_address(&value) {
                Some(url) if content.pictures.contains(&url) => {}
                Some(url) => push(&mut content.pictures, url, name, self.limits.pictures)?,
                None => self.drop(name, &value),
            },
            Field::Barcode => {
                for code in value.split([',', ';', '/']) {
                    match field::barcode(code) {
                        Some(code) if content.barcodes.contains(&code) => {}
                        Some(code) => push(&mut content.barcodes, code, name, self.limits.barcodes)?,
                        None => self.drop(name, code),
                    }
                }
            }
            Field::Param { name: Some(param), unit } => {
                push(&mut content.params, Param { name: param, unit, value }, name, self.limits.params)?;
            }
            Field::Param { name: None, .. } => self.drop(name, &value),
            Field::Weight => match field::grams(&value) {
                Some(grams) => content.weight_grams = Some(grams),
                None => self.drop(name, &value),
            },
            Field::Dimensions => match field::millimetres(&value) {
                Some(sizes) => content.dimensions_mm = Some(sizes),
                None => self.drop(name, &value),
            },
        }
        Ok(())
    }

    fn drop(&mut self, field: &'static str, text: &str) {
        // As many flaws as there are fields: bounded by the size of the offer.
        self.flaws.push(Flaw::Dropped { field, text: excerpt(text) });
    }
}

impl Content {
    pub(crate) fn currency(&self) -> Option<&str> {
        self.currency.as_deref()
    }

    pub(crate) fn category_id(&self) -> Option<&str> {
        self.category_id.as_deref()
    }

    /// The offer, once the feed has said which currency is meant.
    pub(crate) fn finish(
        self,
        id: String,
        line: u64,
        currency: CurrencyCode,
        flaws: &mut Vec<Flaw>,
    ) -> Result<Offer, Reason> {
        let exponent = currency.exponent();
        let name = self.full_name().ok_or(Reason::MissingName)?;
        let price = self.price.ok_or(Reason::MissingPrice)?;
        let price_minor = Decimal::parse_price(&price, exponent)
            .map_err(|flaw| Reason::BadPrice { text: excerpt(&price), flaw })?;
        let old_price_minor = self.old_price.and_then(|text| match Decimal::parse_price(&text, exponent) {
            Ok(old) if old > price_minor => Some(old),
            // Some shops repeat the price here.
            Ok(old) if old == price_minor => None,
            _ => {
                flaws.push(Flaw::Dropped { field: "oldprice", text: excerpt(&text) });
                None
            }
        });
        Ok(Offer {
            id,
            line,
            group_id: self.group_id,
            name,
            type_prefix: self.type_prefix,
            vendor: self.vendor,
            vendor_code: self.vendor_code,
            model: self.model,
            available: !self.hidden,
            price_minor,
            price_from: self.price_from,
            old_price_minor,
            currency,
            category_id: self.category_id.ok_or(Reason::MissingCategory)?,
            url: self.url,
            pictures: self.pictures,
            description: self.description,
            params: self.params,
            barcodes: self.barcodes,
            stock: self.stock.or(self.in_outlets),
            weight_grams: self.weight_grams,
            dimensions_mm: self.dimensions_mm,
            sales_notes: self.sales_notes,
            country_of_origin: self.country_of_origin,
        })
    }

    /// `vendor.model` offers are named by their parts, the others by `<name>`; each falls back on the
    /// other, for shops mix them up.
    fn full_name(&self) -> Option<String> {
        let parts = || {
            self.model.as_ref()?;
            let parts: Vec<&str> = [&self.type_prefix, &self.vendor, &self.model]
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect();
            Some(parts.join(" "))
        };
        let given = || self.name.clone().or_else(|| self.title.clone());
        if self.by_parts { parts().or_else(given) } else { given().or_else(parts) }
    }
}

pub(crate) fn tag_reason(flaw: TagFlaw, field: &'static str, limits: &Limits) -> Reason {
    match flaw {
        TagFlaw::Malformed => Reason::BadAttributes { field },
        TagFlaw::TooMany => Reason::TooMany { field: "attributes", limit: limits.attributes },
        TagFlaw::UnknownEntity(name) => Reason::UnknownEntity { name: excerpt(&name) },
    }
}

/// Bytes that weren't of the feed's encoding have become U+FFFD.
fn unreadable(text: &str) -> bool {
    text.contains('\u{fffd}')
}

fn truthy(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "да")
}

fn first(slot: &mut Option<String>, value: String) {
    slot.get_or_insert(value);
}

/// Money must not depend on which of two values is read.
fn only(slot: &mut Option<String>, value: String, field: &'static str) -> Result<(), Reason> {
    match slot {
        Some(earlier) if *earlier != value => Err(Reason::Contradiction { field }),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

fn push<T>(list: &mut Vec<T>, value: T, field: &'static str, limit: usize) -> Result<(), Reason> {
    if list.len() == limit {
        return Err(Reason::TooMany { field, limit });
    }
    list.push(value);
    Ok(())
}

/// A count; `5.000` of accounting systems is 5.
fn whole(text: &str) -> Result<i32, Reason> {
    let count = Decimal::parse(text).and_then(|number| number.to_minor(0));
    let count = count.ok().and_then(|count| i32::try_from(count).ok());
    count.ok_or_else(|| Reason::BadStock { text: excerpt(text) })
}
