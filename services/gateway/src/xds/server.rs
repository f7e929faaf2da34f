//! The control plane as Envoy meets it: one delta ADS stream for everything.

use std::sync::Arc;

use discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use futures::Stream;
use std::pin::Pin;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::session::{Heard, Session};
use super::snapshot::{ResourceType, Snapshot};

/// Responses that wait for a slow Envoy before its stream waits, too.
const QUEUE: usize = 16;

/// Tells every Envoy that asks what there is, and from then on what changes.
#[derive(Debug)]
pub struct DiscoveryServer {
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    stop: CancellationToken,
}

impl DiscoveryServer {
    /// A server of these snapshots. While there is none yet, nobody is told anything. Streams end with `stop`.
    #[must_use]
    pub fn new(snapshots: watch::Receiver<Option<Arc<Snapshot>>>, stop: CancellationToken) -> Self {
        Self { snapshots, stop }
    }

    /// As a tonic service.
    #[must_use]
    pub fn into_service(self) -> AggregatedDiscoveryServiceServer<Self> {
        AggregatedDiscoveryServiceServer::new(self)
    }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for DiscoveryServer {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("this control plane speaks delta xDS: set api_type: DELTA_GRPC"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let peer = request.remote_addr().map(|address| address.to_string()).unwrap_or_default();
        let (sender, receiver) = mpsc::channel(QUEUE);
        let stream = Connection {
            peer,
            requests: request.into_inner(),
            responses: sender,
            snapshots: self.snapshots.clone(),
            session: Session::default(),
        };
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(stream.run()).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// One Envoy.
struct Connection {
    peer: String,
    requests: Streaming<DeltaDiscoveryRequest>,
    responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    session: Session,
}

impl Connection {
    async fn run(mut self) {
        metrics::gauge!("gateway_xds_streams").increment(1.0);
        tracing::info!(peer = %self.peer, "an Envoy came");
        let reason = self.serve().await;
        metrics::gauge!("gateway_xds_streams").decrement(1.0);
        tracing::info!(peer = %self.peer, reason, "an Envoy left");
    }

    async fn serve(&mut self) -> &'static str {
        loop {
            tokio::select! {
                message = self.requests.message() => match message {
                    Ok(Some(request)) => self.hear(request),
                    Ok(None) => return "closed",
                    Err(_) => return "broken",
                },
                changed = self.snapshots.changed() => if changed.is_err() {
                    return "no more snapshots";
                },
            }
            let snapshot = self.snapshots.borrow_and_update().clone();
            let Some(snapshot) = snapshot else { continue };
            for response in self.session.tell(&snapshot) {
                report(&self.peer, &response);
                if self.responses.send(Ok(response)).await.is_err() {
                    return "closed";
                }
            }
        }
    }

    fn hear(&mut self, request: DeltaDiscoveryRequest) {
        match self.session.hear(request) {
            Heard::Subscription => {}
            Heard::Accepted(kind) => {
                metrics::counter!("gateway_xds_acks_total", "type" => kind.label()).increment(1);
            }
            Heard::Rejected { kind, nonce, problem } => {
                metrics::counter!("gateway_xds_nacks_total", "type" => kind.label()).increment(1);
                tracing::error!(
                    peer = %self.peer,
                    kind = kind.label(),
                    nonce,
                    problem,
                    "Envoy refused its configuration and goes on with the old one"
                );
            }
        }
    }
}

fn report(peer: &str, response: &DeltaDiscoveryResponse) {
    let kind = ResourceType::of(&response.type_url).map_or("other", ResourceType::label);
    metrics::counter!("gateway_xds_pushes_total", "type" => kind).increment(1);
    tracing::debug!(
        peer,
        kind,
        nonce = response.nonce,
        changed = response.resources.len(),
        removed = response.removed_resources.len(),
        "told Envoy"
    );
}
