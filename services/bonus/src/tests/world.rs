use artel_client::{Call, CallKey, Channel, Channels, User};
use artel_config::Config;
use artel_handle::{CancellationToken, Delivery, Host, Listener as _, Live, Service, testing};
use artel_persist::testing::TestDatabase;
use artel_proto::billing::{Payment, PaymentRefunded, PaymentStatus, Refund};
use artel_proto::bonus::bonus_service_client::BonusServiceClient;
use artel_proto::bonus::bonus_service_server::BonusServiceServer;
use artel_proto::bonus::{
    BonusAccount, BonusEntry, BonusHold, GetBonusAccountRequest, GrantBonusRequest, HoldBonusRequest,
    ListBonusEntriesRequest, ReleaseHoldRequest, ReturnBonusRequest, SpendHoldRequest,
};
use artel_proto::identity;
use artel_proto::order::{Order, OrderPaid};
use artel_proto::types::Money;
use artel_queue::Failure;
use artel_repo::{Commit, Repo};
use artel_util::{Error, new_id};

use crate::api::Bonus;
use crate::listen::{Earn, TakeBack};
use crate::settings::tests::settings;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// `bonus` over persist, and a workspace.
pub struct World {
    client: BonusServiceClient<Channel>,
    pub repo: Repo,
    earn: Earn,
    take_back: TakeBack,
    workspace: String,
    _database: TestDatabase,
}

