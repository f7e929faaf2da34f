use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use artel_client::Call;
use artel_handle::{Delivery, Listener as _};
use artel_proto::Message as _;
use artel_proto::order::{Order, OrderItem, OrderPaid};
use artel_proto::robotics::{CookingJob, OrderPreparing, OrderReady};
use artel_repo::Query;
use artel_util::new_id;
use artel_vendors::Running;
use artel_vendors::robots::{self, Effect, Options, Robots};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use super::world::{World, of};
use crate::cooking::{Accept, Cook, follow};
use crate::line::{HttpLine, RobotLine};
use crate::settings::tests::settings;

/// Pauses that nobody waits for.
const QUICK: &str =
    "look_again_seconds = 1\naway_pause_ms = 50\nrestart_first_ms = 20\nrestart_longest_ms = 100";

/// A copy of the service, as far as it cooks. It dies with the value.
pub struct Copy {
    accept: Accept,
    tasks: JoinSet<()>,
}

impl Copy {
    /// A copy that does all that a copy does.
    pub fn start(world: &World, line: Arc<dyn RobotLine>) -> Self {
        let mut copy = Self::deaf(world, Arc::clone(&line));
        let (cook, call) = (cook(world, &line), job_call());
        copy.tasks.spawn(follow(line, cook, call, Duration::from_secs(1)));
        copy
    }

    /// A copy that the line's changes do not reach.
    pub fn deaf(world: &World, line: Arc<dyn RobotLine>) -> Self {
        let (cook, mut tasks) = (cook(world, &line), JoinSet::new());
        let (hand, accepted) = mpsc::channel(100);
        let hander = cook.clone();
        tasks.spawn(async move { hander.hand(ReceiverStream::new(accepted)).await });
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                cook.sweep(&job_call()).await.unwrap();
            }
        });
        Self { accept: Accept::new(world.repo.clone(), hand), tasks }
    }

    /// The news that an order was paid.
    pub async fn hear(&self, world: &World, event: &OrderPaid) {
        // An event has its id however often it comes; here, that of its payment.
        let delivery = Delivery {
            call: world.call(),
            event_id: event.payment_id.clone(),
            event: "order.paid".to_owned(),
            attempt: 1,
            is_replay: false,
            time: chrono::Utc::now(),
        };
        self.accept.hear(&delivery, event.clone()).await.unwrap();
    }

    pub fn die(mut self) {
        self.tasks.abort_all();
    }
}

/// What looks after jobs in a copy.
pub fn cook(world: &World, line: &Arc<dyn RobotLine>) -> Cook {
    Cook::new(world.repo.clone(), Arc::clone(line), settings(QUICK).pauses())
}

/// Whose job it is has a workspace of its own, and looks after all of them.
pub fn job_call() -> Call {
    Call::by_service("robotics", &new_id())
}

/// Robots a thousand times faster than real ones.
pub async fn robots() -> Running<Robots> {
    robots::start(Options { speed: 1_000.0, ..Options::default() }).await.unwrap()
}

/// The way to it.
pub fn line(robots: &Running<Robots>) -> Arc<dyn RobotLine> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = settings(&format!("line_url = '{}'\nline_timeout_ms = 2000", robots.url()));
    Arc::new(HttpLine::new(&settings).unwrap())
}

/// A paid order of one of this dish, whose ingredients are set aside.
pub async fn paid(world: &World, dish_id: &str) -> OrderPaid {
    let (order_id, payment_id) = (new_id(), new_id());
    world.reserve(&payment_id, &order_id, &[of(dish_id, 1)]).await.unwrap();
    let item =
        OrderItem {
            dish_id: dish_id.to_owned(), name: "Борщ".to_owned(), quantity: 1, ..Default::default()
        };
    let order = Order { id: order_id.clone(), items: vec![item], board_number: 42, ..Order::default() };
    OrderPaid { order_id, user_id: new_id(), payment_id, order: Some(order) }
}

/// The jobs there are.
pub async fn jobs(world: &World) -> Vec<CookingJob> {
    world.repo.query::<CookingJob>(&world.call(), Query::new().page(1_000, "")).await.unwrap().items
}

/// The one job there is.
pub async fn only_job(world: &World) -> CookingJob {
    let mut jobs = jobs(world).await;
    assert_eq!(jobs.len(), 1);
    jobs.remove(0)
}

/// How often each job came in at the line, by its id.
pub fn came_in(robots: &Running<Robots>) -> HashMap<String, usize> {
    let mut times = HashMap::new();
    for entry in robots.ledger() {
        if let Effect::Queued { job, .. } = entry.effect {
            *times.entry(job.external_id).or_default() += 1;
        }
    }
    times
}

/// How often each order was told to be preparing and ready, until all of these are ready; nothing is told after that.
pub async fn told(world: &mut World, orders: usize) -> HashMap<String, (usize, usize)> {
    let mut told: HashMap<String, (usize, usize)> = HashMap::new();
    while told.values().filter(|(_, ready)| *ready > 0).count() < orders {
        let event = tokio::time::timeout(Duration::from_secs(60), world.announced.recv()).await;
        let event = event.expect("an order does not get ready").unwrap();
        match event.name.as_str() {
            "order.preparing" => {
                let event = OrderPreparing::decode(event.body).unwrap();
                assert!(event.start_time.is_some() && !event.user_id.is_empty());
                let told = told.entry(event.order_id).or_default();
                assert_eq!(*told, (0, 0), "told first");
                told.0 += 1;
            }
            "order.ready" => {
                let event = OrderReady::decode(event.body).unwrap();
                assert!(event.ready_time.is_some() && event.board_number == 42);
                told.entry(event.order_id).or_default().1 += 1;
            }
            _ => {}
        }
    }
    while let Ok(event) = world.announced.try_recv() {
        assert!(!event.name.starts_with("order."), "{} is told after all were ready", event.name);
    }
    told
}

/// Waits for something to come true.
pub async fn until<F: Future<Output = bool>>(what: &str, is: impl Fn() -> F) {
    let begun = tokio::time::Instant::now();
    while !is().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} does not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
