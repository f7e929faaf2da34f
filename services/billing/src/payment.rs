//! The payment of an order: a saga over the order, the kitchen, the points and the bank.

use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_client::{Call, Channel};
use artel_config::Secret;
use artel_process::{Begin, Engine, Outcome, Process, Saga, SagaState, Table, Turn, refusal};
use artel_proto::billing::{
    PayOrderRequest, PayOrderResponse, Payment, PaymentFailed, PaymentStatus, ReceiptQueued,
};
use artel_proto::bonus::bonus_service_client::BonusServiceClient;
use artel_proto::bonus::{HoldBonusRequest, ReleaseHoldRequest, SpendHoldRequest};
use artel_proto::order::dining_service_client::DiningServiceClient;
use artel_proto::order::{ClaimOrderRequest, MarkOrderPaidRequest, Order, ReleaseOrderRequest};
use artel_proto::robotics::robotics_service_client::RoboticsServiceClient;
use artel_proto::robotics::{CookingOrder, ReleaseIngredientsRequest, ReserveIngredientsRequest};
use artel_repo::{Commit, Repo, digest};
use artel_util::time::after;
use artel_util::{Error, new_id, now};
use chrono::TimeDelta;

use crate::acquirer::{Acquirer, Charge, Charged, GiveBack};
use crate::domain::{sale, split};
use crate::error::{Refusal, Said, away};

/// The first look at a charge that nobody could tell of comes so soon after the payment failed.
const FIRST_CHECK: TimeDelta = TimeDelta::seconds(5);

/// What payments are made with.
pub(crate) struct Payments {
    repo: Repo,
    orders: DiningServiceClient<Channel>,
    kitchen: RoboticsServiceClient<Channel>,
    points: BonusServiceClient<Channel>,
    bank: Arc<dyn Acquirer>,
}

/// A payment and what it pays for.
#[derive(Debug, Clone)]
pub(crate) struct Paying {
    pub payment: Payment,
    pub order: Order,
}

type Step = Outcome<Payments>;

impl Process for Payments {
    const KIND: &'static str = "billing.payment";
    type Subject = Paying;

    fn table() -> Table<Self> {
        Table::new()
            .step("claim", Self::claim, Self::release)
            .step("reserve", Self::reserve, Self::put_back)
            .step("hold", Self::hold, Self::release_hold)
            .when(uses_points)
            .pivot("charge", Self::charge, Self::find_charge, Self::void)
            .forward("spend", Self::spend)
            .when(uses_points)
            .forward("mark", Self::mark)
    }

    async fn load(&self, call: &Call, id: &str) -> Result<Paying, Error> {
        let payment: Option<Payment> = self.repo.get(call, id).await?;
        let payment = payment.ok_or(Refusal::NoSuchPayment)?;
        let order: Option<Order> = self.repo.get(call, &payment.order_id).await?;
        Ok(Paying { order: order.ok_or(Refusal::NoSuchOrder)?, payment })
    }

    /// A payment that was undone has failed, says why, and forgets the card.
    fn end(&self, saga: &Saga, paying: &Paying, commit: Commit) -> Commit {
        metrics::counter!("artel_billing_payments_total", "outcome" => outcome(saga)).increment(1);
        if saga.state() != SagaState::Undone {
            return commit;
        }
        let mut payment = paying.payment.clone();
        payment.set_status(PaymentStatus::Failed);
        payment.reason.clone_from(&saga.reason);
        payment.error.clone_from(&saga.error);
        payment.card_token.clear();
        let failed = PaymentFailed {
            payment_id: payment.id.clone(),
            order_id: payment.order_id.clone(),
            user_id: payment.user_id.clone(),
            reason: saga.reason.clone(),
        };
        commit.update(&payment, &["status", "reason", "error", "card_token"]).publish(&failed)
    }
}

fn outcome(saga: &Saga) -> String {
    if saga.state() == SagaState::Done { "completed".to_owned() } else { saga.reason.to_ascii_lowercase() }
}

fn uses_points(paying: &Paying) -> bool {
    paying.payment.bonus_minor > 0
}

/// Each step reads: what is asked of whom, and what its answer means.
impl Payments {
    pub fn new(
        repo: Repo,
        order: Channel,
        robotics: Channel,
        bonus: Channel,
        bank: Arc<dyn Acquirer>,
    ) -> Self {
        Self {
            repo,
            orders: DiningServiceClient::new(order),
            kitchen: RoboticsServiceClient::new(robotics),
            points: BonusServiceClient::new(bonus),
            bank,
        }
    }

    async fn claim(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let Paying { payment, .. } = &turn.subject;
        let asked = ClaimOrderRequest {
            id: payment.order_id.clone(),
            payment_id: payment.id.clone(),
            user_id: payment.user_id.clone(),
        };
        match self.orders.clone().claim_order(turn.call.request(asked)).await {
            Ok(answer) => {
                let order = answer.into_inner().order.unwrap_or_default();
                if amount(&order) != (payment.amount_minor, payment.currency.as_str()) {
                    return Outcome::Refused(Refusal::OrderChanged.into());
                }
                Outcome::Done(Paying { order, ..turn.subject }, Commit::new())
            }
            Err(status) => Outcome::failed(status.into()),
        }
    }

