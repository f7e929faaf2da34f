//! The control plane over the wire, as an Envoy speaks to it.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use artel_gateway::{ControlPlane, DEFAULTS, GatewayConfig, Limiter, ResourceType, Surface};
use artel_handle::Live;
use artel_proto::annotations;
use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

/// One stream to a control plane.
struct Stream {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

struct Plane {
    control: Arc<ControlPlane>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Plane {
    async fn start() -> Self {
        let config: GatewayConfig = toml::from_str(DEFAULTS).unwrap();
        let surface = Surface::read(annotations::pool()).unwrap();
        let limiter = Limiter::open(Live::fixed(config.clone()), "redis://127.0.0.1:1").unwrap();
        let control = Arc::new(ControlPlane::new(surface, &config, limiter));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (serving, ending) = (control.clone(), stop.clone());
        tokio::spawn(async move { serving.serve(listener, ending).await.unwrap() });
        Self { control, address, stop }
    }

    fn everything_is_at(&self, port: u16) {
        for host in self.control.hosts() {
            self.control.learn(host, BTreeSet::from([SocketAddr::from(([127, 0, 0, 1], port))]));
        }
    }

    async fn stream(&self) -> Stream {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let (requests, receiver) = mpsc::channel(8);
        let mut client = AggregatedDiscoveryServiceClient::new(endpoint.connect().await.unwrap());
        let answers = client.delta_aggregated_resources(ReceiverStream::new(receiver)).await.unwrap();
        Stream { requests, responses: answers.into_inner() }
    }
}

impl Stream {
    async fn ask(&self, kind: ResourceType, names: &[&str], known: HashMap<String, String>) {
        let request = DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
            initial_resource_versions: known,
            ..Default::default()
        };
        self.requests.send(request).await.unwrap();
    }

    async fn answer(&self, response: &DeltaDiscoveryResponse, problem: Option<&str>) {
        let status = |message: &str| envoy_types::pb::google::rpc::Status {
            code: 13,
            message: message.to_owned(),
            ..Default::default()
        };
        let request = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: problem.map(status),
            ..Default::default()
        };
        self.requests.send(request).await.unwrap();
    }

    async fn hear(&mut self) -> DeltaDiscoveryResponse {
        tokio::time::timeout(Duration::from_secs(5), self.responses.message())
            .await
            .expect("nothing was told")
            .unwrap()
            .unwrap()
    }

    /// Nothing more is told: what is asked next is answered next.
    async fn expect_silence(&mut self) {
        let request =
            DeltaDiscoveryRequest { type_url: "type.googleapis.com/none".into(), ..Default::default() };
        self.requests.send(request).await.unwrap();
        assert_eq!(self.hear().await.type_url, "type.googleapis.com/none");
    }
}

fn versions(response: &DeltaDiscoveryResponse) -> HashMap<String, String> {
    response.resources.iter().map(|resource| (resource.name.clone(), resource.version.clone())).collect()
}

#[tokio::test]
async fn an_envoy_is_told_once_again_on_change_and_nothing_after_a_reconnect() {
    let plane = Plane::start().await;
    let mut stream = plane.stream().await;
    stream.ask(ResourceType::Cluster, &["*"], HashMap::new()).await;
    plane.everything_is_at(1000);
    let clusters = stream.hear().await;
    assert_eq!(clusters.type_url, ResourceType::Cluster.url());
    let names: BTreeSet<_> = versions(&clusters).into_keys().collect();
    for name in ["catalog", "catalog-streams", "edge", "gateway", "identity", "order", "order-streams"] {
        assert!(names.contains(name), "{names:?}");
    }
    assert!(!names.contains("persist"), "persist has no door");
    stream.answer(&clusters, None).await;

    stream.ask(ResourceType::Endpoint, &["order", "catalog"], HashMap::new()).await;
    let endpoints = stream.hear().await;
    assert_eq!(endpoints.resources.len(), 2);
    stream.answer(&endpoints, None).await;
    plane.control.learn("order", BTreeSet::from([SocketAddr::from(([127, 0, 0, 1], 2000))]));
    let moved = stream.hear().await;
    assert_eq!(moved.resources.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["order"]);
    // What is the same as before is no news.
    plane.control.learn("order", BTreeSet::from([SocketAddr::from(([127, 0, 0, 1], 2000))]));
    plane.control.learn("notify", BTreeSet::new());
    stream.expect_silence().await;

    // Another gateway, which makes everything anew, gives the same versions.
    let other = Plane::start().await;
    other.everything_is_at(1000);
    let mut again = other.stream().await;
    again.ask(ResourceType::Cluster, &["*"], versions(&clusters)).await;
    let nothing = again.hear().await;
    assert!(nothing.resources.is_empty() && nothing.removed_resources.is_empty(), "{nothing:?}");
    let mut known = versions(&endpoints);
    known.extend(versions(&moved));
    again.ask(ResourceType::Endpoint, &["order", "catalog"], known).await;
    let back = again.hear().await;
    assert_eq!(back.resources.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["order"]);
}

#[tokio::test]
async fn what_an_envoy_refuses_is_not_forced_on_it() {
    let plane = Plane::start().await;
    plane.everything_is_at(1000);
    let mut stream = plane.stream().await;
    stream.ask(ResourceType::Listener, &["*"], HashMap::new()).await;
    let listener = stream.hear().await;
    stream.answer(&listener, Some("cannot bind")).await;
    plane.everything_is_at(2000);
    stream.expect_silence().await;
}

#[tokio::test]
async fn streams_end_when_the_gateway_does() {
    let plane = Plane::start().await;
    plane.everything_is_at(1000);
    let mut stream = plane.stream().await;
    stream.ask(ResourceType::Cluster, &["*"], HashMap::new()).await;
    stream.hear().await;
    plane.stop.cancel();
    let end = tokio::time::timeout(Duration::from_secs(5), stream.responses.message()).await;
    assert!(!matches!(end.expect("the stream went on"), Ok(Some(_))));
}
