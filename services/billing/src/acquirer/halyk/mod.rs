//! Halyk Epay: one-step payments by saved cards.
//!
//! The bank knows a payment by an invoice of 6 to 15 digits, so ours is a number made of the payment's id; the id itself goes
//! along as `accountId`, and an invoice that carries another is not ours. Among a million payments two share a number with a
//! chance of 1 in 2,000, and the second of them is refused.

mod client;
mod codes;
mod wire;

use std::time::{Duration, Instant};

use artel_outside::{Failed, Reply};
use async_trait::async_trait;
use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};

use self::client::Client;
use self::codes::Verdict;
use super::settings::HalykSettings;
use super::{Acquirer, Charge, Charged, GiveBack, GivenBack};
use crate::outside::{Answer, Away, major};

/// Halyk Epay.
pub(crate) struct Halyk(Client);

/// What a post-link is about: the payment's id. It is not signed: nothing else in it may be believed.
pub(crate) fn payment_of(post_link: &[u8]) -> Option<String> {
    let told: wire::PostLink = serde_json::from_slice(post_link).ok()?;
    (invoice(&told.account_id) == told.invoice_id).then_some(told.account_id)
}

impl Halyk {
    pub fn new(settings: &HalykSettings, within: Duration) -> anyhow::Result<Self> {
        Ok(Self(Client::new(settings, within)?))
    }

    async fn charge_by(&self, charge: &Charge, deadline: Instant) -> Answer<Charged> {
        let Some(amount) = major(charge.amount_minor, &charge.currency) else {
            return Answer::refused("amount", "the bank cannot take such a sum");
        };
        let invoice = invoice(&charge.key);
        let reply = match self.0.pay(charge, &invoice, &amount, deadline).await {
            Ok(reply) => reply,
            Err(failed) => return failed.into(),
        };
        if reply.status.is_success() {
            return match reply.read::<wire::Paid>() {
                Ok(paid) if paid.is(charge) => Answer::Done(paid.into()),
                Ok(_) => Answer::Unknown("the bank answered about another charge".to_owned()),
                Err(failed) => failed.into(),
            };
        }
        let problem = match refusal(&reply) {
            Ok(problem) => problem,
            Err(failed) => return failed.into(),
        };
        match Verdict::of(&problem.code.to_string()) {
            Verdict::Declined(reason) => Answer::refused(reason, problem.message),
            Verdict::Unclear => Answer::Unknown(format!("answered {}: {}", problem.code, problem.message)),
            // It may say that the invoice was paid, by a request whose answer was lost.
            Verdict::NotCard => match self.find_charge_by(&charge.key, deadline).await {
                Ok(Some(charged)) => Answer::Done(charged),
                Ok(None) => Answer::refused("not_accepted", problem.message),
                Err(away) => Answer::Unknown(away.0),
            },
        }
    }

    async fn find_charge_by(&self, key: &str, deadline: Instant) -> Result<Option<Charged>, Away> {
        Ok(self.transaction(key, deadline).await?.map(|(transaction, original_minor)| Charged {
            transaction_id: transaction.id,
            card_mask: transaction.card_mask,
            amount_minor: original_minor,
        }))
    }

    async fn refund_by(&self, refund: &GiveBack, deadline: Instant) -> Answer<GivenBack> {
        let Some(amount) = major(refund.amount_minor, &refund.currency) else {
            return Answer::refused("amount", "the bank cannot give back such a sum");
        };
        let reply = match self.0.refund(refund, &amount, deadline).await {
            Ok(reply) => reply,
            Err(failed) => return failed.into(),
        };
        if reply.status.is_success() {
            let given = reply.read::<wire::Given>().unwrap_or_default();
            return Answer::Done(GivenBack { transaction_id: given.id });
        }
        let problem = match refusal(&reply) {
            Ok(problem) => problem,
            Err(failed) => return failed.into(),
        };
        match self.find_refund_by(refund, deadline).await {
            Ok(Some(given)) => Answer::Done(given),
            Ok(None) => Answer::refused("refund_refused", problem.message),
            Err(away) => Answer::Unknown(away.0),
        }
    }

    async fn find_refund_by(&self, refund: &GiveBack, deadline: Instant) -> Result<Option<GivenBack>, Away> {
        let Some((transaction, original_minor)) = self.transaction(&refund.payment_key, deadline).await?
        else {
            return Ok(None);
        };
        match transaction.refunds {
            Some(refunds) => {
                let given = refunds.into_iter().find(|given| given.external_id == refund.key);
                Ok(given.map(|given| GivenBack { transaction_id: given.id }))
            }
            None if transaction.left_minor() == Some(original_minor) => Ok(None),
            None => Err(Away("the bank does not say which refunds it has made".to_owned())),
        }
    }

