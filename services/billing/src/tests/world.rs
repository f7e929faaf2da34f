use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use artel_client::{Call, User};
use artel_handle::CancellationToken;
use artel_handle::testing::LocalMesh;
use artel_persist::testing::TestDatabase;
use artel_process::{Engine, Mishap, Mishaps, Point, Rules};
use artel_proto::Entity;
use artel_proto::billing::billing_service_client::BillingServiceClient;
use artel_proto::billing::{
    CheckInvariantsRequest, GetPaymentRequest, GetPaymentResponse, PayOrderRequest, PayOrderResponse,
    Payment, PaymentStatus, Receipt, Refund, RefundPaymentRequest,
};
use artel_proto::bonus::bonus_service_client::BonusServiceClient;
use artel_proto::bonus::{BonusAccount, BonusHold, BonusHoldStatus, GrantBonusRequest};
use artel_proto::identity;
use artel_proto::order::{BoardNumber, Order, OrderItem, OrderStatus};
use artel_proto::robotics::{Ingredient, Portion, Recipe, RecipeStep, Reservation, ReservationStatus};
use artel_proto::types::Money;
use artel_repo::{Commit, Query, Repo};
use artel_util::{Error, new_id, now};
use artel_vendors::bank::{self, Bank, Effect};
use artel_vendors::printer::{self, Printer};
use artel_vendors::{Faults, Running};
use async_trait::async_trait;
use tonic::{Response, Status};

use crate::payment::{Payments, pay};
use crate::refund::Refunds;
use crate::settings::Settings;

/// How long anything is waited for.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// What an order costs, and what a guest has.
pub const PRICE: i64 = 1000;
pub const POINTS: i64 = 5000;
/// What there is of an ingredient, of which an order takes one.
pub const STOCK: i64 = 10;

/// The services that a payment needs, and `billing`, each as in production.
pub struct World {
    /// Where `billing` listens.
    pub url: String,
    pub mesh: LocalMesh,
    pub bank: Running<Bank>,
    pub printer: Running<Printer>,
    config: String,
    numbers: AtomicI32,
    database: TestDatabase,
}

/// A guest with an order.
pub struct Guest {
    pub call: Call,
    pub order: Order,
    pub ingredient: String,
    pub key: String,
}

impl World {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With more in the section `[billing]`.
    pub async fn with(more: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bank = bank::start(bank::Options::default()).await.unwrap();
        let printer = printer::start(printer::Options::default()).await.unwrap();
        let (till, paper) = (bank::Options::default(), printer::Options::default());
        let config = format!(
            "[billing]\n{more}\n\
             [billing.acquirer.halyk]\nurl = '{bank}/api'\ntoken_url = '{bank}/epay2/oauth2/token'\n\
             client_id = '{}'\nclient_secret = '{}'\nterminal = '{}'\n\
             [billing.printer]\nurl = '{}/possystem/v4'\nlogin = '{}'\npassword = '{}'\ngroup = '{}'\n\
             inn = '5544332219'\n",
            till.client_id,
            till.client_secret,
            till.terminal,
            printer.url(),
            paper.login,
            paper.password,
            paper.group,
            bank = bank.url(),
        );
        let database = TestDatabase::create().await.unwrap();
        let mesh = LocalMesh::start(&config).await.unwrap();
        mesh.serve(database.persist().await.unwrap()).await.unwrap();
        mesh.serve(artel_order::service(mesh.host("order")).await.unwrap()).await.unwrap();
        mesh.serve(artel_robotics::service(mesh.host("robotics")).await.unwrap()).await.unwrap();
        mesh.serve(artel_bonus::service(mesh.host("bonus")).await.unwrap()).await.unwrap();
        let service = crate::service(mesh.host("billing")).await.unwrap();
        let url = format!("http://{}", mesh.serve(service).await.unwrap());
        Self { url, mesh, bank, printer, config, numbers: AtomicI32::new(0), database }
    }

    pub fn repo(&self) -> Repo {
        self.mesh.host("billing").repo()
    }

    pub fn call(&self) -> Call {
        self.mesh.host("billing").call()
    }

