//! A saga of five steps over services that live in the test and count what was done to them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use artel_client::{Call, User};
use artel_handle::CancellationToken;
use artel_handle::testing::LocalMesh;
use artel_persist::testing::TestDatabase;
use artel_proto::notify::Notification;
use artel_proto::process::{Saga, SagaState};
use artel_repo::{Commit, Query, Repo};
use artel_util::{Error, new_id};
use async_trait::async_trait;
use bytes::Bytes;

use crate::{Begin, Engine, Mishap, Mishaps, Outcome, Point, Process, Rules, Table, Turn, Way};

/// What a service does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Refuses it.
    Refuse,
    /// Is away: nothing is done.
    Away,
    /// Does it, and the answer is lost.
    Lose,
}

/// The services, and what was done to them.
#[derive(Default)]
pub struct Ledger {
    /// What is done now, by key.
    done: BTreeSet<String>,
    /// What may not be done any more.
    tombstones: BTreeSet<String>,
    /// The bank knows no keys when it charges: what is charged twice is charged twice.
    pub charges: BTreeMap<String, i32>,
    refunds: BTreeMap<String, i32>,
    /// What befalls the next calls of a step.
    faults: HashMap<(&'static str, Way), VecDeque<Fault>>,
}

pub struct Toy {
    ledger: Arc<Mutex<Ledger>>,
    optional: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub id: String,
    /// Whether the step `b` takes place.
    pub optional: bool,
}

impl Process for Toy {
    const KIND: &'static str = "test.toy";
    type Subject = Plan;

    fn table() -> Table<Self> {
        Table::new()
            .step("a", |toy, turn| Self::take(toy, turn, "a"), |toy, turn| Self::give_back(toy, turn, "a"))
            .step("b", |toy, turn| Self::take(toy, turn, "b"), |toy, turn| Self::give_back(toy, turn, "b"))
            .when(|plan| plan.optional)
            .pivot("charge", Self::charge, Self::find_charge, Self::refund)
            .forward("f", |toy, turn| Self::take(toy, turn, "f"))
            .forward("g", |toy, turn| Self::take(toy, turn, "g"))
    }

    async fn load(&self, _: &Call, id: &str) -> Result<Plan, Error> {
        Ok(Plan { id: id.to_owned(), optional: self.optional })
    }

    fn end(&self, saga: &Saga, plan: &Plan, commit: Commit) -> Commit {
        note(plan, if saga.state() == SagaState::Done { "done" } else { "undone" }, commit)
    }
}

impl Toy {
    async fn take(self: Arc<Self>, turn: Turn<Self>, step: &'static str) -> Outcome<Self> {
        let mut ledger = self.ledger();
        let fault = ledger.fault(step, Way::Forward);
        if let Some(failed) = refused(fault) {
            return failed;
        }
        if ledger.tombstones.contains(&turn.key) {
            return Outcome::Refused(Error::precondition("UNDONE", "It was undone."));
        }
        ledger.done.insert(turn.key);
        drop(ledger);
        lost(fault).unwrap_or_else(|| {
            let commit = note(&turn.subject, step, Commit::new());
            Outcome::Done(turn.subject, commit)
        })
    }

    async fn give_back(self: Arc<Self>, turn: Turn<Self>, step: &'static str) -> Outcome<Self> {
        let mut ledger = self.ledger();
        let fault = ledger.fault(step, Way::Back);
        if let Some(failed) = refused(fault) {
            return failed;
        }
        ledger.done.remove(&turn.key);
        ledger.tombstones.insert(turn.key);
        lost(fault).unwrap_or_else(|| Outcome::Done(turn.subject, Commit::new()))
    }

    async fn charge(self: Arc<Self>, turn: Turn<Self>) -> Outcome<Self> {
        let fault = self.ledger().fault("charge", Way::Forward);
        if let Some(failed) = refused(fault) {
            return failed;
        }
        // A bank takes its time: so two that are at it at once are.
        tokio::time::sleep(Duration::from_millis(20)).await;
        *self.ledger().charges.entry(turn.key).or_default() += 1;
        lost(fault).unwrap_or_else(|| {
            let commit = note(&turn.subject, "charge", Commit::new());
            Outcome::Done(turn.subject, commit)
        })
    }

