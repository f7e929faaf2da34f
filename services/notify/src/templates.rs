//! Messages from their templates: one text template for each kind of news and language, and one in HTML where it is told by
//! e-mail, in `templates/`.

use artel_proto::billing::Refund;
use artel_proto::identity::User;
use artel_proto::order::{Order, OrderItem};
use artel_util::{Error, money};
use chrono::{DateTime, FixedOffset, Utc};
use minijinja::{Captured, Environment, UndefinedBehavior, Value, context};

use crate::language::Language;

/// What happened to what is somebody's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum News<'a> {
    /// An order of the shop was placed.
    Placed(&'a Order),
    /// An order of the shop was cancelled.
    Cancelled(&'a Order),
    /// An order of dishes was paid.
    Paid(&'a Order),
    /// The order of dishes with this number is ready.
    Ready(i32),
    /// Money and points were given back.
    Refunded(&'a Refund),
}

/// The templates of news, each with whether it is told by e-mail and whether it is told to phones and devices: at once, or
/// not at all.
const NEWS: [(&str, bool, bool); 5] = [
    ("order_placed", true, false),
    ("order_cancelled", true, false),
    ("order_paid", false, true),
    ("order_ready", false, true),
    ("payment_refunded", false, false),
];
/// The template of a code.
const CODE: &str = "phone_code";
const LANGUAGES: [Language; 3] = [Language::Russian, Language::Kazakh, Language::English];

impl News<'_> {
    fn kind(&self) -> (&'static str, bool, bool) {
        NEWS[match self {
            Self::Placed(_) => 0,
            Self::Cancelled(_) => 1,
            Self::Paid(_) => 2,
            Self::Ready(_) => 3,
            Self::Refunded(_) => 4,
        }]
    }
}

/// What messages are written with.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub templates: Templates,
    /// The language of people who chose none.
    pub language: Language,
    /// The clock that times are told by.
    pub clock: FixedOffset,
}

/// A message in all its forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    pub language: Language,
    /// One line: the subject.
    pub title: String,
    /// A sentence, for the application.
    pub note: String,
    /// The e-mail, where it is told by e-mail.
    pub letter: Option<Letter>,
    /// The SMS, where it is told to phones.
    pub sms: Option<String>,
}

/// An e-mail in both its forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    /// As plain text.
    pub text: String,
    /// As HTML.
    pub html: String,
}

/// All templates, read from the binary and checked once.
#[derive(Debug, Clone)]
pub(crate) struct Templates(Environment<'static>);

/// What a template sees: everything is formatted already, so that templates only place it.
#[derive(Debug, Default)]
struct View {
    language: &'static str,
    title: String,
    name: String,
    number: String,
    time: String,
    count: String,
    total: String,
    items: Vec<Row>,
    /// The number on the board.
    board: i32,
    /// What of the total goes to the card; empty where nothing does.
    card: String,
    /// What of the total goes back as points; empty where nothing does.
    points: String,
}

#[derive(Debug)]
struct Row {
    name: String,
    quantity: i32,
    price: String,
    sum: String,
}

impl View {
    fn value(&self) -> Value {
        let row = |row: &Row| {
            context! {
                name => row.name.as_str(),
                quantity => row.quantity,
                price => row.price.as_str(),
                sum => row.sum.as_str(),
            }
        };
        context! {
            language => self.language,
            title => self.title.as_str(),
            name => self.name.as_str(),
            number => self.number.as_str(),
            time => self.time.as_str(),
            count => self.count.as_str(),
            total => self.total.as_str(),
            board => self.board,
            card => self.card.as_str(),
            points => self.points.as_str(),
            items => self.items.iter().map(row).collect::<Vec<_>>(),
        }
    }
}

macro_rules! templates {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../templates/", $name)))),+] };
}

const TEMPLATES: [(&str, &str); 28] = templates![
    "layout.html",
    "ru/layout.html",
    "ru/order_placed.html",
    "ru/order_placed.txt",
    "ru/order_cancelled.html",
    "ru/order_cancelled.txt",
    "ru/order_paid.txt",
    "ru/order_ready.txt",
    "ru/payment_refunded.txt",
    "ru/phone_code.txt",
    "kk/layout.html",
    "kk/order_placed.html",
    "kk/order_placed.txt",
    "kk/order_cancelled.html",
    "kk/order_cancelled.txt",
    "kk/order_paid.txt",
    "kk/order_ready.txt",
    "kk/payment_refunded.txt",
    "kk/phone_code.txt",
    "en/layout.html",
    "en/order_placed.html",
    "en/order_placed.txt",
    "en/order_cancelled.html",
    "en/order_cancelled.txt",
    "en/order_paid.txt",
    "en/order_ready.txt",
    "en/payment_refunded.txt",
    "en/phone_code.txt",
];

impl Templates {
    pub fn load() -> anyhow::Result<Self> {
        let mut environment = Environment::new();
        // A misspelt name in a template is an error and not an empty place in somebody's mail.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
            environment.add_template(name, source)?;
        }
        for language in LANGUAGES.map(Language::code) {
            environment.get_template(&format!("{language}/{CODE}.txt"))?;
            for (name, has_letter, _) in NEWS {
                environment.get_template(&format!("{language}/{name}.txt"))?;
                if has_letter {
                    environment.get_template(&format!("{language}/{name}.html"))?;
                }
            }
        }
        Ok(Self(environment))
    }

    fn render(
        &self,
        (name, has_letter, has_sms): (&str, bool, bool),
        language: Language,
        mut view: View,
    ) -> Result<Words, minijinja::Error> {
        let text = self.0.get_template(&format!("{}/{name}.txt", language.code()))?;
        let mut rendered = text.render_captured(view.value())?;
        let mut block = |name: &str| rendered_block(&mut rendered, name);
        let (title, note) = (block("title")?, block("note")?);
        let sms = if has_sms { Some(single_line(&block("sms")?)) } else { None };
        let text = if has_letter { Some(block("letter")?) } else { None };
        view.title = single_line(&title);
        let letter = match text {
            None => None,
            Some(text) => {
                let page = self.0.get_template(&format!("{}/{name}.html", language.code()))?;
                Some(Letter { text, html: page.render(view.value())? })
            }
        };
        Ok(Words { language, title: view.title, note: single_line(&note), letter, sms })
    }

    /// The SMS with a code.
    pub fn code(&self, language: Language, code: &str) -> Result<String, Error> {
        let template = self.0.get_template(&format!("{}/{CODE}.txt", language.code()));
        let text = template.and_then(|template| template.render(context! { code }));
        Ok(single_line(&text.map_err(Error::internal)?))
    }
}

