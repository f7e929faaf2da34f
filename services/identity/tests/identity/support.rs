use std::net::SocketAddr;
use std::time::{Duration, Instant};

use artel_client::{Call, Channel};
use artel_handle::testing::LocalMesh;
use artel_persist::testing::TestDatabase;
use artel_proto::identity::identity_service_client::IdentityServiceClient;
use artel_proto::identity::{
    LoginRequest, LoginResponse, RefreshRequest, RefreshResponse, RegisterRequest, RegisterResponse,
};
use artel_repo::Repo;
use tonic::{Code, Request, Status};

pub const PASSWORD: &str = "correct horse battery";
/// For conditions that come true soon, on machines that are busy.
const PATIENCE: Duration = Duration::from_secs(30);

pub type Edge = IdentityServiceClient<tonic::transport::Channel>;

/// `persist` and one copy of `identity` or more over a database of their own.
pub struct World {
    pub mesh: LocalMesh,
    pub database: TestDatabase,
    pub address: SocketAddr,
}

impl World {
    pub async fn start(config: &str) -> Self {
        Self::over(TestDatabase::create().await.unwrap(), config).await
    }

    /// The same, over a database that is there. The configuration begins within `[identity]`.
    pub async fn over(database: TestDatabase, config: &str) -> Self {
        let mesh = mesh(config).await;
        mesh.serve(database.persist().await.unwrap()).await.unwrap();
        let address = serve(&mesh).await;
        Self { mesh, database, address }
    }

    /// The API as somebody outside sees it.
    pub async fn edge(&self) -> Edge {
        edge(self.address).await
    }

    /// Storage, as the service itself sees it.
    pub fn repo(&self) -> (Repo, Call) {
        let host = self.mesh.host("identity");
        (host.repo(), host.call())
    }

    /// The API as another service sees it, and its call.
    pub fn inside(&self, service: &'static str) -> (IdentityServiceClient<Channel>, Call) {
        let host = self.mesh.host(service);
        (IdentityServiceClient::new(host.channel("identity")), host.call())
    }
}

/// A mesh without services, configured for quick tests.
pub async fn mesh(config: &str) -> LocalMesh {
    // A port where nothing listens stands for a Redis that is away: each copy counts for itself.
    let redis = std::env::var("ARTEL_TEST_REDIS").unwrap_or_else(|_| "redis://127.0.0.1:9".to_owned());
    let key = "5e".repeat(32);
    LocalMesh::start(&format!("redis = '{redis}'\n[identity]\nkey = '{key}'\n{config}")).await.unwrap()
}

/// One more copy of `identity`.
pub async fn serve(mesh: &LocalMesh) -> SocketAddr {
    mesh.serve(artel_identity::service(mesh.host("identity")).await.unwrap()).await.unwrap()
}

pub async fn edge(address: SocketAddr) -> Edge {
    IdentityServiceClient::connect(format!("http://{address}")).await.unwrap()
}

/// An address that no other test and no earlier run has: failures are counted in a Redis that others use, too.
pub fn fresh_email() -> String {
    format!("anna-{}@example.com", artel_util::new_id())
}

pub async fn register(edge: &Edge, email: &str) -> RegisterResponse {
    let request = RegisterRequest {
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        display_name: "Anna".to_owned(),
        locale: String::new(),
    };
    edge.clone().register(request).await.unwrap().into_inner()
}

pub async fn login(edge: &Edge, email: &str, password: &str) -> Result<LoginResponse, Status> {
    let request = LoginRequest { email: email.to_owned(), password: password.to_owned() };
    Ok(edge.clone().login(request).await?.into_inner())
}

pub async fn refresh(edge: &Edge, token: &str) -> Result<RefreshResponse, Status> {
    let request = RefreshRequest { refresh_token: token.to_owned() };
    Ok(edge.clone().refresh(request).await?.into_inner())
}

/// A request of whoever holds the access token.
pub fn with_token<M>(token: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// Code and reason of a refusal.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), artel_util::reason(&status).unwrap_or_default())
}

/// What [`refusal`] gives for UNAUTHENTICATED.
pub fn unauthenticated(reason: &str) -> (Code, String) {
    (Code::Unauthenticated, reason.to_owned())
}

/// Waits for a condition, not for a time.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