    async fn find_charge(self: Arc<Self>, turn: Turn<Self>) -> Outcome<Self> {
        if self.ledger().charges.contains_key(&turn.key) {
            let commit = note(&turn.subject, "charge", Commit::new());
            return Outcome::Done(turn.subject, commit);
        }
        Outcome::NotDone(Error::unavailable("NOT_CHARGED", "There is no charge."))
    }

    async fn refund(self: Arc<Self>, turn: Turn<Self>) -> Outcome<Self> {
        let mut ledger = self.ledger();
        let fault = ledger.fault("charge", Way::Back);
        if let Some(failed) = refused(fault) {
            return failed;
        }
        if let Some(charged) = ledger.charges.get(&turn.key).copied() {
            ledger.refunds.insert(turn.key, charged);
        }
        lost(fault).unwrap_or_else(|| Outcome::Done(turn.subject, Commit::new()))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }
}

impl Ledger {
    fn fault(&mut self, step: &'static str, way: Way) -> Option<Fault> {
        self.faults.get_mut(&(step, way))?.pop_front()
    }
}

fn refused(fault: Option<Fault>) -> Option<Outcome<Toy>> {
    match fault? {
        Fault::Refuse => Some(Outcome::Refused(Error::precondition("REFUSED", "Not like this."))),
        Fault::Away => Some(Outcome::NotDone(Error::unavailable("AWAY", "Nobody is there. Try again."))),
        Fault::Lose => None,
    }
}

fn lost(fault: Option<Fault>) -> Option<Outcome<Toy>> {
    (fault == Some(Fault::Lose)).then(|| Outcome::Unknown(Error::unavailable("LOST", "No answer.")))
}

/// A row that belongs to a step's record: there is one of each saga and step, or the record is refused.
fn note(plan: &Plan, step: &str, commit: Commit) -> Commit {
    let (id, event_id, user_id) = (new_id(), plan.id.clone(), step.to_owned());
    commit.insert(&Notification { id, event_id, user_id, ..Notification::default() })
}

/// A `persist` that all cases of a test share.
pub struct World {
    database: TestDatabase,
    mesh: LocalMesh,
    persist: SocketAddr,
}

/// One saga, its services, and engines that work on it.
pub struct Case {
    pub repo: Repo,
    pub call: Call,
    pub ledger: Arc<Mutex<Ledger>>,
    pub plan: Plan,
    pub rules: Rules,
}

impl World {
    pub async fn start() -> Self {
        let database = TestDatabase::create().await.unwrap();
        let mesh = LocalMesh::start("").await.unwrap();
        let persist = mesh.serve(database.persist().await.unwrap()).await.unwrap();
        Self { database, mesh, persist }
    }

    /// Takes `persist` away.
    pub fn lose_persist(&self) {
        self.mesh.remove(self.persist);
    }

    /// Brings it back.
    pub async fn find_persist(&self) {
        self.mesh.serve(self.database.persist().await.unwrap()).await.unwrap();
    }

    pub fn case(&self) -> Case {
        let host = self.mesh.host("test");
        let user = User { id: new_id(), roles: Vec::new(), locale: "en".to_owned() };
        // A workspace of its own: engines of other cases leave it alone.
        let call = Call { user: Some(user), workspace: new_id(), ..host.call() };
        Case {
            repo: host.repo(),
            call,
            ledger: Arc::default(),
            plan: Plan { id: new_id(), optional: true },
            rules: Rules {
                lease: Duration::from_millis(1000),
                step: Duration::from_millis(500),
                attempts: 3,
                first_pause: Duration::from_millis(10),
                longest_pause: Duration::from_millis(100),
                ..Rules::default()
            },
        }
    }
}

impl Case {
    /// One more copy of the service.
    pub fn engine(&self) -> Engine<Toy> {
        self.engine_until(CancellationToken::new())
    }

