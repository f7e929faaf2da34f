//! Messages from their templates: one text and one HTML template for each change and language, in `templates/`.

use artel_proto::identity::User;
use artel_proto::order::Order;
use artel_util::{Error, money};
use chrono::{DateTime, FixedOffset, Utc};
use minijinja::{Captured, Environment, UndefinedBehavior, Value, context};

use crate::language::Language;

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Placed,
    Cancelled,
}

impl Change {
    pub const ALL: [Self; 2] = [Self::Placed, Self::Cancelled];

    fn name(self) -> &'static str {
        match self {
            Self::Placed => "order_placed",
            Self::Cancelled => "order_cancelled",
        }
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
    /// The e-mail as plain text.
    pub text: String,
    /// The e-mail as HTML.
    pub html: String,
}

/// All templates, read from the binary and checked once.
#[derive(Debug, Clone)]
pub(crate) struct Templates(Environment<'static>);

/// What a template sees: everything is formatted already, so that templates only place it.
#[derive(Debug)]
struct View {
    language: &'static str,
    title: String,
    name: String,
    number: String,
    time: String,
    count: String,
    total: String,
    items: Vec<Row>,
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
            items => self.items.iter().map(row).collect::<Vec<_>>(),
        }
    }
}

macro_rules! templates {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../templates/", $name)))),+] };
}

const TEMPLATES: [(&str, &str); 16] = templates![
    "layout.html",
    "ru/layout.html",
    "ru/order_placed.html",
    "ru/order_placed.txt",
    "ru/order_cancelled.html",
    "ru/order_cancelled.txt",
    "kk/layout.html",
    "kk/order_placed.html",
    "kk/order_placed.txt",
    "kk/order_cancelled.html",
    "kk/order_cancelled.txt",
    "en/layout.html",
    "en/order_placed.html",
    "en/order_placed.txt",
    "en/order_cancelled.html",
    "en/order_cancelled.txt",
];

impl Templates {
    pub fn load() -> anyhow::Result<Self> {
        let mut environment = Environment::new();
        // A misspelt name in a template is an error and not an empty place in somebody's mail.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
            environment.add_template(name, source)?;
        }
        for change in Change::ALL {
            for language in [Language::Russian, Language::Kazakh, Language::English] {
                environment.get_template(&format!("{}/{}.txt", language.code(), change.name()))?;
                environment.get_template(&format!("{}/{}.html", language.code(), change.name()))?;
            }
        }
        Ok(Self(environment))
    }

    fn render(&self, change: Change, language: Language, mut view: View) -> Result<Words, minijinja::Error> {
        let text = self.0.get_template(&format!("{}/{}.txt", language.code(), change.name()))?;
        let mut rendered = text.render_captured(view.value())?;
        let mut block = |name: &str| rendered_block(&mut rendered, name);
        let (title, note, letter) = (block("title")?, block("note")?, block("letter")?);
        view.title = single_line(&title);
        let page = self.0.get_template(&format!("{}/{}.html", language.code(), change.name()))?;
        let html = page.render(view.value())?;
        Ok(Words { language, title: view.title, note: single_line(&note), text: letter, html })
    }
}

fn rendered_block(rendered: &mut Captured<'_>, name: &str) -> Result<String, minijinja::Error> {
    rendered.with_state_mut(|state| state.render_block(name))
}

