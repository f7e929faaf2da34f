use artel_client::{Call, CallKey, Channel, Channels, User};
use artel_config::Config;
use artel_handle::{CancellationToken, Delivery, Host, Live, Service, testing};
use artel_persist::testing::TestDatabase;
use artel_proto::Entity;
use artel_proto::identity;
use artel_proto::notify::notify_service_client::NotifyServiceClient;
use artel_proto::notify::notify_service_server::NotifyServiceServer;
use artel_proto::notify::push_service_client::PushServiceClient;
use artel_proto::notify::push_service_server::PushServiceServer;
use artel_proto::order::OrderPlaced;
use artel_queue::Event;
use artel_repo::{Commit, Query, Repo};
use artel_util::new_id;
use tokio::sync::mpsc;

use crate::api::Notifications;
use crate::config::Settings;
use crate::config::tests::settings;
use crate::devices::Devices;
use crate::listen::Teller;
use crate::push::tests::ACCOUNT;
use crate::templates::Templates;
use crate::templates::tests::{order, person};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// `notify` over persist, and a workspace.
pub struct World {
    pub client: NotifyServiceClient<Channel>,
    pub devices: PushServiceClient<Channel>,
    pub repo: Repo,
    pub teller: Teller,
    /// What persist announced.
    pub announced: mpsc::UnboundedReceiver<Event>,
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
        let (persist, announced) = database.telling().await.unwrap();
        let persist = testing::listen(persist, &host).await.unwrap();
        let repo = Repo::new(Channels::fixed("notify", key.clone(), [("persist", persist)]).to("persist"));
        let notify = Service::new("notify")
            .grpc(NotifyServiceServer::new(Notifications::new(repo.clone())))
            .grpc(PushServiceServer::new(Devices::new(repo.clone())));
        let notify = testing::listen(notify, &host).await.unwrap();
        let channel = Channels::fixed("test", key, [("notify", notify)]).to("notify");
        Self {
            client: NotifyServiceClient::new(channel.clone()),
            devices: PushServiceClient::new(channel),
            teller: Teller::new(repo.clone(), Templates::load().unwrap(), Live::fixed(all_ways())),
            repo,
            announced,
            workspace: new_id(),
            _database: database,
        }
    }

    /// The same with other settings.
    pub fn telling_by(&mut self, settings: Settings) {
        self.teller = Teller::new(self.repo.clone(), Templates::load().unwrap(), Live::fixed(settings));
    }

    /// The service's own call.
    pub fn call(&self) -> Call {
        Call::by_service("notify", &self.workspace)
    }

    /// A call for a person.
    pub fn call_of(&self, user_id: &str) -> Call {
        let user = User { id: user_id.to_owned(), roles: Vec::new(), locale: String::new() };
        Call { user: Some(user), ..Call::by_service("gateway", &self.workspace) }
    }

    /// Somebody who reads Kazakh.
    pub async fn person(&self) -> identity::User {
        let id = new_id();
        let person = identity::User { email: Some(format!("{id}@example.com")), id, ..person() };
        self.repo.commit(&self.call(), Commit::new().insert(&person)).await.unwrap();
        person
    }

    /// The news that a person's order was placed, as it arrives.
    pub fn placed(&self, user_id: &str) -> (Delivery, OrderPlaced) {
        let order = artel_proto::order::Order { id: new_id(), user_id: user_id.to_owned(), ..order() };
        let event =
            OrderPlaced { order_id: order.id.clone(), user_id: user_id.to_owned(), order: Some(order) };
        (self.delivery("order.placed"), event)
    }

    /// An event that arrives.
    pub fn delivery(&self, event: &str) -> Delivery {
        Delivery {
            call: self.call(),
            event_id: new_id(),
            event: event.to_owned(),
            attempt: 1,
            is_replay: false,
            time: chrono::Utc::now(),
        }
    }

    /// Everything of a kind that a person has.
    pub async fn all<T: Entity>(&self, user_id: &str) -> Vec<T> {
        self.repo.query::<T>(&self.call(), Query::new().equal("user_id", user_id)).await.unwrap().items
    }
}

/// Settings with a provider for each way.
pub fn all_ways() -> Settings {
    let ways =
        "[notify.sms]\nurl = 'http://127.0.0.1:9'\nlogin = 'test'\n[notify.push]\nurl = 'http://127.0.0.1:9'";
    settings(&format!("{ways}\nproject = 'test'\nkey = '''{ACCOUNT}'''")).unwrap()
}
