use std::time::Duration;

use artel_client::{Call, User};
use artel_handle::testing::LocalMesh;
use artel_handle::{Delivery, Listener as _};
use artel_persist::testing::TestDatabase;
use artel_proto::order::{OrderPaid, OrderPlaced};
use artel_proto::statistics::statistics_service_client::StatisticsServiceClient;
use artel_proto::statistics::{GetReportRequest, GetTodayRequest, Report};
use artel_proto::{Event as _, Message as _, Timestamp};
use artel_repo::{Commit, Repo};
use artel_util::Error;
use futures::future::join_all;
use tokio::sync::mpsc;

use super::evening::Told;
use crate::listen::Clerk;

/// How long anything is waited for.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// `persist` and `statistics` over a database of their own.
pub struct World {
    pub mesh: LocalMesh,
    told: mpsc::UnboundedReceiver<artel_queue::Event>,
    _database: TestDatabase,
}

impl World {
    pub async fn start() -> Self {
        Self::with("").await
    }

    pub async fn with(more: &str) -> Self {
        let database = TestDatabase::create().await.unwrap();
        let mesh = LocalMesh::start(more).await.unwrap();
        let (persist, told) = database.telling().await.unwrap();
        mesh.serve(persist).await.unwrap();
        mesh.serve(crate::service(mesh.host("statistics")).await.unwrap()).await.unwrap();
        Self { mesh, told, _database: database }
    }

    pub fn repo(&self) -> Repo {
        self.mesh.host("statistics").repo()
    }

    pub fn call(&self) -> Call {
        self.mesh.host("statistics").call()
    }

    pub fn clerk(&self) -> Clerk {
        Clerk::new(self.repo())
    }

    pub fn delivery(&self, event_id: &str) -> Delivery {
        Delivery {
            call: self.call(),
            event_id: event_id.to_owned(),
            event: "test".to_owned(),
            attempt: 1,
            time: chrono::Utc::now(),
            is_replay: false,
        }
    }

    pub async fn hear(&self, event_id: String, told: Told) {
        let (clerk, delivery) = (self.clerk(), self.delivery(&event_id));
        loop {
            match told.clone().heard_by(&clerk, &delivery).await {
                Ok(()) => return,
                // As the queue does.
                Err(artel_queue::Failure::Later { .. }) => {}
                Err(failure) => panic!("{failure:?}"),
            }
        }
    }

    /// Hears all of them, many at once.
    pub async fn hear_all(&self, told: Vec<(String, Told)>) {
        for some in told.chunks(16) {
            join_all(some.iter().map(|(id, told)| self.hear(id.clone(), told.clone()))).await;
        }
    }

    /// Brings so many events from the outbox to the listeners.
    pub async fn relay(&mut self, count: usize) {
        for _ in 0..count {
            let event =
                tokio::time::timeout(DEADLINE, self.told.recv()).await.expect("nothing is told").unwrap();
            let (clerk, delivery) = (self.clerk(), self.delivery(&event.id));
            match event.name.as_str() {
                OrderPlaced::NAME => clerk.hear(&delivery, OrderPlaced::decode(event.body).unwrap()).await,
                OrderPaid::NAME => clerk.hear(&delivery, OrderPaid::decode(event.body).unwrap()).await,
                other => panic!("{other} is told"),
            }
            .unwrap();
        }
    }

    /// Commits as the service that owns the events.
    pub async fn commit_as_order(&self, commit: Commit) {
        let host = self.mesh.host("order");
        host.repo().commit(&host.call(), commit).await.unwrap();
    }

    pub async fn report(&self, start: Option<Timestamp>, end: Option<Timestamp>) -> Result<Report, Error> {
        let organization_id = self.call().workspace;
        self.ask(GetReportRequest { organization_id, start_time: start, end_time: end }).await
    }

    pub async fn ask(&self, asked: GetReportRequest) -> Result<Report, Error> {
        let host = self.mesh.host("test");
        let mut api = StatisticsServiceClient::new(host.channel("statistics"));
        let answer = api.get_report(self.analyst(&["analyst"]).request(asked)).await;
        answer.map(|answer| answer.into_inner().report.unwrap()).map_err(Error::from)
    }

    pub async fn today(&self) -> Report {
        self.as_person(&["analyst"]).await.unwrap()
    }

    pub async fn as_person(&self, roles: &[&str]) -> Result<Report, Error> {
        let mut api = StatisticsServiceClient::new(self.mesh.host("test").channel("statistics"));
        let answer = api.get_today(self.analyst(roles).request(GetTodayRequest {})).await;
        answer.map(|answer| answer.into_inner().report.unwrap()).map_err(Error::from)
    }

    fn analyst(&self, roles: &[&str]) -> Call {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let user = User { id: "anna".to_owned(), roles, locale: "en".to_owned() };
        Call { user: Some(user), ..self.mesh.host("test").call() }
    }
}