    /// The charge of a payment with the sum that was taken at first, where money was taken.
    async fn transaction(
        &self,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<(wire::Transaction, i64)>, Away> {
        let reply = self.0.status(&invoice(key), deadline).await?;
        let status: wire::Status = reply.read()?;
        let code = status.result_code.to_string();
        let transaction = match (code.as_str(), status.transaction) {
            ("102", _) => return Ok(None),
            ("100" | "101", Some(transaction)) => transaction,
            ("101", None) => return Ok(None),
            _ => return Err(Away(format!("answered {code}: {}", status.result_message))),
        };
        match transaction.status_name.as_str() {
            "CHARGE" | "REFUND" => {}
            "FAILED" | "REJECT" | "CANCEL" | "CANCEL_OLD" | "EXPIRED" => return Ok(None),
            // A card that is being asked, or money that is held and not taken: it may become a charge yet.
            other => return Err(Away(format!("the payment is {other} at the bank"))),
        }
        if transaction.account_id != key {
            return Ok(None);
        }
        let original = transaction
            .original_minor()
            .ok_or_else(|| Away("the bank told a sum that is not understood".to_owned()))?;
        Ok(Some((transaction, original)))
    }
}

#[async_trait]
impl Acquirer for Halyk {
    fn name(&self) -> &'static str {
        "halyk"
    }

    async fn charge(&self, charge: &Charge) -> Answer<Charged> {
        self.charge_by(charge, self.0.deadline()).await
    }

    async fn find_charge(&self, key: &str) -> Result<Option<Charged>, Away> {
        self.find_charge_by(key, self.0.deadline()).await
    }

    async fn refund(&self, refund: &GiveBack) -> Answer<GivenBack> {
        self.refund_by(refund, self.0.deadline()).await
    }

    async fn find_refund(&self, refund: &GiveBack) -> Result<Option<GivenBack>, Away> {
        self.find_refund_by(refund, self.0.deadline()).await
    }
}

/// The bank's number of a payment: 15 digits of its id's digest.
fn invoice(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    let number = digest.iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    format!("{:015}", number % 1_000_000_000_000_000)
}

/// What the bank says against it; nothing was done where it is about us and not about the payment.
fn refusal(reply: &Reply) -> Result<wire::Problem, Failed> {
    let ours = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED,
    ];
    match reply.read::<wire::Problem>() {
        Ok(problem) if !ours.contains(&reply.status) => Ok(problem),
        Ok(problem) => Err(Failed::NotDone(format!("answered {}: {}", reply.status, problem.message))),
        Err(_) => Err(Failed::NotDone(format!("answered {}", reply.status))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_is_15_digits_and_always_the_same() {
        let id = "0193a000-0000-7000-8000-000000000007";
        let number = invoice(id);
        assert_eq!(number.len(), 15);
        assert!(number.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
        assert_eq!(number, invoice(id));
        assert_ne!(number, invoice("0193a000-0000-7000-8000-000000000008"));
    }

    #[test]
    fn a_post_link_names_a_payment_only_where_its_invoice_is_that_payments() {
        let id = "0193a000-0000-7000-8000-000000000007";
        let told = |invoice: &str| format!(r#"{{"accountId":"{id}","invoiceId":"{invoice}","code":"ok"}}"#);
        assert_eq!(payment_of(told(&invoice(id)).as_bytes()).as_deref(), Some(id));
        assert_eq!(payment_of(told("000000000000001").as_bytes()), None);
        assert_eq!(payment_of(b"{}"), None);
        assert_eq!(payment_of(b"<html>"), None);
    }

    #[tokio::test]
    async fn an_invoice_that_carries_another_payment_is_not_ours() {
        use crate::acquirer::tests::{charge, halyk_settings};
        use artel_vendors::bank::{self, Effect};

        let _ = rustls::crypto::ring::default_provider().install_default();
        let bank = bank::start(bank::Options::default()).await.unwrap();
        let halyk = Halyk::new(&halyk_settings(&bank.url()), Duration::from_secs(5)).unwrap();
        let (first, second) = (charge("tok_visa_4242", 100), charge("tok_visa_4242", 100));
        // The first is paid under the number that the second would have.
        let (number, amount) = (invoice(&second.key), major(100, "KZT").unwrap());
        let reply = halyk.0.pay(&first, &number, &amount, halyk.0.deadline()).await.unwrap();
        assert!(reply.status.is_success());
        assert_eq!(halyk.find_charge(&second.key).await.unwrap(), None);
        let answer = halyk.charge(&second).await;
        assert!(
            matches!(answer, Answer::Refused { ref reason, .. } if reason == "not_accepted"),
            "{answer:?}"
        );
        let charged = bank.ledger().iter().filter(|it| matches!(it.effect, Effect::Charged(_))).count();
        assert_eq!(charged, 1);
    }
}