impl World {
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = TestDatabase::create().await.unwrap();
        let config = Config::parse(&format!("[mesh]\nmesh_key = \"{KEY}\"")).unwrap();
        let host = Host::new(config, CancellationToken::new()).unwrap();
        let key = CallKey::new(KEY).unwrap();
        let persist = testing::listen(database.persist().await.unwrap(), &host).await.unwrap();
        let repo = Repo::new(Channels::fixed("bonus", key.clone(), [("persist", persist)]).to("persist"));
        let bonus = Service::new("bonus").grpc(BonusServiceServer::new(Bonus::new(repo.clone())));
        let bonus = testing::listen(bonus, &host).await.unwrap();
        let channel = Channels::fixed("billing", key, [("bonus", bonus)]).to("bonus");
        Self {
            client: BonusServiceClient::new(channel),
            earn: Earn::new(repo.clone(), Live::fixed(settings("[bonus]\nearn_percent = 10"))),
            take_back: TakeBack::new(repo.clone()),
            repo,
            workspace: new_id(),
            _database: database,
        }
    }

    /// The service's own call.
    pub fn call(&self) -> Call {
        Call::by_service("bonus", &self.workspace)
    }

    fn billing(&self) -> Call {
        Call::by_service("billing", &self.workspace)
    }

    fn of(&self, user_id: &str, roles: &[&str]) -> Call {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let user = User { id: user_id.to_owned(), roles, locale: String::new() };
        Call { user: Some(user), ..Call::by_service("gateway", &self.workspace) }
    }

    /// A guest who has this many points.
    pub async fn guest(&self, points: i64) -> String {
        let person = identity::User { id: new_id(), display_name: "Guest".to_owned(), ..Default::default() };
        let person = identity::User { email: Some(format!("{}@example.com", person.id)), ..person };
        self.repo.commit(&self.call(), Commit::new().insert(&person)).await.unwrap();
        if points > 0 {
            self.grant(&person.id, points, &new_id()).await.unwrap();
        }
        person.id
    }

    pub async fn grant(&self, user_id: &str, amount: i64, key: &str) -> Result<BonusEntry, Error> {
        self.grant_as(&["bonus_manager"], user_id, amount, key).await
    }

    pub async fn grant_as(
        &self,
        roles: &[&str],
        user_id: &str,
        amount: i64,
        key: &str,
    ) -> Result<BonusEntry, Error> {
        let (user_id, idempotency_key) = (user_id.to_owned(), key.to_owned());
        let asked = GrantBonusRequest { user_id, amount, idempotency_key, comment: "Hello".to_owned() };
        let request = self.of(&new_id(), roles).request(asked);
        let answer = self.client.clone().grant_bonus(request).await.map_err(Error::from)?;
        Ok(answer.into_inner().entry.unwrap())
    }

    pub async fn hold(&self, id: &str, user_id: &str, amount: i64) -> Result<BonusHold, Error> {
        let asked = HoldBonusRequest { id: id.to_owned(), user_id: user_id.to_owned(), amount };
        let answer = self.client.clone().hold_bonus(self.billing().request(asked)).await?;
        Ok(answer.into_inner().hold.unwrap())
    }

    pub async fn spend(&self, id: &str) -> Result<(), Error> {
        let asked = SpendHoldRequest { id: id.to_owned(), order_id: id.to_owned() };
        Ok(self.client.clone().spend_hold(self.billing().request(asked)).await.map(drop)?)
    }

    pub async fn release(&self, id: &str, user_id: &str) -> Result<(), Error> {
        let asked = ReleaseHoldRequest { id: id.to_owned(), user_id: user_id.to_owned() };
        Ok(self.client.clone().release_hold(self.billing().request(asked)).await.map(drop)?)
    }

    pub async fn give_back(&self, refund: &str, payment: &str, amount: i64) -> Result<(), Error> {
        let (id, payment_id) = (refund.to_owned(), payment.to_owned());
        let asked = ReturnBonusRequest { id, order_id: payment_id.clone(), payment_id, amount };
        Ok(self.client.clone().return_bonus(self.billing().request(asked)).await.map(drop)?)
    }

    /// Balance, held and owed points of a guest, after it is seen that the entries add up to them.
    pub async fn points(&self, user_id: &str) -> (i64, i64, i64) {
        let request = self.of(user_id, &[]).request(GetBonusAccountRequest {});
        let account = self.client.clone().get_bonus_account(request).await.unwrap().into_inner().account;
        let BonusAccount { id, balance, held, owed, .. } = account.unwrap();
        assert_eq!(id, user_id);
        let sum: i64 = self.entries(user_id).await.iter().map(|entry| entry.amount).sum();
        assert_eq!(sum, balance + held - owed);
        (balance, held, owed)
    }

    /// The entries of a guest, the newest first.
    pub async fn entries(&self, user_id: &str) -> Vec<BonusEntry> {
        let (mut found, mut asked) =
            (Vec::new(), ListBonusEntriesRequest { page_size: 50, ..Default::default() });
        loop {
            let request = self.of(user_id, &[]).request(asked.clone());
            let page = self.client.clone().list_bonus_entries(request).await.unwrap().into_inner();
            found.extend(page.entries);
            asked.page_token = page.next_page_token;
            if asked.page_token.is_empty() {
                return found;
            }
        }
    }

    fn delivery(&self, event: &str) -> Delivery {
        Delivery {
            call: self.call(),
            event_id: new_id(),
            event: event.to_owned(),
            attempt: 1,
            is_replay: false,
            time: chrono::Utc::now(),
        }
    }

    /// The news that an order was paid, by card but for these points; as it comes each time it comes.
    pub async fn paid(&self, order: &Paid) -> Result<(), Failure> {
        let total = Money { amount_minor: order.total, currency: "KZT".to_owned() };
        let event = OrderPaid {
            order_id: order.id.clone(),
            user_id: order.user_id.clone(),
            payment_id: order.id.clone(),
            order: Some(Order { total: Some(total), bonus_minor: order.bonus, ..Order::default() }),
        };
        self.earn
            .hear(&Delivery { event_id: order.event.clone(), ..self.delivery("order.paid") }, event)
            .await
    }

    /// The news that a part of it was refunded, after `before`.
    pub async fn refunded(
        &self,
        order: &Paid,
        refund: &str,
        before: i64,
        amount: i64,
    ) -> Result<(), Failure> {
        let mut payment = Payment { id: order.id.clone(), amount_minor: order.total, ..Payment::default() };
        payment.set_status(order.status);
        let event = PaymentRefunded {
            payment_id: order.id.clone(),
            order_id: order.id.clone(),
            user_id: order.user_id.clone(),
            refund: Some(Refund {
                id: refund.to_owned(),
                amount_minor: amount,
                before_minor: before,
                ..Refund::default()
            }),
            payment: Some(payment),
        };
        self.take_back.hear(&self.delivery("payment.refunded"), event).await
    }
}

/// A paid order; its payment has the same id.
#[derive(Clone)]
pub struct Paid {
    pub id: String,
    pub event: String,
    pub user_id: String,
    pub total: i64,
    pub bonus: i64,
    pub status: PaymentStatus,
}

impl Paid {
    pub fn of(user_id: &str, total: i64, bonus: i64) -> Self {
        let (id, event, user_id) = (new_id(), new_id(), user_id.to_owned());
        Self { id, event, user_id, total, bonus, status: PaymentStatus::Completed }
    }
}