    async fn release(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let Paying { payment, .. } = &turn.subject;
        let asked = ReleaseOrderRequest { id: payment.order_id.clone(), payment_id: payment.id.clone() };
        let answer = self.orders.clone().release_order(turn.call.request(asked)).await;
        Outcome::of(turn.subject, answer)
    }

    async fn reserve(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let Paying { payment, order } = &turn.subject;
        let dishes = order.items.iter().map(|item| CookingOrder {
            dish_id: item.dish_id.clone(),
            quantity: item.quantity,
            modifier_ids: item.modifier_ids.clone(),
        });
        let asked = ReserveIngredientsRequest {
            id: payment.id.clone(),
            order_id: payment.order_id.clone(),
            dishes: dishes.collect(),
        };
        let answer = self.kitchen.clone().reserve_ingredients(turn.call.request(asked)).await;
        Outcome::of(turn.subject, answer)
    }

    async fn put_back(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let Paying { payment, .. } = &turn.subject;
        let asked = ReleaseIngredientsRequest { id: payment.id.clone(), order_id: payment.order_id.clone() };
        let answer = self.kitchen.clone().release_ingredients(turn.call.request(asked)).await;
        Outcome::of(turn.subject, answer)
    }

    async fn hold(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let Paying { payment, .. } = &turn.subject;
        let asked = HoldBonusRequest {
            id: payment.id.clone(),
            user_id: payment.user_id.clone(),
            amount: payment.bonus_minor,
        };
        let answer = self.points.clone().hold_bonus(turn.call.request(asked)).await;
        Outcome::of(turn.subject, answer)
    }

    async fn release_hold(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let Paying { payment, .. } = &turn.subject;
        let asked = ReleaseHoldRequest { id: payment.id.clone(), user_id: payment.user_id.clone() };
        let answer = self.points.clone().release_hold(turn.call.request(asked)).await;
        Outcome::of(turn.subject, answer)
    }

    async fn charge(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let Paying { payment, .. } = &turn.subject;
        if payment.card_minor == 0 {
            // Points pay for all of it: there is nothing to ask the bank.
            return captured(turn.subject, None);
        }
        let charge = Charge {
            key: payment.id.clone(),
            amount_minor: payment.card_minor,
            currency: payment.currency.clone(),
            card_token: Secret::new(payment.card_token.clone()),
            order_number: payment.board_number.to_string(),
            description: format!("Order {}", payment.board_number),
        };
        match self.bank.charge(&charge).await.into() {
            Said::Done(charged) => captured(turn.subject, Some(charged)),
            Said::Refused(error) => Outcome::Refused(error),
            Said::NotDone(error) => Outcome::NotDone(error),
            Said::Unknown(error) => Outcome::Unknown(error),
        }
    }

    async fn find_charge(self: Arc<Self>, turn: Turn<Self>) -> Step {
        if turn.subject.payment.card_minor == 0 {
            return captured(turn.subject, None);
        }
        match self.bank.find_charge(&turn.subject.payment.id).await {
            Ok(Some(charged)) => captured(turn.subject, Some(charged)),
            Ok(None) => Outcome::NotDone(away("the bank has no such charge")),
            Err(why) => Outcome::Unknown(away(&why.0)),
        }
    }

    /// Gives back what was taken, if it was. Where the bank has nothing now, a request on its way may still take it: it is
    /// asked again for a while after the payment has failed.
    async fn void(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let mut paying = turn.subject;
        if paying.payment.card_minor == 0 {
            return Outcome::Done(paying, Commit::new());
        }
        match void(&*self.bank, &paying.payment).await {
            Ok(Some(_)) => Outcome::Done(paying, Commit::new()),
            Ok(None) => {
                paying.payment.check_time = Some(after(FIRST_CHECK));
                let commit = Commit::new().update(&paying.payment, &["check_time"]);
                Outcome::Done(paying, commit)
            }
            Err(error) => Outcome::Unknown(error),
        }
    }

    async fn spend(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let Paying { payment, .. } = &turn.subject;
        let asked = SpendHoldRequest { id: payment.id.clone(), order_id: payment.order_id.clone() };
        let answer = self.points.clone().spend_hold(turn.call.request(asked)).await;
        Outcome::of(turn.subject, answer)
    }

    async fn mark(self: Arc<Self>, turn: Turn<Self>) -> Step {
        let mut paying = turn.subject;
        let asked = MarkOrderPaidRequest {
            id: paying.payment.order_id.clone(),
            payment_id: paying.payment.id.clone(),
            bonus_minor: paying.payment.bonus_minor,
        };
        if let Err(status) = self.orders.clone().mark_order_paid(turn.call.request(asked)).await {
            return Outcome::failed(status.into());
        }
        paying.payment.set_status(PaymentStatus::Completed);
        paying.payment.card_token.clear();
        let commit = Commit::new().update(&paying.payment, &["status", "card_token"]);
        Outcome::Done(paying, commit)
    }
}

