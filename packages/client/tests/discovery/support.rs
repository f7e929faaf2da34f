//! Copies of a service that a test starts, spoils and kills, and a caller that knows of them what the test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use artel_client::{Call, CallKey, Channels, Limits, OVERLOADED};
use artel_discovery::Instance;
use artel_proto::order::order_service_client::OrderServiceClient;
use artel_proto::order::order_service_server::{OrderService, OrderServiceServer};
use artel_proto::order::{
    CancelOrderRequest, CancelOrderResponse, CreateOrderItem, CreateOrderRequest, CreateOrderResponse,
    GetOrderRequest, GetOrderResponse, ListOrdersRequest, ListOrdersResponse,
};
use artel_util::{Error, new_id};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

/// How long something may take that should take a moment.
pub const SOON: Duration = Duration::from_secs(20);

/// How a copy behaves from now on.
#[derive(Default)]
pub struct Mood {
    /// Says that it cannot work, after it has.
    pub broken: AtomicBool,
    /// Says that it has too much to do.
    pub overloaded: AtomicBool,
    /// Answers nobody.
    pub silent: AtomicBool,
    /// How long it takes, in milliseconds.
    pub slow: AtomicU64,
    /// How often it was asked.
    pub asked: AtomicUsize,
}

impl Mood {
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    async fn answer<T: Default>(&self) -> Result<Response<T>, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.overloaded.load(Ordering::Relaxed) {
            let refusal = Error::new(Code::ResourceExhausted, OVERLOADED, "Too much to do.");
            return Err(refusal.retry_after(Duration::from_millis(100)).into());
        }
        if self.broken.load(Ordering::Relaxed) {
            return Err(Error::unavailable("BROKEN", "Something is away.").into());
        }
        match self.slow.load(Ordering::Relaxed) {
            0 => {}
            millis => tokio::time::sleep(Duration::from_millis(millis)).await,
        }
        Ok(Response::new(T::default()))
    }
}

#[derive(Clone)]
struct Orders(Arc<Mood>);

#[tonic::async_trait]
impl OrderService for Orders {
    async fn create_order(
        &self,
        _: Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        self.0.answer().await
    }

    async fn list_orders(
        &self,
        _: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        self.0.answer().await
    }

    async fn get_order(&self, _: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        self.0.answer().await
    }

    async fn cancel_order(
        &self,
        _: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        self.0.answer().await
    }
}

/// A copy in a runtime of its own: killed as a process is, with all its connections.
pub struct Copy {
    pub address: SocketAddr,
    pub mood: Arc<Mood>,
    runtime: Option<Runtime>,
}

impl Copy {
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mood = Arc::<Mood>::default();
        let orders = OrderServiceServer::new(Orders(Arc::clone(&mood)));
        let (ready, listening) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            let server = tonic::transport::Server::builder().add_service(orders);
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { address: listening.recv().unwrap(), mood, runtime: Some(runtime) }
    }

    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Who asks, and what it knows.
pub struct Caller {
    known: watch::Sender<Option<Arc<[Instance]>>>,
    orders: OrderServiceClient<artel_client::Channel>,
}

impl Caller {
    /// Knows of these copies.
    pub fn of(copies: &[&Copy], limits: Limits) -> Self {
        let known = watch::Sender::new(None);
        let seen = known.subscribe();
        let key = CallKey::new("0123456789abcdef0123456789abcdef").unwrap();
        let channels = Channels::over("test", key, move |_| seen.clone()).with(limits);
        let caller = Self { known, orders: OrderServiceClient::new(channels.to("order")) };
        caller.knows(copies);
        caller
    }

    /// From now on it knows of these.
    pub fn knows(&self, copies: &[&Copy]) {
        let instance = |copy: &&Copy| Instance {
            id: copy.address.to_string(),
            address: copy.address,
            meta: BTreeMap::new(),
        };
        self.known.send_replace(Some(copies.iter().map(instance).collect()));
    }

    /// A call that may happen twice.
    pub async fn get(&self) -> Result<(), Status> {
        self.get_within(SOON).await
    }

    pub async fn get_within(&self, patience: Duration) -> Result<(), Status> {
        let request = call(patience).request(GetOrderRequest { id: new_id() });
        self.orders.clone().get_order(request).await.map(drop)
    }

    /// A call that must not.
    pub async fn create(&self) -> Result<(), Status> {
        let items = vec![CreateOrderItem { product_id: new_id(), quantity: 1 }];
        let request = call(SOON).request(CreateOrderRequest { items, ..Default::default() });
        self.orders.clone().create_order(request).await.map(drop)
    }
}

fn call(patience: Duration) -> Call {
    Call { deadline: Some(Instant::now() + patience), ..Call::by_service("test", "w") }
}

/// Never leaves a copy alone.
pub fn unforgetting() -> Limits {
    Limits { failures: u32::MAX, ..Limits::default() }
}
