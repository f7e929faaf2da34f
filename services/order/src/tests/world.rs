use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use artel_client::{Call, Channel, User};
use artel_handle::testing::LocalMesh;
use artel_handle::{Delivery, Listener, Service};
use artel_persist::testing::TestDatabase;
use artel_proto::Event;
use artel_proto::menu::menu_service_server::{MenuService, MenuServiceServer};
use artel_proto::menu::{
    CheckAvailabilityRequest, CheckAvailabilityResponse, DeleteDishRequest, DeleteDishResponse, DishOffer,
    GetDishRequest, GetDishResponse, ListMenuCategoriesRequest, ListMenuCategoriesResponse, PutDishRequest,
    PutDishResponse, PutMenuCategoryRequest, PutMenuCategoryResponse, Unavailable,
};
use artel_proto::order::dining_service_client::DiningServiceClient;
use artel_proto::order::order_service_client::OrderServiceClient;
use artel_proto::order::{
    BoardNumber, CancelOrderRequest, ClaimOrderRequest, HandOverOrderRequest, MarkOrderPaidRequest, Order,
    OrderStatus, PlaceOrderItem, PlaceOrderRequest, ReleaseOrderRequest,
};
use artel_proto::robotics::{OrderPreparing, OrderReady};
use artel_proto::types::Money;
use artel_repo::{Commit, Repo};
use artel_util::{Error, new_id, now};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use crate::board::Log;
use crate::dining::{Course, News};

/// How long anything is waited for.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// What a dish of the stand-in costs.
pub const PRICE: i64 = 150_000;

/// `persist`, `menu` and `order` over a database of their own.
pub struct World {
    pub mesh: LocalMesh,
    pub menu: Menu,
    /// Where `order` listens.
    pub url: String,
    told: mpsc::UnboundedReceiver<artel_queue::Event>,
    pub database: TestDatabase,
}

impl World {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With more in the configuration.
    pub async fn with(more: &str) -> Self {
        let database = TestDatabase::create().await.unwrap();
        let mesh = LocalMesh::start(more).await.unwrap();
        let (persist, told) = database.telling().await.unwrap();
        mesh.serve(persist).await.unwrap();
        let menu = Menu::default();
        mesh.serve(Service::new("menu").grpc(MenuServiceServer::new(menu.clone()))).await.unwrap();
        let url = serve(&mesh).await;
        Self { mesh, menu, url, told, database }
    }

    pub fn repo(&self) -> Repo {
        self.mesh.host("order").repo()
    }

    /// Another copy of `order`, as far as it writes moves.
    pub fn course(&self) -> Course {
        Course::new(self.repo(), Log::new(self.repo()))
    }

    pub fn person(&self, id: &str) -> Person {
        let host = self.mesh.host("test");
        let user = User { id: id.to_owned(), roles: vec!["hall_staff".to_owned()], locale: "ru".to_owned() };
        Person {
            orders: OrderServiceClient::new(host.channel("order")),
            dining: DiningServiceClient::new(host.channel("order")),
            call: Call { user: Some(user), ..host.call() },
        }
    }

    /// The orders' own service calls, as `billing`.
    pub fn billing(&self) -> Billing {
        let host = self.mesh.host("billing");
        Billing { dining: DiningServiceClient::new(host.channel("order")), call: host.call() }
    }

    /// An order that is paid, of a new guest.
    pub async fn paid(&self) -> Order {
        let guest = new_id();
        let order = self.person(&guest).place(&[(&new_id(), 1)], "").await.unwrap();
        let (billing, payment) = (self.billing(), new_id());
        billing.claim(&order.id, &payment, &guest).await.unwrap();
        billing.paid(&order.id, &payment, 0).await.unwrap()
    }