impl Voice {
    /// Writes to a person about a change of their order.
    pub fn write(
        &self,
        change: Change,
        order: &Order,
        person: &User,
        language: Language,
        time: DateTime<Utc>,
    ) -> Result<Words, Error> {
        let view = View {
            language: language.code(),
            title: String::new(),
            name: single_line(&person.display_name),
            number: single_line(&order.number),
            time: language.moment(time.with_timezone(&self.clock)),
            count: language.goods(order.items.iter().map(|item| i64::from(item.quantity)).sum()),
            total: order
                .total
                .as_ref()
                .map(|sum| language.money(sum.amount_minor, &sum.currency))
                .unwrap_or_default(),
            items: order
                .items
                .iter()
                .map(|item| {
                    let price = item.price.clone().unwrap_or_default();
                    let sum = money::times(price.amount_minor, item.quantity).unwrap_or(i64::MAX);
                    Row {
                        name: single_line(&item.name),
                        quantity: item.quantity,
                        price: language.money(price.amount_minor, &price.currency),
                        sum: language.money(sum, &price.currency),
                    }
                })
                .collect(),
        };
        self.templates.render(change, language, view).map_err(Error::internal)
    }
}

/// Without line breaks and other control characters, so that it can't become more than the line it is meant to be.
fn single_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // Not split_whitespace: the no-break space inside a sum is to stay.
    spaced.split([' ', '\u{2028}', '\u{2029}']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(crate) mod tests {
    use artel_proto::order::OrderItem;
    use artel_proto::types::Money;

    use super::*;
    use crate::config::tests::settings;

    pub(crate) fn voice() -> Voice {
        settings("").unwrap().voice(Templates::load().unwrap()).unwrap()
    }

    pub(crate) fn order() -> Order {
        let rubles = |amount_minor| Some(Money { amount_minor, currency: "RUB".to_owned() });
        let item = |name: &str, quantity, price| OrderItem {
            product_id: artel_util::new_id(),
            name: name.to_owned(),
            quantity,
            price: rubles(price),
            ..OrderItem::default()
        };
        Order {
            id: "0193a000-0000-7000-8000-000000000001".to_owned(),
            number: "A7-20417".to_owned(),
            user_id: "0193a000-0000-7000-8000-0000000000aa".to_owned(),
            items: vec![
                item("Чайник «Заря» 1,7 л", 1, 249_000),
                item("Cable <b>USB-C</b> & \"friends\"\r\nBcc: all@example.com", 3, 45_050),
            ],
            total: rubles(384_150),
            ..Order::default()
        }
    }

    pub(crate) fn person() -> User {
        User {
            id: "0193a000-0000-7000-8000-0000000000aa".to_owned(),
            email: Some("aigul@example.com".to_owned()),
            display_name: "Айгүл <script>".to_owned(),
            locale: "kk".to_owned(),
            ..User::default()
        }
    }

    fn written(change: Change, language: Language) -> Words {
        let time = DateTime::parse_from_rfc3339("2026-11-21T05:05:00Z").unwrap().to_utc();
        voice().write(change, &order(), &person(), language, time).unwrap()
    }

    #[test]
    fn messages_read_well_in_every_language() {
        for language in [Language::Russian, Language::Kazakh, Language::English] {
            for change in Change::ALL {
                let words = written(change, language);
                let name = format!("{}_{}", language.code(), change.name());
                insta::assert_snapshot!(
                    format!("{name}.txt"),
                    format!("{}\n\n{}\n\n{}", words.title, words.note, words.text)
                );
                insta::assert_snapshot!(format!("{name}.html"), words.html);
            }
        }
    }

    #[test]
    fn what_people_typed_stays_text() {
        let words = written(Change::Placed, Language::English);
        assert!(
            words.html.contains(
                "Cable &lt;b&gt;USB-C&lt;&#x2f;b&gt; &amp; &quot;friends&quot; Bcc: all@example.com"
            )
        );
        assert!(!words.html.contains("<script>"));
        assert!(
            words.text.contains("- Cable <b>USB-C</b> & \"friends\" Bcc: all@example.com: 3 × "),
            "{}",
            words.text
        );
        assert!(!words.title.contains('\n') && !words.note.contains('\n'));
    }

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(single_line(" a\r\n\tb\u{2028}c  \u{0}d "), "a b c d");
        assert_eq!(single_line("1\u{a0}234,00\u{a0}₽"), "1\u{a0}234,00\u{a0}₽");
    }
}