fn rendered_block(rendered: &mut Captured<'_>, name: &str) -> Result<String, minijinja::Error> {
    rendered.with_state_mut(|state| state.render_block(name))
}

impl Voice {
    /// Writes to a person about what happened.
    pub fn write(
        &self,
        news: News<'_>,
        person: &User,
        language: Language,
        time: DateTime<Utc>,
    ) -> Result<Words, Error> {
        let view = View {
            language: language.code(),
            name: single_line(&person.display_name),
            time: language.moment(time.with_timezone(&self.clock)),
            ..match news {
                News::Placed(order) | News::Cancelled(order) | News::Paid(order) => {
                    View::order(order, language)
                }
                News::Ready(board) => View { board, ..View::default() },
                News::Refunded(refund) => View::refund(refund, language),
            }
        };
        self.templates.render(news.kind(), language, view).map_err(Error::internal)
    }
}

impl View {
    fn order(order: &Order, language: Language) -> Self {
        let total = order.total.as_ref().map(|sum| language.money(sum.amount_minor, &sum.currency));
        let row = |item: &OrderItem| {
            let price = item.price.clone().unwrap_or_default();
            let sum = money::times(price.amount_minor, item.quantity).unwrap_or(i64::MAX);
            Row {
                name: single_line(&item.name),
                quantity: item.quantity,
                price: language.money(price.amount_minor, &price.currency),
                sum: language.money(sum, &price.currency),
            }
        };
        Self {
            number: single_line(&order.number),
            count: language.goods(order.items.iter().map(|item| i64::from(item.quantity)).sum()),
            total: total.unwrap_or_default(),
            items: order.items.iter().map(row).collect(),
            board: order.board_number,
            ..Self::default()
        }
    }

    fn refund(refund: &Refund, language: Language) -> Self {
        let sum = |amount: i64| language.money(amount, &refund.currency);
        let part = |amount: i64| if amount > 0 { sum(amount) } else { String::new() };
        Self {
            total: sum(refund.amount_minor),
            card: part(refund.card_minor),
            points: part(refund.bonus_minor),
            ..Self::default()
        }
    }
}

/// Without line breaks and other control characters, so that it can't become more than the line it is meant to be.
fn single_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // Not split_whitespace: the no-break space inside a sum is to stay.
    spaced.split([' ', '\u{2028}', '\u{2029}']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(crate) mod tests;