    pub fn settings(&self) -> Settings {
        crate::settings::tests::settings(&self.config).unwrap()
    }

    /// One more copy of `billing`, as far as payments go. It takes nothing over.
    pub fn copy(&self, mishaps: impl Mishaps) -> Engine<Payments> {
        let rules = Rules {
            lease: Duration::from_secs(5),
            step: Duration::from_millis(3500),
            first_pause: Duration::from_millis(20),
            attempts: 3,
            ..Rules::default()
        };
        self.copy_with(mishaps, rules)
    }

    /// The same with these times.
    pub fn copy_with(&self, mishaps: impl Mishaps, rules: Rules) -> Engine<Payments> {
        let host = self.mesh.host("billing");
        let bank = self.settings().acquirer.acquirer().unwrap();
        let channel = |service| host.channel(service);
        let payments =
            Payments::new(host.repo(), channel("order"), channel("robotics"), channel("bonus"), bank);
        Engine::new("billing", payments, host.repo(), rules, CancellationToken::new())
            .with_mishaps(Arc::new(mishaps))
    }

    /// The same as far as refunds go.
    pub fn refunds(&self, mishaps: impl Mishaps) -> Engine<Refunds> {
        let host = self.mesh.host("billing");
        let bank = self.settings().acquirer.acquirer().unwrap();
        let refunds = Refunds::new(host.repo(), host.channel("bonus"), bank);
        let rules = Rules { lease: Duration::from_secs(5), ..Rules::default() };
        Engine::new("billing", refunds, host.repo(), rules, CancellationToken::new())
            .with_mishaps(Arc::new(mishaps))
    }

    /// How often this was told, counted past every service.
    pub async fn told(&self, event: &str) -> i64 {
        let asked = "SELECT count(*) FROM outbox WHERE name = $1";
        self.database.superuser().await.unwrap().query_one(asked, &[&event]).await.unwrap().get(0)
    }

    /// A new guest with points, a dish of an ingredient, and an order of it.
    pub async fn guest(&self) -> Guest {
        let (host, id) = (self.mesh.host("test"), new_id());
        let person = identity::User {
            id: id.clone(),
            email: Some(format!("{id}@example.com")),
            display_name: "Guest".to_owned(),
            ..identity::User::default()
        };
        let (dish, ingredient) = (new_id(), new_id());
        let (name, unit) = ("Rice".to_owned(), "g".to_owned());
        let stock = Ingredient { id: ingredient.clone(), name, unit, stock: STOCK, ..Ingredient::default() };
        let recipe = Recipe {
            id: dish.clone(),
            ingredients: vec![Portion { ingredient_id: ingredient.clone(), amount: 1 }],
            steps: vec![RecipeStep { action: "boil".to_owned(), seconds: 1 }],
            ..Recipe::default()
        };
        let order = self.draft(&id, &dish);
        let number =
            BoardNumber { id: order.id.clone(), number: order.board_number, ..BoardNumber::default() };
        let commit =
            Commit::new().insert(&person).insert(&stock).insert(&recipe).insert(&order).insert(&number);
        self.repo().commit(&self.call(), commit).await.unwrap();
        let manager = User { id: new_id(), roles: vec!["bonus_manager".to_owned()], locale: String::new() };
        let grant = GrantBonusRequest {
            user_id: id.clone(),
            amount: POINTS,
            idempotency_key: id.clone(),
            comment: String::new(),
        };
        let manager = Call { user: Some(manager), ..host.call() };
        BonusServiceClient::new(host.channel("bonus")).grant_bonus(manager.request(grant)).await.unwrap();
        let user = User { id, roles: Vec::new(), locale: "en".to_owned() };
        Guest { call: Call { user: Some(user), ..host.call() }, order, ingredient, key: new_id() }
    }

    fn draft(&self, user_id: &str, dish: &str) -> Order {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let price = Money { amount_minor: PRICE, currency: "KZT".to_owned() };
        Order {
            id: new_id(),
            number: format!("T-{number}"),
            user_id: user_id.to_owned(),
            status: OrderStatus::Placed.into(),
            items: vec![OrderItem {
                name: "Pilaf".to_owned(),
                quantity: 1,
                price: Some(price.clone()),
                dish_id: dish.to_owned(),
                ..OrderItem::default()
            }],
            total: Some(price),
            create_time: Some(now()),
            update_time: Some(now()),
            board_number: number,
            ..Order::default()
        }
    }