    /// So many orders that are paid, written past the way there; numbered from 1.
    pub async fn orders(&self, count: i32) -> Vec<Order> {
        let orders: Vec<Order> = (1..=count)
            .map(|number| Order {
                id: new_id(),
                number: format!("A-{number}"),
                user_id: new_id(),
                status: OrderStatus::Paid.into(),
                board_number: number,
                create_time: Some(now()),
                update_time: Some(now()),
                version: 1,
                ..Order::default()
            })
            .collect();
        let call = self.mesh.host("order").call();
        for some in orders.chunks(200) {
            let all = some.iter().fold(Commit::new(), |commit, order| {
                let number = BoardNumber {
                    id: order.id.clone(),
                    number: order.board_number,
                    ..BoardNumber::default()
                };
                commit.insert(order).insert(&number)
            });
            self.repo().commit(&call, all).await.unwrap();
        }
        orders
    }

    /// Brings an event to `order` as its queue does.
    pub async fn deliver<E: Event>(&self, event: E) -> Result<(), artel_queue::Failure>
    where
        News: Listener<E>,
    {
        News::new(self.course()).hear(&self.delivery(), event).await
    }

    pub fn delivery(&self) -> Delivery {
        Delivery {
            call: self.mesh.host("order").call(),
            event_id: new_id(),
            event: "test".to_owned(),
            attempt: 1,
            time: chrono::Utc::now(),
            is_replay: false,
        }
    }

    /// The next that is told under this name.
    pub async fn told<E: Event>(&mut self) -> E {
        let next = async {
            loop {
                let event = self.told.recv().await.unwrap();
                if event.name == E::NAME {
                    return E::decode(event.body).unwrap();
                }
            }
        };
        tokio::time::timeout(DEADLINE, next).await.expect("nothing was told")
    }

    /// How many rows there are, counted past every service.
    pub async fn count(&self, of: &str) -> i64 {
        let asked = format!("SELECT count(*) FROM {of}");
        self.database.superuser().await.unwrap().query_one(&asked, &[]).await.unwrap().get(0)
    }

    /// Changes rows past every service.
    pub async fn sql(&self, text: &str) {
        self.database.superuser().await.unwrap().batch_execute(text).await.unwrap();
    }
}

/// Serves `order`, or one more copy of it, and says where.
pub async fn serve(mesh: &LocalMesh) -> String {
    let service = crate::service(mesh.host("order")).await.unwrap();
    format!("http://{}", mesh.serve(service).await.unwrap())
}

/// What the kitchen says when it begins.
pub fn preparing(order: &Order) -> OrderPreparing {
    OrderPreparing { order_id: order.id.clone(), user_id: order.user_id.clone(), start_time: Some(now()) }
}

/// What the kitchen says when it is done.
pub fn ready(order: &Order) -> OrderReady {
    OrderReady {
        order_id: order.id.clone(),
        user_id: order.user_id.clone(),
        board_number: order.board_number,
        start_time: Some(now()),
        ready_time: Some(now()),
    }
}

/// Somebody signed in.
#[derive(Clone)]
pub struct Person {
    orders: OrderServiceClient<Channel>,
    dining: DiningServiceClient<Channel>,
    pub call: Call,
}

impl Person {
    pub async fn place(&self, dishes: &[(&str, i32)], key: &str) -> Result<Order, Error> {
        let item = |(dish_id, quantity): &(&str, i32)| PlaceOrderItem {
            dish_id: (*dish_id).to_owned(),
            quantity: *quantity,
            ..PlaceOrderItem::default()
        };
        self.ask(dishes.iter().map(item).collect(), key).await
    }

    pub async fn ask(&self, items: Vec<PlaceOrderItem>, key: &str) -> Result<Order, Error> {
        let asked = PlaceOrderRequest { items, idempotency_key: key.to_owned() };
        let answer = read(self.dining.clone().place_order(self.call.request(asked)).await)?;
        let order = answer.order.unwrap();
        assert_eq!(
            (answer.order_id, answer.board_number, answer.total),
            (order.id.clone(), order.board_number, order.total.clone())
        );
        Ok(order)
    }

    pub async fn cancel(&self, id: &str) -> Result<Order, Error> {
        let asked = CancelOrderRequest { id: id.to_owned() };
        Ok(read(self.orders.clone().cancel_order(self.call.request(asked)).await)?.order.unwrap())
    }

