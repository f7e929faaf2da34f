//! What ATOL Online says and hears.

use artel_proto::billing::{Receipt, ReceiptLine};
use artel_util::money;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::outside::major;
use crate::printer::Settings;

/// How the law numbers ways to pay.
const ELECTRONIC: u8 = 1;
const PREPAID: u8 = 2;
/// The longest name of an item, in characters.
const LONGEST_NAME: usize = 128;

#[derive(Serialize)]
pub(super) struct Login<'a> {
    pub login: &'a str,
    pub pass: &'a str,
}

#[derive(Deserialize)]
pub(super) struct Grant {
    pub token: Option<String>,
    pub error: Option<Problem>,
}

#[derive(Serialize)]
pub(super) struct Document<'a> {
    external_id: &'a str,
    timestamp: String,
    receipt: Paper<'a>,
}

#[derive(Serialize)]
struct Paper<'a> {
    client: Contact<'a>,
    company: Company<'a>,
    items: Vec<Item<'a>>,
    payments: Vec<Payment>,
    total: Number,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Contact<'a> {
    Email(&'a str),
    Phone(&'a str),
}

#[derive(Serialize)]
struct Company<'a> {
    email: &'a str,
    sno: &'a str,
    inn: &'a str,
    payment_address: &'a str,
}

#[derive(Serialize)]
struct Item<'a> {
    name: String,
    price: Number,
    quantity: i32,
    sum: Number,
    payment_method: &'static str,
    payment_object: &'static str,
    vat: Vat<'a>,
}

#[derive(Serialize)]
struct Vat<'a> {
    r#type: &'a str,
}

#[derive(Serialize)]
struct Payment {
    r#type: u8,
    sum: Number,
}

impl<'a> Document<'a> {
    /// `None` where the sums don't add up or can't be written.
    pub fn of(receipt: &'a Receipt, timestamp: String, settings: &'a Settings) -> Option<Self> {
        let currency = receipt.currency.as_str();
        let sold = receipt.lines.iter().map(|line| money::times(line.price_minor, line.quantity));
        let sold = money::sum(sold.collect::<Option<Vec<_>>>()?)?;
        let paid = receipt.card_minor.checked_add(receipt.bonus_minor)?;
        if sold != receipt.amount_minor || paid != receipt.amount_minor {
            return None;
        }
        let ways = [(ELECTRONIC, receipt.card_minor), (PREPAID, receipt.bonus_minor)];
        let payments = ways.into_iter().filter(|(_, sum)| *sum != 0);
        let payments = payments.map(|(r#type, sum)| Some(Payment { r#type, sum: major(sum, currency)? }));
        let contact = match receipt.contact.as_str() {
            "" => Contact::Email(&settings.email),
            email if email.contains('@') => Contact::Email(email),
            phone => Contact::Phone(phone),
        };
        Some(Self {
            external_id: &receipt.id,
            timestamp,
            receipt: Paper {
                client: contact,
                company: Company {
                    email: &settings.email,
                    sno: &settings.sno,
                    inn: &settings.inn,
                    payment_address: &settings.payment_address,
                },
                items: receipt
                    .lines
                    .iter()
                    .map(|line| item(line, currency, &settings.vat))
                    .collect::<Option<_>>()?,
                payments: payments.collect::<Option<_>>()?,
                total: major(receipt.amount_minor, currency)?,
            },
        })
    }
}

fn item<'a>(line: &ReceiptLine, currency: &str, vat: &'a str) -> Option<Item<'a>> {
    Some(Item {
        name: line.name.chars().take(LONGEST_NAME).collect(),
        price: major(line.price_minor, currency)?,
        quantity: line.quantity,
        sum: major(money::times(line.price_minor, line.quantity)?, currency)?,
        payment_method: "full_payment",
        payment_object: "commodity",
        vat: Vat { r#type: vat },
    })
}

#[derive(Deserialize)]
pub(super) struct Taken {
    pub uuid: Option<String>,
    pub error: Option<Problem>,
}

#[derive(Deserialize)]
pub(super) struct State {
    #[serde(default)]
    pub status: String,
    pub payload: Option<Printed>,
    pub error: Option<Problem>,
}

#[derive(Deserialize)]
pub(super) struct Printed {
    pub fiscal_document_number: u64,
    #[serde(default)]
    pub receipt_datetime: String,
}

#[derive(Deserialize)]
pub(super) struct Problem {
    pub code: i64,
    #[serde(default)]
    pub text: String,
}