    pub fn engine_until(&self, draining: CancellationToken) -> Engine<Toy> {
        let toy = Toy { ledger: Arc::clone(&self.ledger), optional: self.plan.optional };
        Engine::new("test", toy, self.repo.clone(), self.rules.clone(), draining)
    }

    /// What befalls the next calls of a step.
    pub fn befall(&self, step: &'static str, way: Way, faults: impl IntoIterator<Item = Fault>) {
        self.ledger.lock().unwrap().faults.entry((step, way)).or_default().extend(faults);
    }

    pub async fn begin(&self, engine: &Engine<Toy>) -> Result<String, Error> {
        let begin = Begin {
            id: self.plan.id.clone(),
            subject: self.plan.clone(),
            commit: Commit::new(),
            key: format!("test/{}", self.plan.id),
            digest: Bytes::from_static(b"toy"),
        };
        engine.begin(&self.call, begin).await
    }

    /// Waits for the end while these copies look for work as they do in production, only more often.
    pub async fn end(&self, engines: &[Engine<Toy>]) -> Saga {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            for engine in engines {
                if let Err(error) = engine.take_over_in(&self.call).await {
                    assert!(error.is_transient(), "{error}");
                }
            }
            match self.repo.get::<Saga>(&self.call, &self.plan.id).await {
                Ok(Some(saga)) if crate::engine::is_over(&saga) => return saga,
                saga => assert!(Instant::now() < deadline, "it does not end: {saga:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How often a step's own row was written, by step.
    pub async fn notes(&self) -> BTreeSet<String> {
        let query = Query::new().equal("event_id", &self.plan.id);
        let page = self.repo.query::<Notification>(&self.call, query).await.unwrap();
        page.items.into_iter().map(|note| note.user_id).collect()
    }

    /// How many charges there are, refunds taken off.
    pub fn charged(&self) -> i32 {
        let ledger = self.ledger.lock().unwrap();
        ledger.charges.values().sum::<i32>() - ledger.refunds.values().sum::<i32>()
    }

    /// What is done now, without the bank's.
    pub fn done(&self) -> usize {
        self.ledger.lock().unwrap().done.len()
    }

    /// Checks what must hold of a saga that ended: everything once, or nothing.
    pub async fn check(&self, saga: &Saga) {
        let charges = self.ledger.lock().unwrap().charges.values().sum::<i32>();
        let notes = self.notes().await;
        match saga.state() {
            SagaState::Done => {
                let steps = if self.plan.optional { 4 } else { 3 };
                assert_eq!((self.done(), charges, self.charged()), (steps, 1, 1), "{saga:?}");
                assert_eq!(notes.len(), steps + 2, "{notes:?}");
            }
            SagaState::Undone => {
                assert!(charges <= 1, "charged {charges} times");
                assert_eq!((self.done(), self.charged()), (0, 0), "{saga:?}");
                assert!(notes.contains("undone") && !notes.contains("f"), "{notes:?}");
            }
            other => panic!("{other:?} is no end"),
        }
        assert_eq!((saga.step.as_str(), saga.holder.as_str(), &saga.lease_time), ("", "", &None));
    }
}

/// Dies at a point, once.
pub struct Dies {
    pub at: Point,
    pub struck: Arc<AtomicUsize>,
}

#[async_trait]
impl Mishaps for Dies {
    async fn strikes(&self, _: &str, point: Point) -> Mishap {
        let strikes = point == self.at;
        self.struck.fetch_add(usize::from(strikes), Ordering::Relaxed);
        if strikes { Mishap::Death } else { Mishap::Nothing }
    }
}

/// Hangs at a point for so long, and then goes on as if nothing had been.
pub struct Hangs {
    pub at: Point,
    pub during: Duration,
}

#[async_trait]
impl Mishaps for Hangs {
    async fn strikes(&self, _: &str, point: Point) -> Mishap {
        if point == self.at {
            tokio::time::sleep(self.during).await;
        }
        Mishap::Nothing
    }
}
