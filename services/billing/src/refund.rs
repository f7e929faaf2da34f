//! Giving money back: a saga over the bank and the points.

use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_client::{Call, Channel};
use artel_process::{Begin, Engine, Outcome, Process, Saga, SagaState, Table, Turn};
use artel_proto::billing::{
    Payment, PaymentRefunded, PaymentStatus, ReceiptQueued, Refund, RefundPaymentRequest, RefundStatus,
};
use artel_proto::bonus::ReturnBonusRequest;
use artel_proto::bonus::bonus_service_client::BonusServiceClient;
use artel_proto::order::Order;
use artel_repo::{Commit, Delta, Query, Repo, digest};
use artel_util::{Error, new_id};

use crate::acquirer::{Acquirer, GiveBack};
use crate::domain::{proportion, refundable, sale_back, standing};
use crate::error::{Refusal, away};
use crate::outside::Answer;

/// How often it is begun anew when others give back of the same payment.
const ATTEMPTS: usize = 8;
/// Most refunds that one payment can have.
const MOST: i32 = 1000;

/// What refunds are made with.
pub(crate) struct Refunds {
    repo: Repo,
    points: BonusServiceClient<Channel>,
    bank: Arc<dyn Acquirer>,
}

/// A refund and what it is of.
#[derive(Debug, Clone)]
pub(crate) struct Refunding {
    pub refund: Refund,
    pub payment: Payment,
    pub order: Order,
}

type Step = Outcome<Refunds>;

/// The sum is claimed with the first record. There is no way back from then on: the bank gives the money back or refuses,
/// and what it refuses is let go of.
impl Process for Refunds {
    const KIND: &'static str = "billing.refund";
    type Subject = Refunding;

    fn table() -> Table<Self> {
        Table::new()
            .forward("bank", Self::give_back)
            .forward("points", Self::return_points)
            .when(gives_points)
    }

    async fn load(&self, call: &Call, id: &str) -> Result<Refunding, Error> {
        let refund: Option<Refund> = self.repo.get(call, id).await?;
        let refund = refund.ok_or(Refusal::NoSuchPayment)?;
        let payment: Option<Payment> = self.repo.get(call, &refund.payment_id).await?;
        let payment = payment.ok_or(Refusal::NoSuchPayment)?;
        let order: Option<Order> = self.repo.get(call, &payment.order_id).await?;
        Ok(Refunding { order: order.ok_or(Refusal::NoSuchOrder)?, payment, refund })
    }

    fn end(&self, _: &Saga, refunding: &Refunding, commit: Commit) -> Commit {
        let Refunding { refund, payment, order } = refunding;
        let refused = is_refused(refund);
        let outcome = if refused { "refused" } else { "completed" };
        metrics::counter!("artel_billing_refunds_total", "outcome" => outcome).increment(1);
        if refused {
            return commit;
        }
        let mut refund = refund.clone();
        refund.set_status(RefundStatus::Completed);
        let receipt = sale_back(payment, order, &refund);
        let told = PaymentRefunded {
            payment_id: payment.id.clone(),
            order_id: payment.order_id.clone(),
            user_id: payment.user_id.clone(),
            refund: Some(refund.clone()),
            payment: Some(Payment { card_token: String::new(), ..payment.clone() }),
        };
        commit
            .update(&refund, &["status"])
            .insert(&receipt)
            .publish(&ReceiptQueued { receipt_id: receipt.id.clone() })
            .publish(&told)
    }
}

fn gives_points(refunding: &Refunding) -> bool {
    refunding.refund.bonus_minor > 0 && !is_refused(&refunding.refund)
}

fn is_refused(refund: &Refund) -> bool {
    refund.status() == RefundStatus::Failed
}

impl Refunds {
    pub fn new(repo: Repo, bonus: Channel, bank: Arc<dyn Acquirer>) -> Self {
        Self { repo, points: BonusServiceClient::new(bonus), bank }
    }

    /// The card's part. Where an attempt was made before, the bank is asked for it first.
    async fn give_back(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let Refunding { refund, payment, .. } = &turn.subject;
        if refund.card_minor == 0 {
            return Outcome::Done(turn.subject, Commit::new());
        }
        let back = GiveBack {
            key: refund.id.clone(),
            payment_key: payment.id.clone(),
            transaction_id: payment.transaction_id.clone(),
            amount_minor: refund.card_minor,
            currency: refund.currency.clone(),
        };
        if turn.attempt > 1 {
            match self.bank.find_refund(&back).await {
                Ok(Some(given)) => return given_back(turn.subject, given.transaction_id),
                Ok(None) => {}
                Err(why) => return Outcome::Unknown(away(&why.0)),
            }
        }
        match self.bank.refund(&back).await {
            Answer::Done(given) => given_back(turn.subject, given.transaction_id),
            Answer::Refused { reason, message } => refused(turn.subject, &reason, message),
            Answer::NotDone(why) => Outcome::NotDone(away(&why)),
            Answer::Unknown(why) => Outcome::Unknown(away(&why)),
        }
    }

