//! The reader: walks a feed from its head to its end and hands out what it finds.

use std::collections::{HashSet, VecDeque};
use std::io::Read;

use crate::error::excerpt;
use crate::field::web_address;
use crate::offer::{self, Draft};
use crate::seen::Seen;
use crate::xml::{Tag, Token, Xml};
use crate::{
    Bank, Category, Currency, CurrencyCode, Decimal, Error, FeedDate, Flaw, Item, Limits, Rate, Reason,
    Rejected, Shop, Warning, category, text,
};

/// A feed that is read as it arrives.
///
/// An iterator of its items; the first error ends it. What came before an error was sound, so a
/// caller who wants all or nothing waits for the end. The reader blocks where its input blocks: in
/// async code it belongs into `spawn_blocking`, fed through [`Chunks`](crate::Chunks).
pub struct Feed<'r> {
    xml: Xml<'r>,
    limits: Limits,
    place: Place,
    ready: VecDeque<Item>,
    done: bool,
    shop: Option<Shop>,
    shops: usize,
    currencies: Vec<Currency>,
    block: Vec<Category>,
    categories: HashSet<String>,
    categories_came: bool,
    waiting: Vec<Draft>,
    waiting_bytes: u64,
    seen: Seen,
}

/// The structural element that we are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Catalog,
    Shop,
    Currencies,
    Categories,
    Offers,
    Finish,
}

/// What a tag asks for; taken from it before the reader goes on.
enum Next {
    Enter(Place),
    ShopText(&'static str),
    Currency { line: u64, code: String, rate: Option<String>, plus: Option<String>, broken: bool },
    Category { line: u64, id: String, parent: Option<String>, broken: bool },
    Offer(Box<Draft>),
    Skip,
}

impl<'r> Feed<'r> {
    /// Reads with the default limits. Buffering is done here; a file needs no `BufReader`.
    pub fn new(input: impl Read + Send + 'r) -> Self {
        Self::with_limits(input, Limits::default())
    }

    /// Reads with these limits.
    pub fn with_limits(input: impl Read + Send + 'r, limits: Limits) -> Self {
        Self {
            xml: Xml::new(Box::new(input), limits.event_bytes),
            limits,
            place: Place::Start,
            ready: VecDeque::new(),
            done: false,
            shop: Some(Shop::default()),
            shops: 0,
            currencies: Vec::new(),
            block: Vec::new(),
            categories: HashSet::new(),
            categories_came: false,
            waiting: Vec::new(),
            waiting_bytes: 0,
            seen: Seen::new(),
        }
    }

    /// Bytes read so far, counted in UTF-8 (windows-1251 takes about half of that); for progress.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.xml.position()
    }