    /// Pays at the service.
    pub async fn pay(&self, guest: &Guest, bonus: i64) -> Result<PayOrderResponse, Error> {
        self.ask(guest, guest.asked(bonus)).await
    }

    pub async fn ask(&self, guest: &Guest, asked: PayOrderRequest) -> Result<PayOrderResponse, Error> {
        read(self.client().pay_order(guest.call.request(asked)).await)
    }

    /// Pays at a copy.
    pub async fn pay_at(
        &self,
        copy: &Engine<Payments>,
        guest: &Guest,
        bonus: i64,
    ) -> Result<PayOrderResponse, Error> {
        pay(copy, &guest.call, &guest.asked(bonus), DEADLINE).await
    }

    pub fn client(&self) -> BillingServiceClient<artel_client::Channel> {
        BillingServiceClient::new(self.mesh.host("test").channel("billing"))
    }

    pub fn cashier(&self) -> Call {
        let user = User { id: new_id(), roles: vec!["cashier".to_owned()], locale: String::new() };
        Call { user: Some(user), ..self.mesh.host("test").call() }
    }

    pub async fn refund(&self, payment_id: &str, amount_minor: i64, key: &str) -> Result<Refund, Error> {
        self.refund_as(&self.cashier(), payment_id, amount_minor, key).await
    }

    pub async fn refund_as(
        &self,
        cashier: &Call,
        payment_id: &str,
        amount_minor: i64,
        key: &str,
    ) -> Result<Refund, Error> {
        let asked = RefundPaymentRequest {
            id: payment_id.to_owned(),
            amount_minor,
            idempotency_key: key.to_owned(),
            comment: String::new(),
        };
        let answer = read(self.client().refund_payment(cashier.request(asked)).await);
        answer.map(|answer| answer.refund.unwrap())
    }

    pub async fn payment_as(&self, call: &Call, id: &str) -> Result<GetPaymentResponse, Error> {
        read(self.client().get_payment(call.request(GetPaymentRequest { id: id.to_owned() })).await)
    }

    /// The violations of each invariant, but of those that services which do not run here have a part in.
    pub async fn violations(&self) -> Vec<(String, i64, Vec<String>)> {
        let host = self.mesh.host("gateway");
        let request = host.call().request(CheckInvariantsRequest { older_than_seconds: 0 });
        let found = self.client().check_invariants(request).await.unwrap().into_inner();
        let elsewhere = ["paid_order_has_one_cooking_job", "paid_order_is_told_once_a_channel"];
        let here = found.invariants.into_iter().filter(|one| !elsewhere.contains(&one.name.as_str()));
        here.filter(|one| one.violations > 0).map(|one| (one.name, one.violations, one.examples)).collect()
    }

    pub async fn get<T: Entity>(&self, id: &str) -> Option<T> {
        self.repo().get(&self.call(), id).await.unwrap()
    }

    pub async fn payments_of(&self, guest: &Guest) -> Vec<Payment> {
        let query = Query::new().equal("order_id", &guest.order.id);
        self.repo().query::<Payment>(&self.call(), query).await.unwrap().items
    }

    pub async fn receipts_of(&self, payment_id: &str) -> Vec<Receipt> {
        let query = Query::new().equal("payment_id", payment_id);
        self.repo().query::<Receipt>(&self.call(), query).await.unwrap().items
    }

    /// What the bank has moved for a payment: so much taken and so often, so much given back.
    pub fn moved(&self, payment_id: &str) -> (i64, usize, i64) {
        let (mut taken, mut times, mut given) = (0, 0, 0);
        for entry in self.bank.ledger() {
            match entry.effect {
                Effect::Charged(charge) if charge.key == payment_id => {
                    (taken, times) = (taken + charge.amount_minor, times + 1);
                }
                Effect::Refunded { charge_key, amount_minor, .. } if charge_key == payment_id => {
                    given += amount_minor;
                }
                Effect::Violation { key, message } => panic!("{key}: {message}"),
                _ => {}
            }
        }
        (taken, times, given)
    }