/// The money is there: with it, in one commit, the receipt that the law wants.
fn captured(mut paying: Paying, charged: Option<Charged>) -> Step {
    let payment = &mut paying.payment;
    if let Some(charged) = charged {
        if charged.amount_minor != payment.card_minor {
            let text = format!("the bank took {}, not {}", charged.amount_minor, payment.card_minor);
            tracing::error!(payment = payment.id, text, "a charge of another sum");
            return Outcome::Unknown(away(&text));
        }
        (payment.transaction_id, payment.card) = (charged.transaction_id, charged.card_mask);
    }
    payment.set_status(PaymentStatus::Captured);
    payment.capture_time = Some(now());
    let receipt = sale(payment, &paying.order);
    let commit = Commit::new()
        .update(&paying.payment, &["status", "capture_time", "transaction_id", "card"])
        .insert(&receipt)
        .publish(&ReceiptQueued { receipt_id: receipt.id.clone() });
    Outcome::Done(paying, commit)
}

/// Gives back all that the bank took for a payment that failed; `None` where it took nothing. Asked again, the bank answers
/// as before: the key is the same, and nothing is left of the charge.
pub(crate) async fn void(bank: &dyn Acquirer, payment: &Payment) -> Result<Option<Charged>, Error> {
    let found = bank.find_charge(&payment.id).await.map_err(|why| away(&why.0))?;
    let Some(charged) = found else { return Ok(None) };
    let back = GiveBack {
        key: payment.id.clone(),
        payment_key: payment.id.clone(),
        transaction_id: charged.transaction_id.clone(),
        amount_minor: charged.amount_minor,
        currency: payment.currency.clone(),
    };
    match bank.refund(&back).await.into() {
        Said::Done(_) => Ok(Some(charged)),
        Said::Refused(error) | Said::NotDone(error) | Said::Unknown(error) => Err(error),
    }
}

/// Pays an order of the caller, once for a key, and waits for how it ends.
pub(crate) async fn pay(
    engine: &Engine<Payments>,
    call: &Call,
    asked: &PayOrderRequest,
    within: Duration,
) -> Result<PayOrderResponse, Error> {
    let user_id = call.user_id()?;
    let until = Instant::now().checked_add(call.time_left(within));
    let call = &Call { deadline: until, ..call.clone() };
    let payments = engine.process();
    let key = format!("payment.pay/{user_id}/{}", asked.idempotency_key);
    let id = match payments.repo.recall(call, &key, digest(asked)).await? {
        Some(id) => String::from_utf8_lossy(&id).into_owned(),
        None => {
            let paying = payments.draft(call, user_id, asked).await?;
            let begin = Begin {
                id: paying.payment.id.clone(),
                commit: Commit::new().insert(&paying.payment),
                subject: paying,
                key,
                digest: digest(asked),
            };
            engine.begin(call, begin).await?
        }
    };
    let saga = engine.wait(call, &id).await?;
    if saga.state() == SagaState::Undone {
        return Err(refusal(&saga));
    }
    let payment: Option<Payment> = payments.repo.get(call, &id).await?;
    let payment = payment.ok_or(Refusal::NoSuchPayment)?;
    Ok(PayOrderResponse {
        payment_id: payment.id,
        order_id: payment.order_id,
        board_number: payment.board_number,
        amount_minor: payment.amount_minor,
        bonus_minor: payment.bonus_minor,
        card_minor: payment.card_minor,
        currency: payment.currency,
        transaction_id: payment.transaction_id,
    })
}

impl Payments {
    /// The payment that is asked for, where it makes sense at all.
    async fn draft(&self, call: &Call, user_id: &str, asked: &PayOrderRequest) -> Result<Paying, Error> {
        let order: Option<Order> = self.repo.get(call, &asked.order_id).await?;
        let order = order.filter(|order| order.user_id == user_id).ok_or(Refusal::NoSuchOrder)?;
        let (amount_minor, currency) = amount(&order);
        let parts = split(amount_minor, asked.bonus_amount, !asked.card_token.is_empty())?;
        let mut payment = Payment {
            id: new_id(),
            order_id: order.id.clone(),
            user_id: user_id.to_owned(),
            amount_minor,
            bonus_minor: parts.bonus_minor,
            card_minor: parts.card_minor,
            currency: currency.to_owned(),
            acquirer: self.bank.name().to_owned(),
            card_token: asked.card_token.clone(),
            board_number: order.board_number,
            ..Payment::default()
        };
        payment.set_status(PaymentStatus::Pending);
        Ok(Paying { payment, order })
    }
}

fn amount(order: &Order) -> (i64, &str) {
    order.total.as_ref().map_or((0, ""), |total| (total.amount_minor, total.currency.as_str()))
}