    /// The line (from 1) that the reader has come to.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.xml.line()
    }

    fn step(&mut self) -> Result<(), Error> {
        let before = self.xml.line();
        let next = match self.xml.next()? {
            Token::Open(tag) => read_tag(self.place, &tag, &self.limits, &mut self.shop, &mut self.ready)?,
            Token::Close(_) => return self.leave(),
            Token::End => return self.end(),
            Token::Text(text) | Token::CData(text)
                if self.place == Place::Start && !text.trim().is_empty() =>
            {
                return Err(Error::NotYml { line: before, found: format!("{:?}", excerpt(&text)) });
            }
            Token::Text(_) | Token::CData(_) | Token::Reference(_) | Token::Nothing => return Ok(()),
        };
        match next {
            Next::Enter(place) => self.enter(place),
            Next::ShopText(field) => self.shop_text(field),
            Next::Currency { line, code, rate, plus, broken } => {
                self.xml.skip("currencies")?;
                self.currency(line, &code, rate, plus, broken)
            }
            Next::Category { line, id, parent, broken } => self.category(line, id, parent, broken),
            Next::Offer(draft) => {
                let draft = offer::read(&mut self.xml, *draft, &self.limits)?;
                self.offer(draft)
            }
            Next::Skip => self.xml.skip(self.inside()),
        }
    }

    fn inside(&self) -> &'static str {
        match self.place {
            Place::Start | Place::Catalog | Place::Finish => "yml_catalog",
            Place::Shop => "shop",
            Place::Currencies => "currencies",
            Place::Categories => "categories",
            Place::Offers => "offers",
        }
    }

    fn enter(&mut self, place: Place) -> Result<(), Error> {
        match place {
            Place::Shop => {
                self.shops += 1;
                if self.shops > 1 {
                    let what = "a second <shop> stands in the feed".to_owned();
                    return Err(Error::Malformed { line: self.xml.line(), what });
                }
            }
            Place::Currencies | Place::Categories | Place::Offers => self.give_shop(),
            Place::Start | Place::Catalog | Place::Finish => {}
        }
        self.place = place;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error> {
        self.place = match self.place {
            Place::Currencies | Place::Offers => Place::Shop,
            Place::Categories => {
                self.ready.extend(category::arrange(std::mem::take(&mut self.block), &mut self.categories));
                self.categories_came = true;
                self.admit_waiting()?;
                Place::Shop
            }
            Place::Shop => {
                self.give_shop();
                self.categories_came = true;
                self.admit_waiting()?;
                Place::Catalog
            }
            Place::Start | Place::Catalog | Place::Finish => Place::Finish,
        };
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        self.done = true;
        let line = self.xml.line();
        match self.place {
            Place::Start => Err(Error::Empty),
            Place::Finish if self.shops == 0 => {
                Err(Error::Malformed { line, what: "there is no <shop> in <yml_catalog>".to_owned() })
            }
            Place::Finish => Ok(()),
            _ => Err(Error::Truncated { line, inside: self.inside() }),
        }
    }

    fn give_shop(&mut self) {
        self.ready.extend(self.shop.take().map(Item::Shop));
    }

    fn shop_text(&mut self, field: &'static str) -> Result<(), Error> {
        let value = self.xml.text(self.limits.field_bytes, "shop")?.unwrap_or_default();
        let value = text::line(&value);
        if let Some(shop) = &mut self.shop {
            match field {
                "name" => shop.name = value,
                "company" => shop.company = value,
                _ => shop.url = web_address(&value).unwrap_or_default(),
            }
        }
        Ok(())
    }

    fn currency(
        &mut self,
        line: u64,
        id: &str,
        rate: Option<String>,
        plus: Option<String>,
        broken: bool,
    ) -> Result<(), Error> {
        let Some(code) = CurrencyCode::parse(id).filter(|_| !broken) else {
            self.warn(line, Flaw::BadCurrency { id: excerpt(id) });
            return Ok(());
        };
        if self.currencies.iter().any(|known| known.code == code) {
            self.warn(line, Flaw::DuplicateCurrency { code });
            return Ok(());
        }
        let mut bad = None;
        let rate = rate.and_then(|text| {
            let rate = read_rate(&text);
            bad = rate.is_none().then_some(text);
            rate
        });
        let plus = plus.and_then(|text| {
            let plus = Decimal::parse(&text).ok();
            bad = bad.take().or((plus.is_none()).then_some(text));
            plus
        });
        if let Some(text) = bad {
            self.warn(line, Flaw::BadRate { code, text: excerpt(&text) });
        }
        let currency = Currency { code, rate, plus };
        self.currencies.push(currency.clone());
        self.ready.push_back(Item::Currency(currency));
        Ok(())
    }

    fn category(
        &mut self,
        line: u64,
        id: String,
        parent_id: Option<String>,
        broken: bool,
    ) -> Result<(), Error> {
        let name = self.xml.text(self.limits.field_bytes, "categories")?.map(|name| text::line(&name));
        let name =
            name.filter(|name| !name.is_empty() && name.chars().count() <= 255 && !name.contains('\u{fffd}'));
        match name {
            Some(name) if !broken => {
                let limit = self.limits.categories;
                if self.block.len() + self.categories.len() >= limit {
                    return Err(Error::TooMany { line, what: "categories", limit });
                }
                self.block.push(Category { id, parent_id, name, line });
            }
            _ => self.warn(line, Flaw::BadCategory { id: excerpt(&id) }),
        }
        Ok(())
    }

    fn offer(&mut self, draft: Draft) -> Result<(), Error> {
        if self.categories_came || draft.content.is_err() {
            return self.admit(draft);
        }
        let limit = self.limits.waiting_bytes;
        // A small offer takes more memory than its XML.
        self.waiting_bytes += draft.size.max(512);
        if self.waiting_bytes > limit {
            return Err(Error::CategoriesTooLate { line: draft.line, limit });
        }
        self.waiting.push(draft);
        Ok(())
    }

    fn admit_waiting(&mut self) -> Result<(), Error> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting).into_iter().try_for_each(|draft| self.admit(draft))
    }

    /// The checks that need the rest of the feed.
    fn admit(&mut self, draft: Draft) -> Result<(), Error> {
        let Draft { id, line, mut flaws, content, .. } = draft;
        let offer = content.and_then(|content| {
            let currency = self.currency_of(content.currency())?;
            if let Some(category) = content.category_id().filter(|id| !self.categories.contains(*id)) {
                return Err(Reason::UnknownCategory { id: excerpt(category) });
            }
            let id = id.clone().ok_or(Reason::MissingId)?;
            let offer = content.finish(id, line, currency, &mut flaws)?;
            // Last, so that only accepted offers claim an id.
            if self.seen.insert(&offer.id) { Ok(offer) } else { Err(Reason::DuplicateId) }
        });
        if self.seen.len() > self.limits.offers {
            return Err(Error::TooMany { line, what: "offers", limit: self.limits.offers });
        }
        match offer {
            Ok(offer) => {
                let warning = |flaw| Item::Warning(Warning { offer_id: id.clone(), line, flaw });
                self.ready.extend(flaws.into_iter().map(warning));
                self.ready.push_back(Item::Offer(Box::new(offer)));
            }
            Err(reason) => self.ready.push_back(Item::Rejected(Rejected { offer_id: id, line, reason })),
        }
        Ok(())
    }

    /// An offer that names no currency means the main one; a feed without `<currencies>` may use any.
    fn currency_of(&self, named: Option<&str>) -> Result<CurrencyCode, Reason> {
        let Some(named) = named else {
            let one = Decimal { units: 1, scale: 0 };
            let main = self.currencies.iter().find(|currency| currency.rate == Some(Rate::Fixed(one)));
            return main.map(|currency| currency.code).ok_or(Reason::MissingCurrency);
        };
        let code =
            CurrencyCode::parse(named).ok_or_else(|| Reason::UnknownCurrency { code: excerpt(named) })?;
        let declared =
            self.currencies.is_empty() || self.currencies.iter().any(|currency| currency.code == code);
        if declared { Ok(code) } else { Err(Reason::UndeclaredCurrency { code }) }
    }

    fn warn(&mut self, line: u64, flaw: Flaw) {
        self.ready.push_back(Item::Warning(Warning { offer_id: None, line, flaw }));
    }
}