    pub async fn hand_over(&self, id: &str) -> Result<Order, Error> {
        let asked = HandOverOrderRequest { id: id.to_owned() };
        Ok(read(self.dining.clone().hand_over_order(self.call.request(asked)).await)?.order.unwrap())
    }
}

/// `billing`, as far as `order` knows it.
#[derive(Clone)]
pub struct Billing {
    pub dining: DiningServiceClient<Channel>,
    pub call: Call,
}

impl Billing {
    pub async fn claim(&self, id: &str, payment_id: &str, user_id: &str) -> Result<Order, Error> {
        let asked = ClaimOrderRequest {
            id: id.to_owned(),
            payment_id: payment_id.to_owned(),
            user_id: user_id.to_owned(),
        };
        Ok(read(self.dining.clone().claim_order(self.call.request(asked)).await)?.order.unwrap())
    }

    pub async fn release(&self, id: &str, payment_id: &str) -> Result<(), Error> {
        let asked = ReleaseOrderRequest { id: id.to_owned(), payment_id: payment_id.to_owned() };
        read(self.dining.clone().release_order(self.call.request(asked)).await).map(drop)
    }

    pub async fn paid(&self, id: &str, payment_id: &str, bonus_minor: i64) -> Result<Order, Error> {
        let asked =
            MarkOrderPaidRequest { id: id.to_owned(), payment_id: payment_id.to_owned(), bonus_minor };
        Ok(read(self.dining.clone().mark_order_paid(self.call.request(asked)).await)?.order.unwrap())
    }
}

pub fn read<T>(answer: Result<Response<T>, Status>) -> Result<T, Error> {
    answer.map(Response::into_inner).map_err(Error::from)
}

/// Stands in for `menu`: every dish there is, at one price, but for those that it is told cannot be had.
#[derive(Clone, Default)]
pub struct Menu {
    out: Arc<Mutex<HashMap<String, (Unavailable, i32)>>>,
}

impl Menu {
    pub fn takes_off(&self, dish_id: &str, why: Unavailable, portions: i32) {
        self.out().insert(dish_id.to_owned(), (why, portions));
    }

    fn out(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Unavailable, i32)>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl MenuService for Menu {
    async fn check_availability(
        &self,
        request: Request<CheckAvailabilityRequest>,
    ) -> Result<Response<CheckAvailabilityResponse>, Status> {
        let offer = |line: artel_proto::menu::DishLine| {
            let (why, portions) =
                self.out().get(&line.dish_id).copied().unwrap_or((Unavailable::Unspecified, 100));
            DishOffer {
                name: "Лагман".to_owned(),
                price: Some(Money { amount_minor: PRICE, currency: "KZT".to_owned() }),
                modifiers: line.modifier_ids,
                dish_id: line.dish_id,
                unavailable: why.into(),
                portions,
            }
        };
        let offers = request.into_inner().lines.into_iter().map(offer).collect();
        Ok(Response::new(CheckAvailabilityResponse { offers }))
    }

    async fn list_menu_categories(
        &self,
        _: Request<ListMenuCategoriesRequest>,
    ) -> Result<Response<ListMenuCategoriesResponse>, Status> {
        Err(Status::unimplemented("not asked by orders"))
    }

    async fn put_menu_category(
        &self,
        _: Request<PutMenuCategoryRequest>,
    ) -> Result<Response<PutMenuCategoryResponse>, Status> {
        Err(Status::unimplemented("not asked by orders"))
    }

    async fn put_dish(&self, _: Request<PutDishRequest>) -> Result<Response<PutDishResponse>, Status> {
        Err(Status::unimplemented("not asked by orders"))
    }

    async fn get_dish(&self, _: Request<GetDishRequest>) -> Result<Response<GetDishResponse>, Status> {
        Err(Status::unimplemented("not asked by orders"))
    }

    async fn delete_dish(
        &self,
        _: Request<DeleteDishRequest>,
    ) -> Result<Response<DeleteDishResponse>, Status> {
        Err(Status::unimplemented("not asked by orders"))
    }
}