    async fn return_points(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let Refunding { refund, payment, .. } = &turn.subject;
        let asked = ReturnBonusRequest {
            id: refund.id.clone(),
            payment_id: payment.id.clone(),
            order_id: payment.order_id.clone(),
            amount: refund.bonus_minor,
        };
        let answer = self.points.clone().return_bonus(turn.call.request(asked)).await;
        Outcome::of(turn.subject, answer)
    }

    /// The refund that is asked for, under the payment as it is now.
    async fn draft(&self, call: &Call, asked: &RefundPaymentRequest) -> Result<(Refunding, Commit), Error> {
        let payment: Option<Payment> = self.repo.get(call, &asked.id).await?;
        let mut payment = payment.ok_or(Refusal::NoSuchPayment)?;
        if payment.status() != PaymentStatus::Completed {
            return Err(Refusal::NotCaptured.into());
        }
        let amount_minor = refundable(&payment, asked.amount_minor)?;
        let others = standing(refunds_of(&self.repo, call, &payment.id).await?);
        let parts = proportion(&payment, &others, amount_minor);
        let order: Option<Order> = self.repo.get(call, &payment.order_id).await?;
        let mut refund = Refund {
            id: new_id(),
            payment_id: payment.id.clone(),
            amount_minor,
            bonus_minor: parts.bonus_minor,
            card_minor: parts.card_minor,
            currency: payment.currency.clone(),
            before_minor: payment.refunded_minor,
            comment: asked.comment.clone(),
            actor_id: call.user_id()?.to_owned(),
            ..Refund::default()
        };
        refund.set_status(RefundStatus::Pending);
        // Whoever gave back in between has changed the payment: what is due is not what was computed.
        let claimed = Delta::add("refunded_minor", amount_minor).ceiling(payment.amount_minor);
        let commit = Commit::new()
            .adjust::<Payment>(&payment.id, [claimed])
            .expect_version(payment.version)
            .insert(&refund);
        payment.refunded_minor += amount_minor;
        Ok((Refunding { refund, payment, order: order.ok_or(Refusal::NoSuchOrder)? }, commit))
    }
}

fn given_back(mut refunding: Refunding, transaction_id: String) -> Step {
    refunding.refund.transaction_id = transaction_id;
    let commit = Commit::new().update(&refunding.refund, &["transaction_id"]);
    Outcome::Done(refunding, commit)
}

/// The bank refuses: what was claimed can be given back another way.
fn refused(mut refunding: Refunding, reason: &str, message: String) -> Step {
    let refund = &mut refunding.refund;
    tracing::warn!(refund = refund.id, reason, message, "the bank refuses a refund");
    refund.set_status(RefundStatus::Failed);
    refund.error = message;
    let commit = Commit::new()
        .update(refund, &["status", "error"])
        .adjust::<Payment>(&refund.payment_id, [Delta::add("refunded_minor", -refund.amount_minor).floor(0)]);
    Outcome::Done(refunding, commit)
}

/// The refunds of a payment, the oldest first.
pub(crate) async fn refunds_of(repo: &Repo, call: &Call, payment_id: &str) -> Result<Vec<Refund>, Error> {
    let query = Query::new().equal("payment_id", payment_id).page(MOST, "");
    Ok(repo.query::<Refund>(call, query).await?.items)
}

/// Gives money back, once for a key, and waits for how it ends.
pub(crate) async fn refund(
    engine: &Engine<Refunds>,
    call: &Call,
    asked: &RefundPaymentRequest,
    within: Duration,
) -> Result<Refund, Error> {
    let until = Instant::now().checked_add(call.time_left(within));
    let call = &Call { deadline: until, ..call.clone() };
    let refunds = engine.process();
    let key = format!("payment.refund/{}/{}", call.user_id()?, asked.idempotency_key);
    let id = match refunds.repo.recall(call, &key, digest(asked)).await? {
        Some(id) => String::from_utf8_lossy(&id).into_owned(),
        None => begin(engine, call, asked, &key).await?,
    };
    let saga = engine.wait(call, &id).await?;
    debug_assert_eq!(saga.state(), SagaState::Done);
    let refund: Option<Refund> = refunds.repo.get(call, &id).await?;
    let refund = refund.ok_or(Refusal::NoSuchPayment)?;
    if is_refused(&refund) {
        return Err(Refusal::RefundRefused { message: refund.error }.into());
    }
    Ok(refund)
}

async fn begin(
    engine: &Engine<Refunds>,
    call: &Call,
    asked: &RefundPaymentRequest,
    key: &str,
) -> Result<String, Error> {
    for _ in 0..ATTEMPTS {
        let (refunding, commit) = engine.process().draft(call, asked).await?;
        let begin = Begin {
            id: refunding.refund.id.clone(),
            subject: refunding,
            commit,
            key: key.to_owned(),
            digest: digest(asked),
        };
        match engine.begin(call, begin).await {
            Err(error) if matches!(error.reason(), "PRECONDITION_FAILED" | "ROW_NOT_FOUND") => {}
            begun => return begun,
        }
    }
    Err(Refusal::Busy.into())
}