impl Iterator for Feed<'_> {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            if self.done {
                return None;
            }
            if let Err(error) = self.step() {
                self.done = true;
                return Some(Err(error));
            }
        }
    }
}

fn read_tag(
    place: Place,
    tag: &Tag<'_>,
    limits: &Limits,
    shop: &mut Option<Shop>,
    ready: &mut VecDeque<Item>,
) -> Result<Next, Error> {
    Ok(match (place, tag.name()) {
        (Place::Start, "yml_catalog") => {
            let mut date = None;
            // A broken head isn't worth losing the feed.
            let _ = tag.attributes(limits.attributes, |key, value| {
                if key == "date" {
                    date = Some(value.into_owned());
                }
            });
            if let (Some(text), Some(shop)) = (date, shop) {
                shop.date = FeedDate::parse(&text);
                if shop.date.is_none() {
                    let flaw = Flaw::BadDate { text: excerpt(&text) };
                    ready.push_back(Item::Warning(Warning { offer_id: None, line: tag.line, flaw }));
                }
            }
            Next::Enter(Place::Catalog)
        }
        (Place::Start, other) => {
            return Err(Error::NotYml { line: tag.line, found: format!("<{}>", excerpt(other)) });
        }
        (Place::Catalog, "shop") => Next::Enter(Place::Shop),
        (Place::Shop, "name") => Next::ShopText("name"),
        (Place::Shop, "company") => Next::ShopText("company"),
        (Place::Shop, "url") => Next::ShopText("url"),
        (Place::Shop, "currencies") => Next::Enter(Place::Currencies),
        (Place::Shop, "categories") => Next::Enter(Place::Categories),
        (Place::Shop, "offers") => Next::Enter(Place::Offers),
        (Place::Currencies, "currency") => {
            let [mut code, mut rate, mut plus] = [None, None, None];
            let broken = tag
                .attributes(limits.attributes, |key, value| match key {
                    "id" => code = Some(value.into_owned()),
                    "rate" => rate = Some(value.into_owned()),
                    "plus" => plus = Some(value.into_owned()),
                    _ => {}
                })
                .is_err();
            Next::Currency { line: tag.line, code: code.unwrap_or_default(), rate, plus, broken }
        }
        (Place::Categories, "category") => {
            let [mut id, mut parent] = [None, None];
            let read = tag.attributes(limits.attributes, |key, value| match key {
                "id" => id = Some(text::line(&value)),
                "parentId" => parent = Some(text::line(&value)),
                _ => {}
            });
            let id = id.unwrap_or_default();
            let fits = |id: &str| id.chars().count() <= limits.id_chars && !id.contains('\u{fffd}');
            let parent = parent.filter(|parent| !parent.is_empty());
            let broken = read.is_err() || id.is_empty() || !fits(&id) || !parent.as_deref().is_none_or(fits);
            Next::Category { line: tag.line, id, parent, broken }
        }
        (Place::Offers, "offer") => Next::Offer(Box::new(Draft::open(tag, limits))),
        _ => Next::Skip,
    })
}

fn read_rate(text: &str) -> Option<Rate> {
    Some(match text.trim().to_ascii_uppercase().as_str() {
        "CBRF" => Rate::Bank(Bank::Cbrf),
        "NBU" => Rate::Bank(Bank::Nbu),
        "NBK" => Rate::Bank(Bank::Nbk),
        "CB" => Rate::Bank(Bank::Cb),
        number => Rate::Fixed(Decimal::parse(number).ok()?),
    })
}