    /// Everything about a payment that is over: all of it happened once, or none of it.
    pub async fn check(&self, guest: &Guest, bonus: i64) -> Payment {
        let payments = self.payments_of(guest).await;
        let [payment] = &payments[..] else { panic!("{payments:?}") };
        let done = payment.status() == PaymentStatus::Completed;
        let order: Order = self.get(&guest.order.id).await.unwrap();
        let stock: Ingredient = self.get(&guest.ingredient).await.unwrap();
        let points: BonusAccount = self.get(&guest.call.user.as_ref().unwrap().id).await.unwrap();
        let reservation: Option<Reservation> = self.get(&payment.id).await;
        let hold: Option<BonusHold> = self.get(&payment.id).await;
        let receipts = self.receipts_of(&payment.id).await;
        let (taken, times, given) = self.moved(&payment.id);
        assert_eq!(payment.card_token, "", "the card is forgotten");
        assert!(times <= 1, "charged {times} times");
        if done {
            assert_eq!((order.status(), order.payment_id.as_str()), (OrderStatus::Paid, payment.id.as_str()));
            assert_eq!((stock.stock, points.balance, points.held), (STOCK - 1, POINTS - bonus, 0));
            assert_eq!((taken, given), (PRICE - bonus, 0));
            assert_eq!(reservation.unwrap().status(), ReservationStatus::Held);
            assert_eq!(hold.map(|hold| hold.status()), (bonus > 0).then_some(BonusHoldStatus::Spent));
            assert_eq!(receipts.len(), 1);
        } else {
            assert_eq!(payment.status(), PaymentStatus::Failed);
            assert_eq!((order.status(), order.payment_id.as_str()), (OrderStatus::Placed, ""));
            assert_eq!((stock.stock, points.balance, points.held), (STOCK, POINTS, 0));
            assert_eq!(taken, given);
            assert!(reservation.is_none_or(|row| row.status() == ReservationStatus::Released));
            assert!(hold.is_none_or(|row| row.status() == BonusHoldStatus::Released));
            assert!(receipts.is_empty() && !payment.reason.is_empty());
        }
        payment.clone()
    }

    /// All calls to the bank from now on go like this.
    pub fn bank_is(&self, faults: Faults) {
        self.bank.faults().set(faults);
    }
}

impl Guest {
    pub fn asked(&self, bonus: i64) -> PayOrderRequest {
        PayOrderRequest {
            order_id: self.order.id.clone(),
            card_token: if bonus < PRICE { "tok_1234".to_owned() } else { String::new() },
            bonus_amount: bonus,
            idempotency_key: self.key.clone(),
        }
    }
}

/// Something happens at a point, so many times.
pub struct Befalls {
    pub at: Point,
    pub what: Mishap,
    left: AtomicUsize,
    pub struck: Arc<AtomicUsize>,
}

impl Befalls {
    pub fn new(at: Point, what: Mishap, times: usize) -> Self {
        Self { at, what, left: AtomicUsize::new(times), struck: Arc::default() }
    }

    fn take(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[async_trait]
impl Mishaps for Befalls {
    async fn strikes(&self, _: &str, point: Point) -> Mishap {
        if point != self.at || !self.take() {
            return Mishap::Nothing;
        }
        self.struck.fetch_add(1, Ordering::Relaxed);
        self.what
    }
}

/// Several things happen.
pub struct All(pub Vec<Befalls>);

#[async_trait]
impl Mishaps for All {
    async fn strikes(&self, saga: &str, point: Point) -> Mishap {
        for one in &self.0 {
            match one.strikes(saga, point).await {
                Mishap::Nothing => {}
                mishap => return mishap,
            }
        }
        Mishap::Nothing
    }
}

/// Waits until it is so.
pub async fn until<F: Future<Output = bool>>(what: &str, is: impl Fn() -> F) {
    let deadline = Instant::now() + DEADLINE;
    while !is().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn read<T>(answer: Result<Response<T>, Status>) -> Result<T, Error> {
    answer.map(Response::into_inner).map_err(Error::from)
}
