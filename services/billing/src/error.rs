//! What can be wrong with a payment or a refund, and what people are told.

use artel_util::Error;

use crate::outside::Answer;

/// Why it cannot be paid or given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such order, or somebody else's.
    NoSuchOrder,
    /// The order is not one that can be paid: it costs nothing, or its price is unknown.
    NoPrice,
    /// More points than the order costs.
    BonusTooMuch { asked: i64, most: i64 },
    /// The card has to pay, and there is none.
    NoCard { card_minor: i64 },
    /// The order costs something else than it did a moment ago.
    OrderChanged,
    /// The bank refuses the card.
    Declined { reason: String, message: String },
    /// The bank is away, or nobody knows what it did.
    BankAway,
    /// No such payment, or somebody else's.
    NoSuchPayment,
    /// Nothing was taken, or it is not sure yet.
    NotCaptured,
    /// More than is left.
    RefundTooMuch { asked: i64, left: i64 },
    /// The bank refuses to give it back.
    RefundRefused { message: String },
    /// Others give back of the same payment again and again.
    Busy,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchOrder => {
                Self::not_found("ORDER_NOT_FOUND", "There is no such order. Look at the list of your orders.")
            }
            Refusal::NoPrice => Self::invalid("orderId", "the order has no price that could be paid"),
            Refusal::BonusTooMuch { asked, most } => {
                Self::invalid("bonusAmount", format!("is {asked}, the order costs {most}"))
            }
            Refusal::NoCard { card_minor } => {
                Self::invalid("cardToken", format!("is needed: the card has to pay {card_minor}"))
            }
            Refusal::OrderChanged => {
                Self::precondition("ORDER_CHANGED", "The order has changed. Look at it again and pay anew.")
            }
            Refusal::Declined { reason, message } => Self::precondition(
                "CARD_DECLINED",
                format!("The bank declined the card: {message}. Nothing was taken. Try another card."),
            )
            .with("bankReason", reason),
            Refusal::BankAway => Self::unavailable(
                "BANK_UNAVAILABLE",
                "The bank does not answer. What it takes for this attempt all the same, you get back. Pay again in a while.",
            ),
            Refusal::NoSuchPayment => {
                Self::not_found("PAYMENT_NOT_FOUND", "There is no such payment. Check its id.")
            }
            Refusal::NotCaptured => Self::precondition(
                "PAYMENT_NOT_CAPTURED",
                "The payment has taken nothing that could be given back.",
            ),
            Refusal::RefundTooMuch { asked, left } => Self::precondition(
                "REFUND_TOO_MUCH",
                format!("Only {left} of the payment are left, and {asked} were asked for. Give back less."),
            )
            .with("left", left)
            .field("amountMinor", format!("is {asked}, {left} are left")),
            Refusal::RefundRefused { message } => Self::precondition(
                "REFUND_REFUSED",
                format!("The bank refuses to give it back: {message}. Nothing was given back."),
            ),
            Refusal::Busy => Self::new(
                tonic::Code::Aborted,
                "PAYMENT_CONTENDED",
                "Others give back of the same payment at the same time. Try again.",
            ),
        }
    }
}

/// What the bank's answer to a charge means for a payment.
pub(crate) enum Said<T> {
    Done(T),
    Refused(Error),
    NotDone(Error),
    Unknown(Error),
}

impl<T> From<Answer<T>> for Said<T> {
    fn from(answer: Answer<T>) -> Self {
        match answer {
            Answer::Done(done) => Self::Done(done),
            Answer::Refused { reason, message } => {
                Self::Refused(Refusal::Declined { reason, message }.into())
            }
            Answer::NotDone(why) => Self::NotDone(away(&why)),
            Answer::Unknown(why) => Self::Unknown(away(&why)),
        }
    }
}

/// The bank could not be asked; why is for the log.
pub(crate) fn away(why: &str) -> Error {
    Error::from(Refusal::BankAway).caused_by(why.to_owned())
}
