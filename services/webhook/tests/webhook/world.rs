use std::time::Duration;

use artel_handle::testing::LocalMesh;
use artel_inbox::Inbox;
use artel_persist::testing::TestDatabase;
use artel_proto::Message as _;
use artel_proto::webhook::WebhookReceived;
use artel_queue::Event;
use tokio::sync::mpsc;

/// `webhook` over `persist`, and what is told.
pub struct World {
    pub mesh: LocalMesh,
    pub http: reqwest::Client,
    pub url: String,
    told: mpsc::UnboundedReceiver<Event>,
    pub database: TestDatabase,
}

impl World {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With more in the section `[webhook]`.
    pub async fn with(more: &str) -> Self {
        let mesh = mesh(more).await;
        let database = TestDatabase::create().await.unwrap();
        let (persist, told) = database.telling().await.unwrap();
        mesh.serve(persist).await.unwrap();
        let url = serve(&mesh).await;
        Self { mesh, http: reqwest::Client::new(), url, told, database }
    }

    /// The inbox of a service.
    pub fn inbox(&self, service: &'static str) -> Inbox {
        Inbox::new(self.mesh.host(service).channel("webhook"))
    }

    /// The next that is told.
    pub async fn told(&mut self) -> WebhookReceived {
        let event = tokio::time::timeout(Duration::from_secs(20), self.told.recv()).await;
        let event = event.expect("nothing was told").unwrap();
        assert_eq!(event.name, "webhook.received");
        WebhookReceived::decode(event.body).unwrap()
    }

    /// What is kept, counted past every service.
    pub async fn count(&self, of: &str) -> i64 {
        let asked = format!("SELECT count(*) FROM {of}");
        self.database.superuser().await.unwrap().query_one(&asked, &[]).await.unwrap().get(0)
    }

    pub fn post(&self, source: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}/webhooks/{source}", self.url))
    }
}

/// A mesh in which `bank` belongs to a service of that name, and `sms` to another.
pub async fn mesh(more: &str) -> LocalMesh {
    let config = format!(
        "[webhook]\nsources = ['bank=bank', 'sms=telephony']\ndelivery_ids = ['bank=x-delivery']\n{more}"
    );
    LocalMesh::start(&config).await.unwrap()
}

/// Serves `webhook` and says where.
pub async fn serve(mesh: &LocalMesh) -> String {
    let service = artel_webhook::service(mesh.host("webhook")).await.unwrap();
    format!("http://{}", mesh.serve(service).await.unwrap())
}
